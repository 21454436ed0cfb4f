"""The store in object stores: memory://, and S3 over real HTTP on this machine."""

import multiprocessing
import os
import re
import secrets
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from storage.group_store import GroupStore, StoreError
from storage.image_list import Image, ImageList
from storage.remote_path import RemotePath, keep_tables_at, place_of, tables_of
from storage.shards import remote_log
from tests.factories import make_group, make_person, make_verdict, same
from tests.object_store import new_bucket, s3_server
from tests.unit.storage.shards.test_manifest import CRITIC, assert_complete, groups_of, write_shards


@pytest.fixture(scope="module")
def s3():
    with s3_server() as environment, pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        yield environment


@pytest.fixture(params=["memory", "s3"])
def place(request) -> RemotePath:
    if request.param == "s3":
        request.getfixturevalue("s3")
        return new_bucket()
    found = place_of(f"memory://{secrets.token_hex(4)}/store")
    assert isinstance(found, RemotePath)
    return found


def test_what_is_written_comes_back(place):
    store = GroupStore(place)
    assert store.gens() == store.people_shards() == store.verify() == []
    write_shards(place, range(1))
    write_shards(place, range(1))  # equal content is there already
    remote_log._readings.clear()
    assert_complete(store, 1)
    group = groups_of(0)[1]
    assert same(store.read_group("round0", "0", group.person.group_id), group)
    with pytest.raises(StoreError, match="shard '0' is there already, with other content"):
        store.write_groups("round0", "0", groups_of(1))
    images = ImageList(Path("/photographs"), [Image("street", "street.jpg", "a", "0")])
    store.write_images(images)
    assert store.images.images == images.images and store.images.root == images.root


def test_a_commit_that_somebody_else_made_first_is_tried_again(place, monkeypatch):
    """The other one commits between our look at the commits and our own."""
    store = GroupStore(place)
    store.write_people("0", [])
    create, left = RemotePath.create, ["1", "2"]

    def late(self: RemotePath, content: bytes) -> bool:
        if self.parent.name == "_commits" and left:
            monkeypatch.setattr(RemotePath, "create", create)
            store.write_people(left.pop(0), [])
            monkeypatch.setattr(RemotePath, "create", late)
        return create(self, content)

    monkeypatch.setattr(RemotePath, "create", late)
    store.write_people("mine", [])
    assert store.people_shards() == ["0", "1", "2", "mine"]


def test_a_damaged_byte_is_found(place):
    write_shards(place, range(1))
    store = GroupStore(place)
    (path,) = (place / "groups/gen=round0").glob("0-*.parquet")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))
    (fault,) = store.verify()
    assert fault.startswith(f"{path}: changed or cut short")
    with pytest.raises(StoreError, match="changed or cut short"):
        store.read_groups("round0", "0")


def test_readers_start_from_a_summary(place, monkeypatch):
    monkeypatch.setattr(remote_log, "_EVERY", 4)
    store = GroupStore(place)
    for number in range(10):
        store.write_people(str(number), [])
    assert [path.name for path in (place / "people/_commits").glob("*.all.jsonl")] == [
        "00000004.all.jsonl",
        "00000008.all.jsonl",
    ]
    remote_log._readings.clear()
    asked: list[str] = []
    read = RemotePath.read_many
    monkeypatch.setattr(RemotePath, "read_many", lambda self, names: asked.extend(names) or read(self, names))
    assert store.people_shards() == [str(number) for number in range(10)]
    assert asked[0] == "00000009.jsonl"
    old = [path for manifest in store.manifests() for path in manifest.sweep()]
    assert [path.name for path in old] == ["00000004.all.jsonl"]
    remote_log._readings.clear()
    assert store.people_shards() == [str(number) for number in range(10)]


def test_a_server_that_overwrites_is_refused(place, monkeypatch):
    monkeypatch.setattr(remote_log, "_exclusive", set())
    monkeypatch.setattr(RemotePath, "create", lambda self, content: self.write_bytes(content) or True)
    with pytest.raises(StoreError, match="this server overwrites what it was asked only to create"):
        GroupStore(place).write_people("0", [make_person(np.random.default_rng(0))])
    assert not place.exists()


@pytest.mark.slow
def test_two_writers_lose_nothing_on_s3(s3):
    """Each writes its own shard and one that the other writes too, at once."""
    place, spawn = new_bucket(), multiprocessing.get_context("spawn")
    turns = [range(2), range(1, 3)]
    writers = [spawn.Process(target=write_shards, args=(place, turn)) for turn in turns]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0, 0]
    assert_complete(GroupStore(place), 3)


