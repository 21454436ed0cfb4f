"""Bodies beside detections, worked by hand: distances in a crop of 64 px count four times in one of 256 px."""

from math import nan

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hmr.detection.agreement import LANDMARK_OF_KEYPOINT
from tasks.report.photograph_agreement import (
    Agreement,
    agreement,
    agreement_means,
    distances_of,
    means,
    moved,
    only,
    places_in_crop,
    whole_body,
)
from tasks.sampling import body
from tests.factories import make_group, make_person, same


def at(places: np.ndarray, visibility: float = 1.0) -> np.ndarray:
    """(33, 4) landmarks that lie on (23, 2) keypoints."""
    landmarks = np.zeros((33, 4), np.float32)
    landmarks[:, 3] = visibility
    seen = LANDMARK_OF_KEYPOINT >= 0
    landmarks[LANDMARK_OF_KEYPOINT[seen], :2] = places[seen]
    return landmarks


@pytest.fixture
def group():
    """Two hypotheses of a person in a 100 x 100 photograph; all keypoints of the first fall on its middle.

    The landmarks read lie 3 px right of and 4 px below it, those of the second network 3 px above.
    """
    rng = np.random.default_rng(0)
    middle = np.full((23, 2), 50.0)
    second = np.concatenate([at(middle + np.array([0, -3])), np.zeros((33, 3))], 1).astype(np.float32)
    person = make_person(
        rng, width=100, height=100, box=np.float32([30, 30, 70, 70]), crop=np.float32([50, 50, 64]),
        camera=np.float32([100, 100, 50, 50]), landmarks=at(middle + np.array([3, 4])), second_look=second,
    )  # fmt: skip
    keypoints = np.zeros((2, 23, 3), np.float32)
    keypoints[..., 2] = 2
    keypoints[1, :, 0] = 0.2  # 10 px to the right
    return make_group(rng, 2, person, keypoints=keypoints)


def test_distances_to_both_networks(group):
    found = agreement(body(None), group)
    assert found.keypoints_px == pytest.approx(20) and found.second_px == pytest.approx(12)
    assert 0 <= found.mask_iou <= 1
    np.testing.assert_allclose(distances_of(group), [20, 4 * np.hypot(7, 4)], rtol=1e-5)
    alone = make_group(np.random.default_rng(0), 2, make_person(np.random.default_rng(0)))
    assert np.isnan(agreement(body(None), alone).second_px)


def test_places_in_the_crop_and_how_far_a_body_moved(group):
    first, second = places_in_crop(group), places_in_crop(group, 1)
    np.testing.assert_allclose(first, np.full((23, 2), 128.0), atol=1e-4)
    assert moved(first, second) == pytest.approx(40) and moved(first, first) == 0
    assert same(only(group, 1).keypoints, group.keypoints[1:]) and len(only(group)) == 1


def test_a_whole_body_has_its_ends_in_the_picture(group):
    assert whole_body(group.person)
    hidden = group.person.landmarks.copy()
    hidden[27, 3] = 0.4
    outside = group.person.landmarks.copy()
    outside[28, 1] = 101
    for landmarks in (hidden, outside):
        assert not whole_body(make_person(np.random.default_rng(0), width=100, height=100, landmarks=landmarks))


def test_what_the_summary_is_told():
    rows = [Agreement(4, 6, 0.8, True), Agreement(10, 20, 0.6, True), Agreement(30, nan, 0.2, False)]
    assert agreement_means(rows) == {
        "people": 3, "whole_people": 2, "keypoints_px": 13, "keypoints_px_mean": 13, "within_8px": 0.5,
        "read_px": 10, "read_within_8px": pytest.approx(1 / 3), "mask_iou": pytest.approx(0.7), "mask_iou_all": 0.6,
        "mask_iou_all_mean": pytest.approx(1.6 / 3),
    }  # fmt: skip
    assert means(rows)["second_px"] == 13


def test_what_nobody_measured_is_none():
    assert agreement_means([]) == {
        "people": 0, "whole_people": 0, "keypoints_px": None, "keypoints_px_mean": None, "within_8px": None,
        "read_px": None, "read_within_8px": None, "mask_iou": None, "mask_iou_all": None,
        "mask_iou_all_mean": None,
    }  # fmt: skip
    half = agreement_means([Agreement(4, nan, 0.5, False)])
    assert (half["keypoints_px"], half["within_8px"], half["mask_iou"]) == (None, None, None)
    assert (half["read_px"], half["mask_iou_all"], half["people"]) == (4, 0.5, 1)


@given(st.lists(st.tuples(st.floats(0, 200), st.floats(0, 200), st.floats(0, 1), st.booleans()), min_size=1))
def test_medians_lie_among_the_people(rows):
    found = agreement_means([Agreement(*row) for row in rows])
    for name, place in (("read_px", 0), ("keypoints_px", 1), ("mask_iou_all", 2)):
        values = [row[place] for row in rows]
        assert min(values) <= found[name] <= max(values)
    assert found["whole_people"] == sum(row[3] for row in rows)
