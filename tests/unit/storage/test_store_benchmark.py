import numpy as np

from storage.group_store import GroupStore
from storage.remote_path import RemotePath
from storage.upkeep.store_benchmark import (
    made_up,
    measure_remote,
    measure_store,
    read_one_plainly,
    read_plainly,
    write_plainly,
)


def test_the_store_is_measured(tmp_path):
    rows = {row["metric"]: row for row in measure_store(folder=tmp_path, rounds=1, share=0.0016)}
    assert list(rows) == [
        *["store.write", "store.read", "store.random_group_of_64_ms", "store.random_group_of_512_ms"],
        *["store.commit_33000_ms", "store.open_33000_s", "store.rescore_s"],
    ]
    assert all(row["value"] > 0 for row in rows.values()) and not list(tmp_path.iterdir())
    assert [name for name, row in rows.items() if row["ratio"] is None] == ["store.open_33000_s"]


def test_an_object_store_is_measured():
    rows = measure_remote(RemotePath("memory://measured/store"), rounds=1)
    assert [row["metric"] for row in rows] == ["store.remote_write", "store.remote_read", "store.remote_commit_ms"]
    assert all(row["value"] > 0 and row["ratio"] > 0 for row in rows)


def test_the_baselines_read_what_the_store_holds(tmp_path):
    groups = made_up(np.random.default_rng(0), 3)
    GroupStore(tmp_path).write_groups("round0", "0", groups)
    files = [tmp_path / table / "gen=round0/0.parquet" for table in ("groups", "hyps")]
    (people, hyps), (person, own) = read_plainly(*files), read_one_plainly(*files, 1)
    assert np.array_equal(people["picture"], [group.person.picture for group in groups])
    assert np.array_equal(hyps["pose"], np.concatenate([group.pose for group in groups]))
    assert np.array_equal(person["picture"][0], groups[1].person.picture)
    assert np.array_equal(own["pose"], groups[1].pose)
    plain = [tmp_path / "plain" / name for name in ("groups.parquet", "hyps.parquet")]
    write_plainly(groups, *plain)
    for ours, theirs in zip((people, hyps), read_plainly(*plain)):
        assert all(np.array_equal(ours[name], theirs[name]) for name in ours)
