"""A fault at each file operation of a small writer: nothing is lost, doubled or different, and no strays stay."""

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from storage.finished_file import finished_file, finished_folder, read_again, remove_strays, write_text
from storage.group_store import GroupStore
from tests.factories import make_group, make_verdict
from tests.injected_faults import Sweep, undisturbed

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks at /proc to name open files")

SHARDS = 2


def stages(root: Path) -> Iterator[str]:
    """As a run does: shards into the store, a note, a picture and a folder beside it."""
    remove_strays(root)
    store = GroupStore(root / "store")
    for shard in map(str, range(SHARDS)):
        rng = np.random.default_rng(int(shard))
        groups = [make_group(rng), make_group(rng)]
        store.write_people(shard, [group.person for group in groups])
        store.write_groups("round0", shard, groups)
        store.write_verdicts("round0", "scripted@1", "r", shard, [make_verdict(group) for group in groups])
        yield f"shard {shard}"
    if read_again(root / "note.json", lambda path: int(path.read_text())) is None:
        write_text(root / "note.json", "7")
    yield "note"
    with finished_file(root / "pictures" / "a.png") as unfinished:
        Image.new("RGB", (9, 9)).save(unfinished)
    yield "picture"
    with finished_folder(root / "results") as unfinished:
        (unfinished / "a.txt").write_text("a")
        (unfinished / "b.txt").write_text("b")
    yield "folder"


def swept(root: Path, **given) -> Sweep:
    sweep = Sweep(root, lambda: stages(root), undisturbed(root, lambda: stages(root)), **given)
    sweep.run()
    return sweep


def test_some_faults(tmp_path):
    """One in thirty-seven; more take their time."""
    sweep = swept(tmp_path / "run", every=37)
    assert sweep.count >= 8 and not sweep.faults, "\n".join(sweep.faults)


@pytest.mark.long
@pytest.mark.parametrize(("processes", "every"), [(1, 4), (2, 11)])
def test_more_faults(tmp_path, processes, every):
    sweep = swept(tmp_path / "run", processes=processes, every=every)
    assert sweep.count >= 200 // every and not sweep.faults, "\n".join(sweep.faults)


def test_the_sweep_sees_a_writer_that_is_not_careful(tmp_path):
    """A file that is written straight under its final name, and taken for whole by whoever finds it."""

    def careless() -> Iterator[str]:
        path = tmp_path / "run" / "a.txt"
        path.parent.mkdir(exist_ok=True)
        if not path.exists():
            write_text(path, "whole")
            path.write_text("half")
            (tmp_path / "run" / "b").mkdir()
            path.write_text("whole")
        yield "only"

    root = tmp_path / "run"
    sweep = Sweep(root, careless, undisturbed(root, careless))
    sweep.run()
    assert any("mkdir b" in fault and "a.txt" in fault for fault in sweep.faults)
