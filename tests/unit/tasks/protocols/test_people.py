"""Whose a prediction is: by id, by picture, by box, by number; and nobody's."""

from pathlib import Path

import numpy as np
import pyarrow as pa

from storage.sources.record import Batch, batch_table
from tasks.protocols.people import Answer, Chosen, match


def chosen(paths, people, boxes) -> Chosen:
    columns = {
        "sample_id": [f"s/{k}" for k in range(len(paths))], "dataset": "x", "image_path": paths, "person_id": people,
        "bbox_xywh": np.array(boxes, np.float32), "source_row": np.arange(len(paths)),
    }  # fmt: skip
    table: pa.Table = batch_table(Batch(columns, "f"), "test")
    return Chosen(Path("f"), np.arange(len(paths)), table, {})


def answer(image, person="0", box=None, model="m", file="a.npz") -> Answer:
    return Answer(Path(file), 0, image, person, model, 1, None if box is None else np.array(box, float))


LEFT, RIGHT = [0, 0, 10, 20], [50, 0, 10, 20]
PEOPLE = chosen(["c/1.jpg", "c/1.jpg", "c/2.jpg", "d/2.jpg"], ["0", "1", "0", "0"], [LEFT, RIGHT, LEFT, LEFT])


def test_a_name_that_two_pictures_share_is_nobody_s():
    found = match(PEOPLE, [answer("2"), answer("/somewhere/photos/c/2.png"), answer("elsewhere")])
    assert found.counts == {
        "of pictures that are not measured": 2,
        "by picture, whose only person it is": 1,
        "people without a prediction": 3,
    }
    assert [one.image for one in found.groups[2]] == ["/somewhere/photos/c/2.png"]


def test_boxes_tell_two_people_apart():
    """Numbered the other way round; a third box lies on nobody."""
    found = match(
        PEOPLE,
        [answer("1", "0", [51, 0, 60, 20]), answer("1", "1", [0, 1, 10, 20]), answer("1", "2", [90, 90, 99, 99])],
    )
    assert found.groups[1][0].person == "0" and found.groups[0][0].person == "1"
    assert found.counts["by box"] == 2 and found.counts["on nobody's box"] == 1


def test_without_boxes_numbers_count_and_ids_always():
    found = match(PEOPLE, [answer("c/1.jpg", "1"), answer("c/1.jpg", "7"), answer("s/3")])
    assert list(found.groups) == [3, 1]
    assert found.counts["by number of the person"] == found.counts["by sample id"] == 1
    assert found.counts["without box and number"] == 1


def test_models_are_matched_each_by_itself():
    """Two models that each see one of the two people make a group of each; on one person they make one group."""
    both = [answer("1", box=[0, 0, 10, 20], model="a"), answer("1", box=[1, 0, 10, 20], model="b")]
    found = match(PEOPLE, both)
    assert [one.model for one in found.groups[0]] == ["a", "b"] and found.counts["by box"] == 2
