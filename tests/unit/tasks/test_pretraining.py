import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from hmr.body.body import load_body
from hmr.body.kinematics import forward_kinematics
from hmr.studio.pose_prior import EASY, to_rotations
from tasks.pretraining import facing


@pytest.mark.parametrize(("yaw", "wanted"), [(0, 0), (40, 40), (-90, 90), (180, 180)])
def test_facing_is_how_far_people_look_away_from_the_camera(yaw, wanted):
    rotations = to_rotations(EASY["stand"])[None]
    turn = Rotation.from_euler("x", 180, degrees=True) * Rotation.from_euler("y", yaw, degrees=True)
    rotations[:, 0] = turn.as_matrix().astype(np.float32) @ rotations[:, 0]
    rest = load_body().rest_joints(torch.zeros(1, 10))
    joints = forward_kinematics(torch.from_numpy(rotations), rest).joints.numpy()
    assert facing(joints)[0] == pytest.approx(wanted, abs=2)
