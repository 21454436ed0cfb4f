import hashlib
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings

from storage.finished_file import UNFINISHED
from storage.group_store import GroupStore, StoreError
from storage.records import Group, Verdict
from storage.schema import HYPS, TABLES, encode
from storage.shards import local_log
from storage.shards.manifest import Manifest
from tests.factories import make_group, make_reply, make_verdict, same

CRITIC = "scripted@1"
SHARDS = 12


def groups_of(shard: int) -> list:
    """The same two groups at every call."""
    rng = np.random.default_rng(shard)
    return [make_group(rng), make_group(rng)]


def verdict_on(group: Group) -> Verdict:
    return make_verdict(group, replies=(make_reply(),))


def write_shards(root: Path, shards: range) -> None:
    """Draw and judge, in a process of its own."""
    store = GroupStore(root)
    for shard in shards:
        groups = groups_of(shard)
        store.write_people(str(shard), [group.person for group in groups])
        store.write_groups("round0", str(shard), groups)
        store.write_verdicts("round0", CRITIC, "r", str(shard), [verdict_on(group) for group in groups])


def assert_complete(store: GroupStore, shards: int) -> None:
    names = [str(shard) for shard in range(shards)]
    assert store.people_shards() == store.group_shards("round0") == names
    expected = [group for shard in range(shards) for group in groups_of(shard)]
    assert same(store.read_people(), [group.person for group in expected])
    pairs = list(store.judged("round0", CRITIC))
    assert same([group for group, _ in pairs], expected)
    assert same([verdict for _, verdict in pairs], [verdict_on(group) for group in expected])
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
        "from tests.unit.storage.shards.test_manifest import write_shards\n"
        "for shard in range(10**6):\n"
        "    write_shards(Path(sys.argv[1]), range(shard, shard + 1)); print(shard, flush=True)"
    )
    root = Path(__file__).parents[4]
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
    """Process n dies before its n-th file; a first shard with its verdicts has eleven, the next ones five."""
    store = GroupStore(tmp_path)
    for files in range(1, 11):
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
    ("details", "message"),
    [
        (json.dumps({"schema": 99, "shards": {}}), "schema version 99, this program reads versions 1 and 2"),
        ('{"schema": 1, "sha', "not a manifest"),
        ("[]", "not a manifest"),
        (json.dumps({"schema": 1, "shards": {"0": {}}}), "not a manifest"),
    ],
)
def test_a_manifest_that_cannot_be_read_is_one_clear_error(tmp_path, details, message):
    store = GroupStore(tmp_path)
    store.write_people("0", [])
    path = tmp_path / "people/_manifest.json"
    path.write_text(details)
    for use in (store.people_shards, store.read_people, lambda: store.write_people("1", []), store.sweep):
        with pytest.raises(StoreError, match=f"{path}: {message}"):
            use()
    assert path.read_text() == details
    assert len(store.verify()) == 1


def as_version_0_1(store: Path) -> None:
    """Make the manifests of a store those that version 0.1 wrote, with a file of each table that has no rows."""
    for path in store.rglob("_manifest.json"):
        table = path.relative_to(store).parts[0]
        tables = {"groups": ("groups", "hyps"), "scores": ("scores", "replies")}.get(table, (table,))
        folders = {name: store / name / path.parent.relative_to(store / table) for name in tables}
        details = {"schema": 1, "shards": {}}
        for name, shard in Manifest(folders).shards().items():
            files = {}
            for one, folder in folders.items():
                file = folder / f"{name}.parquet"
                if not file.exists():
                    file.write_bytes(encode(TABLES[one].empty_table()).content)
                rows = shard.files[one][0] if one in shard.files else 0
                files[one] = {"rows": rows, "sha256": hashlib.sha256(file.read_bytes()).hexdigest()}
            details["shards"][name] = {"content": shard.content, "written_ns": shard.written_ns, "files": files}
        path.write_text(json.dumps(details, indent=1))
        path.with_name("_journal-1.jsonl").unlink()


def test_a_store_of_version_0_1_is_read_and_goes_on(tmp_path):
    store = GroupStore(tmp_path)
    write_shards(tmp_path, range(3))
    as_version_0_1(tmp_path)
    local_log._readings.clear()
    assert_complete(store, 3)
    group = groups_of(2)[1]
    assert same(store.read_group("round0", "2", group.person.group_id), group)
    assert store.unjudged("round0", CRITIC, "1") == []
    write_shards(tmp_path, range(3))  # nothing new: nothing is written
    assert not list(tmp_path.rglob("_journal-*"))
    write_shards(tmp_path, range(4))
    assert len(list(tmp_path.rglob("_journal-1.jsonl"))) == 3
    assert_complete(store, 4)
    damaged = tmp_path / "hyps/gen=round0/0.parquet"
    damaged.write_bytes(damaged.read_bytes()[:-1])
    assert len(store.verify()) == 1


