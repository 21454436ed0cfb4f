import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from storage.finished_file import UNFINISHED
from storage.group_store import GroupStore, StoreError
from tests.factories import make_group, make_verdict, same

CRITIC = "scripted@1"
SHARDS = 12


def groups_of(shard: int) -> list:
    """The same two groups at every call."""
    rng = np.random.default_rng(shard)
    return [make_group(rng), make_group(rng)]


def write_shards(root: Path, shards: range) -> None:
    """Draw and judge, in a process of its own."""
    store = GroupStore(root)
    for shard in shards:
        groups = groups_of(shard)
        store.write_people(str(shard), [group.person for group in groups])
        store.write_groups("round0", str(shard), groups)
        store.write_verdicts("round0", CRITIC, "r", str(shard), [make_verdict(group) for group in groups])


def assert_complete(store: GroupStore, shards: int) -> None:
    names = [str(shard) for shard in range(shards)]
    assert store.people_shards() == store.group_shards("round0") == names
    expected = [group for shard in range(shards) for group in groups_of(shard)]
    assert same(store.read_people(), [group.person for group in expected])
    pairs = list(store.judged("round0", CRITIC))
    assert same([group for group, _ in pairs], expected)
    assert same([verdict for _, verdict in pairs], [make_verdict(group) for group in expected])
    assert store.lacking("round0", CRITIC) == store.verify() == []


def test_two_writers_lose_nothing(tmp_path):
    """Two processes write different shards, and a third the same as the first, all at once."""
    spawn = multiprocessing.get_context("spawn")
    turns = [range(0, SHARDS, 2), range(1, SHARDS, 2), range(0, SHARDS, 2)]
    writers = [spawn.Process(target=write_shards, args=(tmp_path, turn)) for turn in turns]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0, 0, 0]
    assert_complete(GroupStore(tmp_path), SHARDS)


@pytest.mark.slow
def test_killed_writers_leave_a_readable_store(tmp_path):
    """kill -9 again and again, at any point; then one run to the end gives what an unharmed run gives."""
    program = (
        "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[2])\n"
        "from tests.unit.storage.test_manifest import write_shards\n"
        "for shard in range(10**6):\n"
        "    write_shards(Path(sys.argv[1]), range(shard, shard + 1)); print(shard, flush=True)"
    )
    root = Path(__file__).parents[3]
    store, rng = GroupStore(tmp_path), np.random.default_rng(1)
    for _ in range(3):
        before = len(store.people_shards())
        command = [sys.executable, "-c", program, tmp_path, root]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as writer:
            for _ in range(before + 2):  # it passes over what is there, then writes two shards ...
                writer.stdout.readline()
            time.sleep(rng.uniform(0, 0.2))  # ... and is somewhere in a later one
            writer.kill()
        assert store.verify() == []
        for group, verdict in store.judged("round0", CRITIC):
            assert verdict.group_id == group.person.group_id
        assert len(store.people_shards()) >= before + 2
        assert set(store.group_shards("round0")) <= set(store.people_shards())
    done = len(store.people_shards())
    write_shards(tmp_path, range(done))
    assert_complete(store, done)
    store.sweep()
    assert_complete(store, done)


def write_and_die(root: Path, files: int) -> None:
    """In a forked process: it kills itself when about to rename its n-th file."""
    left = files

    def count(event, names):
        nonlocal left
        if event == "os.rename" and str(names[1]).startswith(str(root)):
            left -= 1
            if not left:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)
    try:
        write_shards(root, range(9))
    finally:
        os._exit(1)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_killed_before_each_file_is_put_in_place(tmp_path):
    """Process n dies before its n-th file; a shard with its verdicts has eight."""
    store = GroupStore(tmp_path)
    for files in range(1, 9):
        if (child := os.fork()) == 0:
            write_and_die(tmp_path, files)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
        assert store.verify() == []
        judged = [verdict.group_id for _, verdict in store.judged("round0", CRITIC)]
        known = [person.group_id for person in store.read_people()]
        assert judged == known[: len(judged)]
    write_shards(tmp_path, range(9))
    assert_complete(store, 9)
    assert all(path.name.startswith(UNFINISHED) for path in store.sweep())  # what was put in place is of a shard by now
    assert_complete(store, 9)
    assert store.sweep() == []


