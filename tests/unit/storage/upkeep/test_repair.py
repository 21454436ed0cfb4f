import os
import resource
import shutil
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest

from storage.group_store import GroupStore, StoreError
from storage.remote_path import place_of
from storage.shards import local_log, remote_log
from storage.shards.manifest import Manifest
from storage.upkeep.compaction import compact
from storage.upkeep.contents import contents
from storage.upkeep.repair import QUARANTINE, repair
from tests.factories import make_group, make_reply, make_verdict, same
from tests.unit.storage.shards.test_manifest import CRITIC, assert_complete, groups_of, write_shards

OLD = Path(__file__).parents[3] / "golden" / "store_0_1"


@pytest.fixture
def store(tmp_path):
    write_shards(tmp_path, range(2))
    return GroupStore(tmp_path)


def flip(path: Path) -> None:
    """Change one byte in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_a_whole_store_needs_nothing(store):
    assert list(repair(store)) == []
    assert not (store.root / QUARANTINE).exists()


@pytest.mark.parametrize("harm", ["manifest lost", "manifest damaged", "journal cut short", "both lost", "one bit"])
def test_a_manifest_is_rebuilt_from_its_files(store, harm):
    folder = store.root / "groups/gen=round0"
    manifest, journal = folder / "_manifest.json", folder / "_journal-1.jsonl"
    before = Manifest({table: store.root / table / "gen=round0" for table in ("groups", "hyps")}).shards()
    match harm:
        case "manifest lost":
            manifest.unlink()
        case "manifest damaged":
            manifest.write_text("{")
        case "journal cut short":
            journal.write_bytes(journal.read_bytes()[:300])  # within the first of two lines
        case "both lost":
            manifest.unlink(), journal.unlink()
        case "one bit":
            flip(journal)
    local_log._readings.clear()
    (mended,) = repair(store)
    assert "rebuilt with 2 shards from their files" in mended.what and not mended.todo
    assert_complete(store, 2)
    after = Manifest({table: store.root / table / "gen=round0" for table in ("groups", "hyps")}).shards()
    assert {name: (one.content, one.noted) for name, one in after.items()} == {
        name: (one.content, one.noted) for name, one in before.items()
    }
    write_shards(store.root, range(3))
    assert_complete(store, 3)


def test_damaged_people_come_from_the_groups_drawn_for_them(store):
    flip(store.root / "people/1.parquet")
    assert len(store.verify()) == 1
    (mended,) = repair(store)
    assert "taken from the groups" in mended.what and not mended.todo
    assert_complete(store, 2)
    assert (store.root / QUARANTINE / "people/1.parquet").exists()


def test_damaged_answers_leave_the_verdicts(store):
    path = store.root / f"replies/critic={CRITIC}/gen=round0/run=r/0.parquet"
    flip(path)
    (mended,) = repair(store)
    assert "its verdicts are kept" in mended.what
    assert store.verify() == []
    assert [verdict.replies for verdict in store.read_verdicts("round0", CRITIC, "0")] == [(), ()]
    assert store.lacking("round0", CRITIC) == []


@pytest.mark.parametrize("table", ["groups", "hyps", "scores"])
def test_what_cannot_be_mended_is_set_aside_and_made_again(store, table):
    path = next((store.root / table).rglob("1.parquet"))
    flip(path)
    (mended,) = repair(store)
    assert mended.todo.startswith("`hmr-align ") and f"{table} damaged: set aside" in mended.what
    assert store.verify() == [] and (store.root / QUARANTINE / path.relative_to(store.root)).exists()
    write_shards(store.root, range(2))
    assert_complete(store, 2)


def test_strays_are_set_aside(store):
    stray = store.root / "hyps/gen=round0/7.parquet"
    stray.write_bytes(b"PAR1")
    assert [mended.where for mended in repair(store)] == [str(stray)]
    assert not stray.exists() and (store.root / QUARANTINE / "hyps/gen=round0/7.parquet").exists()
    assert_complete(store, 2)


def test_a_lost_commit_in_an_object_store():
    place = place_of("memory://a-lost-commit/store")
    write_shards(place, range(4))
    store = GroupStore(place)
    (place / "people/_commits/00000002.jsonl").unlink()
    (fault,) = store.verify()
    assert fault.startswith("memory://a-lost-commit/store/people/_commits/00000002.jsonl: lost")
    assert store.people_shards() == ["0"]
    assert [bool(mended.todo) for mended in repair(store)] == [True]
    assert store.people_shards() == ["0", "2", "3"] and store.verify() == []
    write_shards(place, range(4))
    assert_complete(store, 4)


def test_a_writer_that_has_not_seen_a_repair_writes_again(monkeypatch):
    place = place_of("memory://not-seen/store")
    write_shards(place, range(2))
    (path,) = (place / "hyps/gen=round0").glob("1-*.parquet")
    before = dict(remote_log._readings)
    path.write_bytes(b"PAR1")
    (mended,) = repair(GroupStore(place))
    assert "set aside" in mended.what
    monkeypatch.setattr(remote_log, "_readings", before)  # as another process has it
    write_shards(place, range(2))
    assert_complete(GroupStore(place), 2)


def test_verdicts_in_parts_become_one_file_and_say_the_same(tmp_path):
    """Judged in two parts, one group again, in another run a third one; then the first run's parts are one."""
    store, rng = GroupStore(tmp_path), np.random.default_rng(3)
    groups = [make_group(rng, 3) for _ in range(4)]
    verdicts = [make_verdict(group, replies=(make_reply(),)) for group in groups]
    store.write_groups("round0", "0", groups)
    store.add_verdicts("round0", CRITIC, "a", "0", verdicts[:2])
    store.add_verdicts("round0", CRITIC, "a", "0", verdicts[2:])
    store.add_verdicts("round0", CRITIC, "a", "0", [make_verdict(groups[1], [1, 2, 3])])
    store.add_verdicts("round0", CRITIC, "b", "0", [make_verdict(groups[2], [4, 5, 6])])
    store.add_verdicts("round0", CRITIC, "a", "0", [make_verdict(groups[3], [7, 8, 9])])
    before = store.read_verdicts("round0", CRITIC, "0")
    done = list(compact(store))
    assert "3 files of verdicts on 0 are one" in done[0]
    assert same(store.read_verdicts("round0", CRITIC, "0"), before)
    assert store.lacking("round0", CRITIC) == [] and store.verify() == []
    counts = {(one.run, one.table): one.shards for one in contents(store) if one.critic}
    assert counts["a", "scores"] == 2 and counts["b", "scores"] == 1
    assert list(compact(store)) == []
    old = [path for manifest in store.manifests() for path in manifest.sweep()]
    assert {path.name for path in old} == {"0+1.parquet", "0+2.parquet", "0+3.parquet"}
    assert same(store.read_verdicts("round0", CRITIC, "0"), before)
    store.add_verdicts("round0", CRITIC, "a", "0", [verdicts[0]])
    assert same(store.read_verdicts("round0", CRITIC, "0"), [verdicts[0], *before[1:]])


