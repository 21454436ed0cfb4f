"""[run] processes changes how long a run takes and no bit of what it finds or draws."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from critique.critic import Sight
from storage.group_store import GroupStore
from tasks.finding import find_shard, list_photographs
from tasks.groups.image_search import Source
from tasks.groups.overlays import drawn_groups
from tasks.groups.sampled_groups import body, model, sample_hypotheses
from tasks.photographs import save_scenes
from tasks.rendering import save_shard_pictures
from tasks.run.settings import OverlaySection, Sample
from tests.factories import same

pytestmark = pytest.mark.slow
PHOTOGRAPHS = sorted((Path(__file__).parents[2] / "tasks" / "assets" / "photographs").glob("*.jpg"))[:3]
SMALL = OverlaySection(backend="numba", size=96)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Three photographs and a file that is none, looked at in one process and in two."""
    folder = tmp_path_factory.mktemp("processes")
    (folder / "photographs").mkdir()
    for photograph in PHOTOGRAPHS:
        shutil.copy(photograph, folder / "photographs")
    (folder / "photographs" / "notes.txt").write_text("no picture")
    found = []
    for count in (1, 2):
        store = folder / str(count) / "store"
        (shard,) = list_photographs.fn([Source(folder / "photographs")], folder / "photographs", store, 10).shards
        found.append(find_shard.fn(shard, store, None, 1.25, processes=count))
    assert found[0].people == found[1].people >= 3 and found[0].skipped == found[1].skipped != ()
    return folder


def test_the_same_people_are_found(folder):
    one, two = (GroupStore(folder / count / "store").read_people() for count in "12")
    assert len(one) == len(two) and all(map(same, one, two))


def test_the_same_pictures_are_drawn(folder):
    store = GroupStore(folder / "1" / "store")
    groups = sample_hypotheses(
        store.read_people()[:3], model("default"), body(None), Sample(hypotheses=2), seed=0, draw="x"
    )
    for one, two in zip(*(drawn_groups(groups, None, SMALL, sight=Sight(), processes=count) for count in (1, 2))):
        assert one.group.person.group_id == two.group.person.group_id
        assert (one.silhouettes == two.silhouettes).all() and (one.penetration == two.penetration).all()
        assert (one.photograph == two.photograph).all()
        assert np.array_equal(one.overlays, two.overlays) and np.array_equal(one.sides, two.sides)
    (shard,) = store.people_shards()
    store.write_groups("round0", shard, groups)
    written = []
    for count in (1, 2):
        where = folder / f"pictures{count}"
        assert save_shard_pictures.fn(shard, "round0", folder / "1" / "store", None, SMALL, 2, where, count) == 2
        written.append({path.relative_to(where): path.read_bytes() for path in where.rglob("*.*")})
    assert written[0] == written[1] and len(written[0]) == 2 * 7


def test_the_same_scenes_are_drawn(tmp_path, monkeypatch):
    monkeypatch.setattr("tasks.photographs.CHUNK", 2)
    for count in (1, 2):
        save_scenes("val", range(4), tmp_path / str(count), count)
    one, two = ({path.name: path.read_bytes() for path in (tmp_path / count).iterdir()} for count in "12")
    assert one == two and len(one) == 4
