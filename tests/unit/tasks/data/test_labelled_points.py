"""A record's points by our names, with hand-worked values."""

import numpy as np

from hmr.body.skeleton import EVAL_14, JOINT_NAMES
from storage.sources.joint_sets import COCO_17, HMR2_44, SMPL_24
from tasks.data.labelled_points import joints_of, landmarks_of, measurable


def record(**given):
    names = ("kp2d", "kp2d_names", "kp2d_conf", "kp2d_vis", "kp3d", "kp3d_names", "kp3d_valid")
    return dict.fromkeys(names) | given


def test_keypoints_become_landmarks_by_name():
    places = np.arange(34.0).reshape(17, 2)
    found = landmarks_of(record(kp2d=places, kp2d_names=",".join(COCO_17), kp2d_vis=[0] + [2] * 15 + [1]))
    assert found is not None and found[0].tolist() == [0, 0, 0]  # the nose is absent
    assert found[25].tolist() == [*places[COCO_17.index("left_knee")], 1]
    assert found[28].tolist() == [32, 33, 1]  # a hidden right ankle is labelled all the same
    assert (found[:, 2] > 0).sum() == 16 and landmarks_of(record()) is None


def test_of_several_points_of_a_name_the_first_given_counts():
    places = np.tile(np.arange(44.0)[:, None], 2)
    sure = np.full(44, 0.5)
    sure[HMR2_44.index("left_hip_openpose")] = 0
    found = landmarks_of(record(kp2d=places, kp2d_names=",".join(HMR2_44), kp2d_conf=sure))
    assert found is not None and found[23].tolist() == [28, 28, 0.5]  # of LSP's, place 25 + 3
    assert found[24].tolist() == [9, 9, 0.5]  # of OpenPose's


def test_joints_keep_their_place_and_what_is_not_told_is_nan():
    places = np.arange(72.0).reshape(24, 3)
    valid = [True] * 23 + [False]
    found = joints_of(record(kp3d=places, kp3d_names=",".join(SMPL_24), kp3d_valid=valid))
    assert found[JOINT_NAMES.index("left_wrist")].tolist() == [60, 61, 62]
    assert np.isnan(found[23:]).all() and measurable(found)  # 13 of 14: there is no head top
    assert np.isfinite(found[list(EVAL_14)]).all(1).sum() == 13
    found[0] = np.nan
    assert measurable(found)  # about the middle of the hips
    found[1] = np.nan
    assert not measurable(found)