def test_files_without_a_manifest_are_no_shard(tmp_path):
    """A writer killed after the files and before the manifest; run again, it may draw other groups."""
    store = GroupStore(tmp_path)
    store.write_groups("round0", "0", groups_of(0))
    (tmp_path / "groups/gen=round0/_manifest.json").unlink()
    assert store.gens() == store.group_shards("round0") == store.verify() == []
    store.write_groups("round0", "0", groups_of(1))
    assert same(store.read_groups("round0", "0"), groups_of(1))


def test_strays_are_swept(tmp_path):
    store = GroupStore(tmp_path)
    write_shards(tmp_path, range(1))
    strays = [
        tmp_path / "hyps/gen=round0/_tmp-1.parquet",
        tmp_path / "hyps/gen=round0/1.parquet",
        tmp_path / "hyps/gen=round1/0.parquet",
        tmp_path / "people/_tmp-_manifest.json",
        tmp_path / "scores" / f"critic={CRITIC}" / "gen=round0" / "run=r" / ".unfinished-7-ab.parquet",
        tmp_path / f"replies/critic={CRITIC}/gen=round0/run=r9/0.parquet",
    ]
    for stray in strays:
        stray.parent.mkdir(parents=True, exist_ok=True)
        stray.write_bytes(b"PAR1")
    (tmp_path / "notes.txt").write_text("not ours")
    assert_complete(store, 1)
    assert set(store.sweep()) == set(strays)
    assert store.sweep() == []
    assert (tmp_path / "notes.txt").exists()
    assert_complete(store, 1)


DAMAGE = {
    "cut short": lambda path: path.write_bytes(path.read_bytes()[:-9]),
    "one bit": lambda path: path.write_bytes(bytes([path.read_bytes()[0] ^ 1]) + path.read_bytes()[1:]),
    "emptied": lambda path: path.write_bytes(b""),
    "lost": lambda path: path.unlink(),
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("table", ["groups", "hyps"])
def test_a_damaged_shard_is_one_clear_error(tmp_path, table, damage):
    store = GroupStore(tmp_path)
    write_shards(tmp_path, range(2))
    path = tmp_path / table / "gen=round0/1.parquet"
    DAMAGE[damage](path)
    with pytest.raises(StoreError, match=f"{path}: (changed or cut short|lost) since it was written"):
        store.read_groups("round0", "1")
    (problem,) = store.verify()
    assert problem.startswith(str(path))
    assert same(store.read_groups("round0", "0"), groups_of(0))
    store.write_groups("round0", "1", groups_of(1))  # equal content mends it
    assert_complete(store, 2)


def test_sweeping_damaged_shards_lets_them_be_made_again(tmp_path):
    store = GroupStore(tmp_path)
    write_shards(tmp_path, range(2))
    path = tmp_path / f"scores/critic={CRITIC}/gen=round0/run=r/1.parquet"
    path.write_bytes(b"")
    replies = tmp_path / "replies" / path.relative_to(tmp_path / "scores")
    assert set(store.sweep(damaged=True)) == {path, replies}
    assert store.lacking("round0", CRITIC) == ["1"] and store.verify() == []
    write_shards(tmp_path, range(2))
    assert_complete(store, 2)


@pytest.mark.parametrize(
    ("told", "message"),
    [
        (json.dumps({"schema": 99, "shards": {}}), "schema version 99, this program reads version 1"),
        ('{"schema": 1, "sha', "not a manifest"),
        ("[]", "not a manifest"),
        (json.dumps({"schema": 1, "shards": {"0": {}}}), "not a manifest"),
    ],
)
def test_a_manifest_that_cannot_be_read_is_one_clear_error(tmp_path, told, message):
    store = GroupStore(tmp_path)
    store.write_people("0", [])
    path = tmp_path / "people/_manifest.json"
    path.write_text(told)
    for use in (store.people_shards, store.read_people, lambda: store.write_people("1", []), store.sweep):
        with pytest.raises(StoreError, match=f"{path}: {message}"):
            use()
    assert path.read_text() == told
    assert len(store.verify()) == 1
