"""The body: where its parts are, and that it is one function of pose, shape and place."""

import math
from dataclasses import fields, replace
from importlib import resources

import numpy as np
import pytest
import roma
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from hmr.body.body import Body, load_body
from hmr.body.body_file import BodyArrays, read_body_file
from hmr.body.skeleton import CHILDREN, EVAL_14, JOINT_NAMES, KEYPOINT_NAMES, PARENTS

BODY = load_body()
JOINT = {name: index for index, name in enumerate(JOINT_NAMES)}
KEYPOINT = {name: index for index, name in enumerate(KEYPOINT_NAMES)}


def rotations(batch: int, spread: float = 0.4) -> torch.Tensor:
    return roma.rotvec_to_rotmat(spread * torch.randn(batch, 24, 3, generator=torch.Generator().manual_seed(7)))


def at_rest(body: Body = BODY):
    output = body(torch.eye(3).expand(1, 24, 3, 3), torch.zeros(1, 10), torch.zeros(1, 3))
    return output.vertices[0], output.joints[0], output.keypoints[0]


def test_skeleton_is_one_tree_with_five_leaves():
    assert len(PARENTS) == len(CHILDREN) == len(JOINT_NAMES) == 29
    assert all(parent < joint or joint == parent == 0 or joint > 23 for joint, parent in enumerate(PARENTS))
    assert all(child == -1 or PARENTS[child] == joint for joint, child in enumerate(CHILDREN))
    assert [JOINT_NAMES[j] for j in EVAL_14[:4]] == ["right_ankle", "right_knee", "right_hip", "left_hip"]
    assert len(KEYPOINT_NAMES) == 23


def test_parts_of_the_resting_body_lie_where_they_should():
    _, joints, keypoints = at_rest()
    assert keypoints[KEYPOINT["nose"], 2] > joints[JOINT["head"], 2] + 0.05
    assert joints[JOINT["head_top"], 1] > joints[JOINT["head"], 1] + 0.1
    for side, sign in (("left", 1), ("right", -1)):
        ankle, wrist = joints[JOINT[f"{side}_ankle"]], joints[JOINT[f"{side}_wrist"]]
        toe, finger = joints[JOINT[f"{side}_big_toe"]], joints[JOINT[f"{side}_middle_finger"]]
        assert toe[1] < ankle[1] and toe[2] > ankle[2] + 0.1
        assert sign * finger[0] > sign * wrist[0] + 0.1
        for name in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle"):
            joint, keypoint = joints[JOINT[f"{side}_{name}"]], keypoints[KEYPOINT[f"{side}_{name}"]]
            assert sign * joint[0] > 0 and sign * keypoint[0] > 0
            assert (joint - keypoint).norm() < 0.06
        assert keypoints[KEYPOINT[f"{side}_heel"], 2] < ankle[2]


def test_keypoints_of_a_body_without_regressor_are_joints_and_surface_points():
    """As for licensed SMPL, whose arrays have this form; here with the free body's own numbers."""
    with resources.as_file(resources.files("hmr") / "assets" / "body_light.npz") as path:
        arrays = replace(read_body_file(path), keypoint_regressor=None)
    vertices, joints, keypoints = at_rest(Body(arrays))
    assert_close(keypoints[KEYPOINT["left_knee"]], joints[JOINT["left_knee"]])
    assert_close(keypoints[KEYPOINT["right_wrist"]], joints[JOINT["right_wrist"]])
    assert_close(keypoints[KEYPOINT["left_heel"]], vertices[arrays.vertex_ids["LHeel"]])
    _, _, regressed = at_rest()
    assert (keypoints - regressed).norm(dim=1).max() < 0.07


def test_rest_joints_are_the_joints_of_the_unposed_body():
    betas = torch.randn(4, 10, generator=torch.Generator().manual_seed(1))
    output = BODY(torch.eye(3).expand(4, 24, 3, 3), betas, torch.zeros(4, 3))
    assert_close(BODY.rest_joints(betas), output.joints, atol=1e-5, rtol=0)


def test_first_beta_is_size():
    betas = torch.zeros(3, 10)
    betas[:, 0] = torch.tensor([-2.0, 0.0, 2.0])
    joints = BODY.rest_joints(betas)
    heights = joints[:, JOINT["head_top"], 1] - joints[:, JOINT["left_big_toe"], 1]
    assert heights[0] < heights[1] < heights[2]
    assert 1.6 < heights[1] < 1.8


