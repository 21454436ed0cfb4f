"""Which records a run takes: shares by weight, the same set for the same seed, and refusals in words."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from storage.sources.record import Batch, batch_table
from tasks.data.selection import all_of, mixture, shares
from tasks.run.settings import Records, SettingsError, WeightedRecords


def write_records(path, count: int, **columns) -> None:
    """Records of one picture each, with boxes, and joints in space in every second one."""
    space = np.where(np.arange(count)[:, None, None] % 2, np.nan, np.full((count, 2, 3), 3.0))
    given = {
        "sample_id": [f"{path.stem}/{k}" for k in range(count)], "dataset": path.stem,
        "image_path": [f"{k:03d}.png" for k in range(count)], "bbox_xywh": np.ones((count, 4)) * [0, 0, 9, 9],
        "kp3d": space, "kp3d_names": "left_hip,right_hip", "source_row": np.arange(count), **columns,
    }  # fmt: skip
    pq.write_table(batch_table(Batch(given, path.name), "test"), path)


@pytest.fixture
def sets(tmp_path):
    write_records(tmp_path / "a.parquet", 70)
    write_records(tmp_path / "b.parquet", 100)
    return [
        WeightedRecords(records=tmp_path / f"{name}.parquet", photos=tmp_path / name, weight=weight)
        for name, weight in (("a", 0.7), ("b", 0.3))
    ]


@pytest.mark.parametrize(
    ("available", "weights", "people", "expected"),
    [
        ([70, 100], [0.7, 0.3], None, [70, 30]),  # the first is used up: 70 / 0.7 = 100 in all
        ([50, 10], [1.0, 1.0], None, [10, 10]),
        ([50, 50], [2.0, 1.0], 10, [7, 3]),  # 6.67 and 3.33: the larger remainder is rounded up
        ([50, 50, 50], [1.0, 1.0, 1.0], 10, [4, 3, 3]),
        ([9], [0.2], None, [9]),
    ],
)
def test_shares_are_those_of_the_weights(available, weights, people, expected):
    assert shares(available, weights, people) == expected


def test_a_set_that_is_too_small_is_named_with_the_most_that_there_can_be():
    with pytest.raises(SettingsError, match=r"dataset 2 of train would give 10 and has 6; take at most 12 people"):
        shares([50, 6], [1.0, 1.0], 20)


def test_one_seed_is_one_mixture_and_another_another(sets):
    first, again, other = (mixture(sets, 20, seed) for seed in (0, 0, 1))
    ids = [one.table["sample_id"].to_pylist() for one in (first, again, other)]
    assert ids[0] == ids[1] and sorted(ids[0]) != sorted(ids[2])
    assert [sum(key.startswith(name) for key in ids[0]) for name in "ab"] == [14, 6]
    assert first.digest() == again.digest() != other.digest()
    assert [path.parent.name for path in first.photos] == [key[0] for key in ids[0]]
    assert ids[0] != sorted(ids[0])  # every shard gets some of each
    assert len(set(ids[0])) == 20 and list(first.counts.values()) == [14, 6]


def test_who_has_no_truth_is_left_out_of_val_and_counted(sets):
    chosen = all_of([Records(records=sets[0].records, photos=sets[0].photos, stride=5)])
    assert chosen.table["source_row"].to_pylist() == [0, 10, 20, 30, 40, 50, 60]
    assert chosen.skipped == {"without joints or a body in space": 7}


def test_records_that_a_dataset_does_not_evaluate_are_left_out(tmp_path):
    write_records(tmp_path / "c.parquet", 4, valid_eval=np.array([True, False, False, True]), split="test")
    one = Records(records=tmp_path / "c.parquet", photos=tmp_path, split="test")
    assert all_of([one]).table["source_row"].to_pylist() == [0]
    with pytest.raises(SettingsError, match="no record of split 'val'; it has test"):
        all_of([one.model_copy(update={"split": "val"})])


def test_files_that_are_no_records_are_refused_in_words(tmp_path):
    with pytest.raises(SettingsError, match="data import"):
        all_of([Records(records=tmp_path / "none.parquet", photos=tmp_path)])
    pq.write_table(pa.table({"a": [1]}), tmp_path / "other.parquet")
    with pytest.raises(SettingsError, match="no records of this version"):
        all_of([Records(records=tmp_path / "other.parquet", photos=tmp_path)])
