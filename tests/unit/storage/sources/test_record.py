"""The record: what a row lacks is NULL, what it has comes back, and every column says its unit."""

import json

import numpy as np
import pyarrow as pa
import pytest

from storage.sources.record import SCHEMA, Batch, batch_table, labels_held, rows_of


def columns(**more) -> dict:
    made = {"sample_id": ["a/b/c/0/0", "a/b/c/1/0", "a/b/c/2/0"], "dataset": "a", "source_row": np.arange(3)}
    return made | more


def table(**more) -> pa.Table:
    return batch_table(Batch(columns(**more), "a.npz", converted=["S: mm to m"]), "spin")


def test_a_row_without_a_label_is_null():
    boxes = np.array([[1, 2, 3, 4], [np.nan] * 4, [5, 6, 7, 8]], np.float32)
    points = np.arange(12, dtype=np.float32).reshape(3, 2, 2)
    points[2] = np.nan
    made = table(bbox_xywh=boxes, kp2d=points, gender=["male", "", "neutral"], image_number=np.array([4, -1, 6]))
    assert made["bbox_xywh"].null_count == made["gender"].null_count == made["image_number"].null_count == 1
    assert labels_held(made)["kp2d"] == 2 and "kp3d" not in labels_held(made)
    assert made.schema.equals(SCHEMA, check_metadata=True)
    assert made["kp2d"].to_pylist() == [[0, 1, 2, 3], [4, 5, 6, 7], None]


def test_what_goes_in_comes_back():
    points = np.random.default_rng(0).normal(size=(3, 5, 3)).astype(np.float32)
    points[1] = np.nan
    world = np.random.default_rng(1).normal(size=(3, 4, 4)).astype(np.float32)
    made = table(kp3d=points, T_cam_world=world, quality=np.array([0.5, np.nan, 1.0]))
    np.testing.assert_array_equal(rows_of(made, "kp3d"), points)
    np.testing.assert_array_equal(rows_of(made, "T_cam_world"), world)
    np.testing.assert_array_equal(rows_of(made, "quality"), [0.5, np.nan, 1.0])


def test_one_word_may_stand_for_all_rows_and_lists_may_differ():
    made = table(split="train", sequence=["x", "x", "y"], contact=[[1, 2], [], [7]])
    assert made["split"].to_pylist() == ["train"] * 3 and made["sequence"].to_pylist() == ["x", "x", "y"]
    assert made["contact"].to_pylist() == [[1, 2], [], [7]]
    details = json.loads(made["provenance"][0].as_py())
    assert details == {"adapter": "spin", "version": 1, "file": "a.npz", "converted": ["S: mm to m"]}


def test_every_number_has_a_meaning_and_lengths_must_fit():
    assert all(field.metadata[b"about"] for field in SCHEMA)
    metres = {field.name for field in SCHEMA if field.metadata.get(b"unit") == b"m"}
    assert metres == {"transl", "kp3d", "T_cam_world"}
    with pytest.raises(KeyError, match="kp4d"):
        table(kp4d=np.zeros(3))
    with pytest.raises(ValueError, match="'K' has 8 numbers"):
        table(K=np.zeros((3, 8)))
    with pytest.raises(ValueError, match="2 rows where there are 3"):
        table(quality=np.zeros(2))


def test_a_word_that_is_empty_for_all_rows_is_null():
    columns = {
        "source_row": np.arange(3),
        "sample_id": list("abc"),
        "dataset": "d",
        "kp3d_root": "",
        "split": ["", "x", ""],
    }
    made = batch_table(Batch(columns, "f"), "adapter")
    assert made["kp3d_root"].null_count == 3 and made["split"].to_pylist() == [None, "x", None]
