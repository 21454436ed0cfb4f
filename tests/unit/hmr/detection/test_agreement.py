"""Agreement with the detector: values worked by hand, then laws."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from critique.checks.landmarks import LANDMARK, NAMES
from critique.checks.silhouette import inside_photograph
from hmr.body.skeleton import KEYPOINT_NAMES
from hmr.detection.agreement import LANDMARK_OF_KEYPOINT, SHARED, cells_inside, keypoint_distance, mask_iou
from tests.factories import make_person


def seen_people(count=1, visible=1.0):
    """Landmarks (count, 33, 4), all visible alike, and the keypoints (count, 23, 2) that lie on them."""
    landmarks = np.random.default_rng(0).uniform(50, 400, (count, 33, 4))
    landmarks[..., 3] = visible
    return landmarks, landmarks[:, LANDMARK_OF_KEYPOINT, :2].copy()


def test_the_landmark_of_each_keypoint():
    named = {name: int(mark) for name, mark in zip(KEYPOINT_NAMES, LANDMARK_OF_KEYPOINT)}
    assert named["nose"] == 0 and named["left_ankle"] == 27 and named["right_ankle"] == 28
    assert (named["left_big_toe"], named["left_heel"], named["right_big_toe"], named["right_heel"]) == (31, 29, 32, 30)
    assert {name for name, mark in named.items() if mark < 0} == {"left_small_toe", "right_small_toe"}
    assert len(SHARED) == 21
    np.testing.assert_array_equal(LANDMARK_OF_KEYPOINT[SHARED], LANDMARK[SHARED])  # as the critic has them
    assert [NAMES[k].split()[0] for k in SHARED] == [KEYPOINT_NAMES[k].split("_")[0] for k in SHARED]


def test_one_keypoint_off_worked_by_hand():
    landmarks, projected = seen_people()
    projected[0, 0] += (30, 40)  # the nose lies 50 px off; 21 keypoints count
    assert keypoint_distance(projected, landmarks, np.array([[0, 0, 256.0]])) == pytest.approx(50 / 21)
    assert keypoint_distance(projected, landmarks, np.array([[0, 0, 512.0]])) == pytest.approx(25 / 21)


def test_visibility_weighs():
    landmarks, projected = seen_people(visible=0.0)
    landmarks[0, 0, 3], landmarks[0, 11, 3] = 0.25, 0.75
    projected[0, 0] += (8, 0)
    projected[0, 5] += (0, 4)
    projected[0, 9] += (1000, 0)  # an unseen wrist
    assert keypoint_distance(projected, landmarks, np.array([[0, 0, 128.0]])) == pytest.approx(2 * (2 + 3))


def test_small_toes_do_not_count_and_nothing_seen_is_nan():
    landmarks, projected = seen_people(2)
    projected[:, [18, 21]] += 100
    landmarks[1, :, 3] = 0
    found = keypoint_distance(projected, landmarks, np.full((2, 3), 256.0))
    assert found[0] == 0 and np.isnan(found[1])


def test_a_landmark_that_is_not_finite_is_unseen():
    landmarks, projected = seen_people()
    landmarks[0, 13, 0] = np.nan
    projected[0, 7] += 500
    assert keypoint_distance(projected, landmarks, np.full((1, 3), 256.0)) == 0


@given(st.floats(0.1, 20), st.floats(-500, 500))
def test_scale_and_place_of_the_photograph_do_not_matter(scale, shift):
    landmarks, projected = seen_people(3)
    projected = projected + np.random.default_rng(1).normal(0, 5, projected.shape)
    crop = np.array([[200, 200, 300.0]] * 3)
    moved = landmarks.copy()
    moved[..., :2] = moved[..., :2] * scale + shift
    there = keypoint_distance(projected * scale + shift, moved, crop * scale)
    np.testing.assert_allclose(there, keypoint_distance(projected, landmarks, crop), rtol=1e-6)


def test_iou_worked_by_hand():
    drawn, mask = np.zeros((3, 64, 64)), np.zeros((3, 64, 64))
    drawn[0, :2, :4], mask[0, :2, 2:6] = 1, 1  # 8 cells each, 4 in common
    drawn[1, 0, :4], mask[1, 0, :2], mask[1, 0, 2:4] = 1, 0.6, 0.4  # 2 of 4: less than a half is not the person
    found = mask_iou(drawn, mask)
    assert found[0] == pytest.approx(1 / 3) and found[1] == pytest.approx(0.5) and np.isnan(found[2])


def test_iou_of_bytes_is_that_of_shares():
    drawn = np.zeros((1, 64, 64), np.uint8)
    drawn[0, 10:40, 20:30] = 255
    mask = np.random.default_rng(0).integers(0, 256, (1, 64, 64), np.uint8)
    np.testing.assert_allclose(mask_iou(drawn, mask), mask_iou(drawn / 255, (mask >= 128) / 1.0))


def test_nothing_counts_beyond_the_photograph():
    """A crop whose left half hangs over the edge: what is drawn there is neither right nor wrong."""
    inside = cells_inside(np.array([[0.0, 100, 128]]), np.array([300]), np.array([300]))
    assert not inside[0, :, :32].any() and inside[0, :, 32:].all()
    drawn, mask = np.zeros((1, 64, 64)), np.zeros((1, 64, 64))
    drawn[0, :, :40], mask[0, :, 32:40] = 1, 1
    assert mask_iou(drawn, mask, inside) == pytest.approx(1.0)
    assert mask_iou(drawn, mask) == pytest.approx(0.2)


def test_inside_as_the_silhouette_check_has_it():
    crop = np.array([20.0, 90.0, 130.0], np.float32)
    person = make_person(np.random.default_rng(0), crop=crop, width=60, height=120)
    np.testing.assert_array_equal(cells_inside(crop[None], 60, 120)[0], inside_photograph(person) > 0)
