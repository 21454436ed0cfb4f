import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from hmr.body.penetration import PAIRS, PARTS, overlaps, segment_distance, self_penetration
from tests.evidence_scene import PLACE, TRUE_POSE, posed


@pytest.mark.parametrize(
    ("first", "second", "distance"),
    [
        ([(0, 0, 0), (1, 0, 0)], [(0.5, 2, -1), (0.5, 2, 1)], 2),  # crossing at right angles, 2 apart
        ([(0, 0, 0), (1, 0, 0)], [(0, 3, 0), (1, 3, 0)], 3),  # parallel
        ([(0, 0, 0), (1, 0, 0)], [(4, 4, 0), (8, 4, 0)], 5),  # parallel, ends nearest: 3, 4, 5
        ([(0, 0, 0), (1, 0, 0)], [(2, 0, 0), (3, 0, 0)], 1),  # on one line
        ([(0, 0, 0), (1, 0, 0)], [(0.5, -1, 0), (0.5, 1, 0)], 0),  # they meet
        ([(0, 0, 0), (0, 0, 0)], [(1, 2, 2), (1, 2, 2)], 3),  # two points: 1, 2, 2
        ([(0, 0, 0), (1, 0, 0)], [(2, 1, 0), (5, 4, 0)], 2**0.5),  # end against end
    ],
)
def test_hand_worked_distances_of_segments(first, second, distance):
    ends = [np.array([point], dtype=float) for point in (*first, *second)]
    assert segment_distance(*ends)[0] == pytest.approx(distance, abs=1e-9)


coordinate = st.floats(-2, 2)
point = st.tuples(coordinate, coordinate, coordinate).map(lambda xyz: np.array([xyz]))


@given(p=point, p_end=point, q=point, q_end=point)
def test_no_two_sampled_points_are_nearer(p, p_end, q, q_end):
    found = segment_distance(p, p_end, q, q_end)
    share = np.linspace(0, 1, 41)[:, None]
    first, second = p + share * (p_end - p), q + share * (q_end - q)
    sampled = np.linalg.norm(first[:, None] - second[None], axis=-1).min()
    assert sampled - 0.13 <= found <= sampled + 1e-6  # the grid is at most 0.13 coarse
    assert segment_distance(q, q_end, p, p_end) == pytest.approx(found, abs=1e-6)


def joints_of(*poses) -> np.ndarray:
    return posed(np.array(poses), np.array([PLACE] * len(poses)))[1]


def test_a_standing_body_does_not_penetrate_itself_and_a_hand_in_the_belly_or_crossed_shins_do():
    joints = joints_of(TRUE_POSE, TRUE_POSE, TRUE_POSE)
    joints[1, [21, 23, 26]] = joints[1, 6]  # right wrist, hand and finger inside the trunk
    joints[2, [4, 7, 27]] = joints[2, [5, 8, 28]]  # left leg from the knee down inside the right one
    depth = self_penetration(joints)
    assert depth[0] == 0
    assert 0.08 < depth[1] < 0.2
    assert 0.05 < depth[2] < 0.2


def test_two_coincident_forearms_overlap_by_both_radii():
    joints = joints_of(TRUE_POSE)
    joints[:, [19, 21]] = joints[:, [18, 20]]
    named = [(PARTS[a].name, PARTS[b].name) for a, b in PAIRS]
    pair = named.index(("left forearm", "right forearm"))
    length = np.linalg.norm(joints[0, 20] - joints[0, 18])
    assert overlaps(joints)[0, pair] == pytest.approx(2 * 0.15 * length, rel=1e-6)


@settings(max_examples=20)
@given(seed=st.integers(0, 2**32 - 1))
def test_no_motion_changes_it_and_size_scales_it(seed):
    rng = np.random.default_rng(seed)
    joints = rng.normal(0, 0.3, (3, 29, 3))
    moved = joints @ Rotation.random(rng=rng).as_matrix().T + rng.normal(0, 5, 3)
    np.testing.assert_allclose(self_penetration(moved), self_penetration(joints), atol=1e-6)
    np.testing.assert_allclose(self_penetration(2 * joints), 2 * self_penetration(joints), atol=1e-6)
    np.testing.assert_allclose(self_penetration(joints[1:2]), self_penetration(joints)[1:2], atol=1e-12)