def test_a_commit_leaves_what_others_wrote_as_it_was(tmp_path):
    """So it takes as long whatever the number of shards: the manifest stays, the journal grows by one line."""
    write_shards(tmp_path, range(1))
    folder = tmp_path / "people"
    inode, details = (folder / "_manifest.json").stat().st_ino, (folder / "_manifest.json").read_bytes()
    before = (folder / "_journal-1.jsonl").read_bytes().splitlines()
    write_shards(tmp_path, range(2))
    assert ((folder / "_manifest.json").stat().st_ino, (folder / "_manifest.json").read_bytes()) == (inode, details)
    after = (folder / "_journal-1.jsonl").read_bytes().splitlines()
    assert len(after) == len(before) + 1 and after[2:-1] == before[2:]


@pytest.mark.parametrize("damage", ["cut short", "lost", "one bit"])
def test_a_damaged_journal_is_one_clear_error(tmp_path, damage):
    store = GroupStore(tmp_path)
    write_shards(tmp_path, range(3))
    path = tmp_path / "people/_journal-1.jsonl"
    whole = path.read_bytes()
    if damage == "lost":
        path.unlink()
    else:
        path.write_bytes(whole[:400] if damage == "cut short" else whole[:400] + bytes([whole[400] ^ 1]) + whole[401:])
    local_log._readings.clear()
    for use in (store.people_shards, store.read_people, lambda: store.write_people("9", []), store.sweep):
        with pytest.raises(StoreError, match=f"{path}: (lost|changed or cut short) since it was written; restore it"):
            use()
    assert len(store.verify()) == 1
    path.write_bytes(whole)
    assert_complete(store, 3)


@pytest.mark.parametrize("name", ["../0", "/0"])
def test_a_manifest_names_no_file_outside_the_store(tmp_path, name):
    details = {"content": "", "written_ns": 0, "files": {}}
    (tmp_path / "people").mkdir()
    (tmp_path / "people/_manifest.json").write_text(json.dumps({"schema": 1, "shards": {name: details}}))
    with pytest.raises(StoreError, match="lies in no folder of the store"):
        GroupStore(tmp_path).people_shards()


def hypotheses(count: int) -> pa.Table:
    columns = [pa.array([str(row) for row in range(count)]), pa.array(range(count), pa.int64())]
    return pa.table(columns, schema=pa.schema([HYPS.field("group_id"), HYPS.field("seed")]))


commits = st.tuples(st.just("commit"), st.integers(0, 5), st.integers(0, 2))
others = st.tuples(st.sampled_from(["forget", "sweep", "tail", "damage"]), st.integers(0, 5), st.just(0))


@settings(max_examples=60, deadline=None)
@given(st.lists(commits | commits | others, max_size=12))
def test_any_order_of_writers_kills_and_sweeps(tmp_path_factory, steps):
    """Against a dictionary. To forget makes the next step that of another process; a tail is of one that was killed."""
    manifest = Manifest({"hyps": tmp_path_factory.mktemp("store") / "hyps"})
    model, damaged = dict[str, str](), set[str]()
    for what, number, rows in steps:
        name = f"shard{number}"
        if what == "forget":
            local_log._readings.clear()
        elif what == "tail":
            for journal in manifest.path.parent.glob("_journal-*"):
                with open(journal, "ab") as file:
                    file.write(b'["shard9", "half a li')
        elif what == "sweep":
            manifest.sweep(damaged=True)
            model = {known: content for known, content in model.items() if known not in damaged}
            damaged = set()
        elif what == "damage" and manifest.file("hyps", name).exists() and name in model:
            manifest.file("hyps", name).write_bytes(b"PAR1")
            damaged.add(name)
        elif what == "commit":
            content = f"content of {rows}"
            files = {"hyps": partial(encode, hypotheses(rows))} if rows else {}
            if model.get(name, content) != content:
                with pytest.raises(StoreError, match="with other content"):
                    manifest.commit(name, lambda content=content: content, files, {})
            else:
                new = name not in model or name in damaged
                assert manifest.commit(name, lambda content=content: content, files, {}) == new
                model[name] = content
                damaged.discard(name)
        assert {known: shard.content for known, shard in manifest.shards().items()} == model
        assert list(manifest.shards()) == sorted(model)
        assert len(manifest.all_damage()) == len(damaged)