PROGRAM = """
import sys; sys.path.insert(0, sys.argv[2])
from storage.remote_path import RemotePath, place_of
from tests.unit.storage.test_remote_store import die_before
die_before(int(sys.argv[3]))
from tests.unit.storage.shards.test_manifest import write_shards
write_shards(place_of(sys.argv[1]), range(9))
"""


def die_before(writes: int) -> None:
    """Kill this process when it is about to write its n-th object."""
    left, write, create = [writes], RemotePath.write_bytes, RemotePath.create

    def counted(real):
        def one(self, content):
            left[0] -= 1
            if not left[0]:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(self, content)

        return one

    RemotePath.write_bytes, RemotePath.create = counted(write), counted(create)


@pytest.mark.slow
def test_a_writer_killed_in_the_middle_leaves_a_readable_store(s3):
    """Killed before a commit, and between two tables' files; a run to the end gives what an unharmed one gives."""
    place, root = new_bucket(), Path(__file__).parents[3]
    store = GroupStore(place)
    for writes in (6, 8):
        command = [sys.executable, "-c", PROGRAM, str(place), root, str(writes)]
        assert subprocess.run(command, capture_output=True).returncode == -signal.SIGKILL
        assert store.verify() == []
        judged = [verdict.group_id for _, verdict in store.judged("round0", CRITIC)]
        known = [person.group_id for person in store.read_people()]
        assert judged == known[: len(judged)]
    write_shards(place, range(2))
    assert_complete(store, 2)
    for manifest in store.manifests():
        manifest.sweep()
    assert_complete(store, 2)


def test_plain_pandas_reads_it_from_s3(s3):
    place = new_bucket()
    write_shards(place, range(1))
    scores = pd.read_parquet(f"{place}/scores")
    assert len(scores) == sum(map(len, groups_of(0)))


def test_a_folder_may_name_another_place_for_its_tables(tmp_path, s3):
    place, root = new_bucket(), tmp_path / "store"
    keep_tables_at(root, str(place))
    keep_tables_at(root, str(place))
    assert tables_of(root) == place
    write_shards(root, range(1))
    assert_complete(GroupStore(root), 1)
    assert [path.name for path in root.iterdir()] == ["_elsewhere.json"]
    assert "test-secret" not in (root / "_elsewhere.json").read_text()
    with pytest.raises(StoreError, match=f"{root}: the tables of this store lie at {place}, not at memory://else"):
        keep_tables_at(root, "memory://elsewhere")


def test_a_begun_store_stays_in_its_folder(tmp_path):
    GroupStore(tmp_path).write_people("0", [])
    with pytest.raises(StoreError, match=f"the tables of this store lie at {tmp_path}, not at memory://x"):
        keep_tables_at(tmp_path, "memory://x")


def test_addresses():
    assert place_of("runs/default/store") == Path("runs/default/store")
    assert place_of("file:///data/my%20store") == Path("/data/my store")
    assert place_of("s3://bucket/store/") == RemotePath("s3://bucket/store")
    for bad, why in {
        "s3://key:secret@bucket/store": "has a user, a key or options in it",
        "s3://bucket/store?key=secret": "has a user, a key or options in it",
        "sftp://host/store": "no store can lie there",
        "s3://bucket/../store": "leads nowhere",
    }.items():
        with pytest.raises(StoreError, match=re.escape(why)) as told:
            place_of(bad)
        assert "secret" not in str(told.value)


def test_a_service_that_does_not_answer_is_one_clear_error(s3, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    import fsspec

    fsspec.filesystem("s3").clear_instance_cache()
    with pytest.raises(StoreError, match=r"s3://bucket/store.*the object store does not answer or refuses"):
        GroupStore(place_of("s3://bucket/store")).read_people()
    fsspec.filesystem("s3").clear_instance_cache()


def test_verdicts_of_a_version_are_in_its_own_place(place):
    store, group = GroupStore(place), make_group(np.random.default_rng(0))
    store.write_groups("round0", "0", [group])
    store.describe_critic("vlm@a/b", {"model": "x"})
    store.write_verdicts("round0", "vlm@a/b", "r", "0", [make_verdict(group, critic="vlm@a/b")])
    assert store.critics("round0") == store.all_critics() == ["vlm@a/b"]
    assert store.critic_description("vlm@a/b") == {"model": "x"}