def test_batch_is_one_by_one():
    pose, betas, translation = rotations(3), torch.randn(3, 10), torch.randn(3, 3)
    together = BODY(pose, betas, translation)
    for i in range(3):
        alone = BODY(pose[i : i + 1], betas[i : i + 1], translation[i : i + 1])
        for whole, part in zip(together, alone):
            assert_close(whole[i : i + 1], part, atol=1e-5, rtol=0)


@settings(max_examples=10)
@given(x=st.floats(-math.pi, math.pi), y=st.floats(-math.pi, math.pi), z=st.floats(-math.pi, math.pi))
def test_root_turns_the_body_about_its_pelvis(x, y, z):
    pose, betas = rotations(1), torch.full((1, 10), 0.5)
    turn = roma.rotvec_to_rotmat(torch.tensor([[x, y, z]]))
    before = BODY(pose, betas, torch.zeros(1, 3))
    turned = pose.clone()
    turned[:, 0] = turn @ pose[:, 0]
    after = BODY(turned, betas, torch.tensor([[0.1, 0.2, 3.0]]))
    pelvis = before.joints[:, :1]
    for was, now in zip(before, after):
        expected = (was - pelvis) @ turn.transpose(1, 2) + pelvis + torch.tensor([0.1, 0.2, 3.0])
        assert_close(now, expected, atol=2e-5, rtol=0)


def test_bones_keep_their_length_in_any_pose():
    pose, betas = rotations(5, 1.0), torch.zeros(5, 10)
    joints, rest = BODY(pose, betas, torch.zeros(5, 3)).joints, BODY.rest_joints(betas)
    bones = [(joint, PARENTS[joint]) for joint in range(1, 24)]
    for child, parent in bones:
        assert_close(
            (joints[:, child] - joints[:, parent]).norm(dim=1),
            (rest[:, child] - rest[:, parent]).norm(dim=1),
            atol=1e-5,
            rtol=0,
        )


def test_gradient_agrees_with_a_difference():
    pose, betas = rotations(1), torch.zeros(1, 10, requires_grad=True)
    translation = torch.zeros(1, 3, requires_grad=True)
    axis = torch.zeros(1, 24, 3, requires_grad=True)

    def height(axis, betas, translation):
        return BODY(pose @ roma.rotvec_to_rotmat(axis), betas, translation).joints[0, JOINT["left_wrist"], 1]

    height(axis, betas, translation).backward()
    assert_close(translation.grad, torch.tensor([[0.0, 1.0, 0.0]]))
    step = torch.zeros(1, 24, 3)
    step[0, JOINT["left_elbow"], 2] = 1e-2
    with torch.no_grad():
        slope = (height(axis + step, betas, translation) - height(axis - step, betas, translation)) / 2e-2
    assert_close(axis.grad[0, JOINT["left_elbow"], 2], slope, atol=1e-4, rtol=1e-3)
    assert betas.grad.abs().sum() > 0


def test_body_has_nothing_to_train_and_tells_about_itself():
    assert not list(BODY.parameters())
    assert BODY.name == "anny-smpl-format"
    assert BODY.template.shape == (BODY.vertex_count, 3)
    assert BODY.skin_weights.shape == (BODY.vertex_count, 24)
    assert BODY.faces.dtype == np.int64 and BODY.faces.max() == BODY.vertex_count - 1
    assert BODY.parents == PARENTS


def test_surface_is_closed_and_faces_outward():
    edges = np.concatenate([BODY.faces[:, [0, 1]], BODY.faces[:, [1, 2]], BODY.faces[:, [2, 0]]])
    _, counts = np.unique(np.sort(edges, axis=1), axis=0, return_counts=True)
    assert (counts == 2).all()
    a, b, c = (BODY.template[BODY.faces[:, corner]].astype(np.float64) for corner in range(3))
    litres = np.einsum("fi,fi->", a, np.cross(b, c)) / 6 * 1000
    assert 50 < litres < 110


def test_loading_prints_nothing(capfd):
    load_body()
    assert capfd.readouterr() == ("", "")


def test_arrays_name_every_part_that_smplx_reads():
    assert {"v_template", "shapedirs", "posedirs", "J_regressor", "weights", "kintree_table", "f"} <= {
        field.name for field in fields(BodyArrays)
    }


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no accelerator")
def test_accelerator_agrees_with_processor():
    inputs = (rotations(2), torch.zeros(2, 10), torch.zeros(2, 3))
    there = load_body().to("cuda")(*(tensor.to("cuda") for tensor in inputs))
    for far, near in zip(there, BODY(*inputs)):
        assert_close(far.cpu(), near, atol=1e-3, rtol=0)