def test_vacuum_spares_what_is_young(store):
    old, young = store.root / "people/8.parquet", store.root / "people/9.parquet"
    for path in (old, young):
        path.write_bytes(b"PAR1")
    os.utime(old, (0, 0))
    assert [path for manifest in store.manifests() for path in manifest.sweep(age=3600.0)] == [old]
    assert young.exists()


def test_a_store_of_version_0_1_goes_on(tmp_path):
    """Written by the code of then: read, compacted into a journal, written to, verified."""
    root = tmp_path / "store"
    shutil.copytree(OLD, root)
    store = GroupStore(root)
    pairs = list(store.judged("round0", CRITIC))
    assert [list(np.nan_to_num(verdict.scores, nan=-1)) for _, verdict in pairs] == [[90, -1, 12.5]] * 2
    assert [len(group) for group, _ in pairs] == [3, 3] and store.verify() == []
    groups = store.read_groups("round0", "free-0000")
    store.write_groups("round0", "free-0000", groups)  # the same records under today's digest: nothing to do
    assert not list(root.rglob("_journal-*"))
    with pytest.raises(StoreError, match="with other content"):
        store.write_groups("round0", "free-0000", [replace(one, temperature=2.0) for one in groups])
    assert sum("manifest was written anew" in done for done in compact(store)) == 3
    assert len(list(root.rglob("_journal-1.jsonl"))) == 3
    assert same(list(store.judged("round0", CRITIC)), pairs)
    store.write_groups("round0", "free-0001", groups_of(0))
    flip(root / "people/free-0000.parquet")
    (mended,) = repair(store)
    assert "taken from the groups" in mended.what
    assert store.verify() == [] and same(list(store.judged("round0", CRITIC)), pairs)


def limited(work, size: int) -> str:
    """What a child process says that may write no file larger than `size` bytes."""
    read, write = os.pipe()
    if not (child := os.fork()):
        try:
            import signal

            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
            work()
        except StoreError as error:
            os.write(write, str(error).encode())
        finally:
            os._exit(0)
    os.close(write)
    os.waitpid(child, 0)
    with open(read, "rb") as pipe:
        return pipe.read().decode()


def test_a_full_disk_is_one_message_and_a_whole_store(store):
    said = limited(lambda: write_shards(store.root, range(3)), 20_000)
    assert f"{store.root}/people: a shard was not written" in said and "all shards before it are safe" in said
    assert store.verify() == [] and store.people_shards() == ["0", "1"]
    write_shards(store.root, range(3))
    assert_complete(store, 3)


def test_a_read_only_store_is_read():
    """As a user who may not write there; the superuser becomes nobody for it."""
    with TemporaryDirectory() as folder:
        root = Path(folder) / "store"
        write_shards(root, range(1))
        for path in (Path(folder), *root.rglob("*"), root):
            path.chmod(0o555 if path.is_dir() else 0o444)

        def work() -> None:
            if os.geteuid() == 0:
                os.setuid(65534)
            assert_complete(GroupStore(root), 1)
            GroupStore(root).write_people("9", [])

        assert "this store may be read, not written" in limited(work, 10**9)
        for path in (Path(folder), *root.rglob("*"), root):
            path.chmod(0o755)


def test_a_link_out_of_the_store_is_not_followed(store, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside") / "0.parquet"
    path = store.root / "people/0.parquet"
    shutil.move(path, outside)
    path.symlink_to(outside)
    with pytest.raises(StoreError, match=f"{path}: a symbolic link, which could lead out of the store"):
        store.read_people("0")
    assert len(store.verify()) == 1
