"""Bodies at rest: laws of a floor, and poses whose rest is known."""

import numpy as np
import pytest
import torch

from hmr.body.body import load_body
from hmr.body.ground import FARTHEST_TURN, floor_height, ground_points, settle
from hmr.body.kinematics import forward_kinematics
from hmr.studio.pose_prior import EASY, LYING, SITTING, to_rotations

UP = np.array([[0.0, 1.0, 0.0]], np.float32)


@pytest.fixture(scope="module")
def rest():
    return load_body().rest_joints(torch.zeros(1, 10))


def posed(rest, pose, turn=None):
    rotations = to_rotations(pose)[None]
    if turn is not None:
        rotations[:, 0] = turn @ rotations[:, 0]
    found = forward_kinematics(torch.from_numpy(rotations), rest)
    return found.joints.numpy(), found.rotations.numpy()


def tilt(degrees):
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]], np.float32)


def test_the_floor_lies_under_the_heels_of_someone_who_stands(rest):
    joints, rotations = posed(rest, EASY["stand"])
    floor = floor_height(joints, rotations, UP)[0]
    assert floor == pytest.approx(ground_points(joints, rotations)[0, :, 1].min(), abs=1e-6)
    assert joints[0, [7, 8], 1].min() - 0.12 < floor < joints[0, [10, 11, 27, 28], 1].min() + 0.01


@pytest.mark.parametrize("degrees", [-4, -2, 5, 9])
def test_who_leans_as_a_whole_is_set_upright(rest, degrees):
    upright = settle(*posed(rest, EASY["stand"]))[0]
    leaning = settle(*posed(rest, EASY["stand"], tilt(degrees)))[0]
    np.testing.assert_allclose(leaning @ tilt(degrees), upright, atol=0.06)


def test_a_body_at_rest_stays_where_it_is(rest):
    joints, rotations = posed(rest, LYING["lie_back"])
    once = settle(joints, rotations)[0]
    again = settle(*posed(rest, LYING["lie_back"], once))[0]
    np.testing.assert_allclose(again, np.eye(3), atol=1e-5)


def test_a_chair_is_not_turned_away(rest):
    """Seat and feet span a face far from level: more than FARTHEST_TURN, so the pose stays."""
    np.testing.assert_allclose(settle(*posed(rest, SITTING["sit"]))[0], np.eye(3), atol=1e-6)


def test_turns_are_rotations_of_at_most_the_limit(rest):
    poses = np.stack([*EASY.values(), *LYING.values()])
    rotations = to_rotations(poses)
    found = forward_kinematics(torch.from_numpy(rotations), rest.expand(len(poses), -1, -1))
    turns = settle(found.joints.numpy(), found.rotations.numpy())
    np.testing.assert_allclose(turns @ turns.transpose(0, 2, 1), np.tile(np.eye(3), (len(turns), 1, 1)), atol=1e-5)
    angles = np.degrees(np.arccos(np.clip((np.trace(turns, axis1=1, axis2=2) - 1) / 2, -1, 1)))
    assert angles.max() <= FARTHEST_TURN + 1e-3 and (angles > 0.5).any()
