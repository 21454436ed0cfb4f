import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hmr.detection.boxes import boxes_of, matches, overlaps, within

SQUARE = np.array([[0.0, 0, 2, 2]])


def test_overlaps_by_hand():
    others = np.array([[0.0, 0, 2, 2], [1, 0, 3, 2], [2, 2, 4, 4], [5, 5, 4, 4]])  # the last is inside out
    np.testing.assert_allclose(overlaps(SQUARE, others), [[1, 1 / 3, 0, 0]])


sides = st.tuples(st.floats(0, 100), st.floats(0, 100)).map(sorted)
corners = st.tuples(sides, sides).map(lambda s: [s[0][0], s[1][0], s[0][1], s[1][1]])


@given(first=st.lists(corners, min_size=1, max_size=4), second=st.lists(corners, min_size=1, max_size=4))
def test_overlap_is_a_share_and_knows_no_order(first, second):
    a, b = np.array(first), np.array(second)
    found = overlaps(a, b)
    assert ((found >= 0) & (found <= 1 + 1e-9)).all()
    np.testing.assert_allclose(found, overlaps(b, a).T)


def test_each_box_is_taken_once_the_best_first():
    overlap = np.array([[0.6, 0.5], [0.9, 0.1], [0.8, 0.2]])
    assert matches(overlap, 0.3).tolist() == [1, 0, -1]
    assert matches(overlap, 0.55).tolist() == [-1, 0, -1]
    assert matches(np.zeros((2, 0)), 0.3).tolist() == [-1, -1]


def test_boxes_about_points_within_pictures():
    points = np.array([[[1.0, 5], [-3, 2], [40, 9]]])
    box = boxes_of(points)
    assert box.tolist() == [[-3, 2, 40, 9]]
    assert within(box, np.array([[20.0, 8]])).tolist() == [[0, 2, 20, 8]]
