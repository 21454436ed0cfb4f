import numpy as np
import pytest
import roma
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from hmr.body.body import load_body
from hmr.body.kinematics import (
    axis_rotation,
    forward_kinematics,
    inverse_kinematics,
    smallest_rotation,
    twists_of,
)
from hmr.studio.pose_prior import sample_angles, to_rotations


@pytest.fixture(scope="module")
def body():
    return load_body()


def poses(count: int, seed: int = 0) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    return torch.from_numpy(np.stack([to_rotations(sample_angles(rng, "hard")) for _ in range(count)]))


def test_smallest_rotation_of_a_quarter_turn():
    got = smallest_rotation(torch.tensor([1.0, 0.0, 0.0]), torch.tensor([0.0, 3.0, 0.0]))
    assert_close(got, torch.tensor([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]))


@pytest.mark.parametrize("axis", [[1.0, 0, 0], [0, -1.0, 0], [0.6, 0.0, 0.8]])
def test_opposite_directions_still_give_a_rotation_onto_the_target(axis):
    start = torch.tensor(axis)
    turn = smallest_rotation(start, -start)
    assert_close(turn @ start, -start, atol=1e-6, rtol=0)
    assert_close(torch.linalg.det(turn), torch.tensor(1.0))


def test_zero_vectors_turn_nothing():
    assert_close(smallest_rotation(torch.zeros(3), torch.ones(3)), torch.eye(3))


@given(st.floats(-3.1, 3.1), st.integers(0, 2**16))
def test_axis_rotation_is_the_rotation_vector(angle, seed):
    axis = torch.nn.functional.normalize(
        torch.randn(3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64), dim=0
    )
    turn = torch.tensor([np.cos(angle), np.sin(angle)])
    assert_close(axis_rotation(axis, turn), roma.rotvec_to_rotmat(axis * angle), atol=1e-9, rtol=0)


def test_forward_kinematics_is_the_bodys_own(body):
    rotations, betas = poses(8), torch.randn(8, 10, generator=torch.Generator().manual_seed(1))
    translation = torch.randn(8, 3, generator=torch.Generator().manual_seed(2))
    want = body(rotations, betas, translation).joints
    got = forward_kinematics(rotations, body.rest_joints(betas), translation).joints
    assert_close(got[:, :24], want[:, :24], atol=1e-5, rtol=0)


@pytest.mark.parametrize("pelvis", ["hip_line", "hip_mean"])
def test_exact_twists_bring_the_joints_back_within_a_hundredth_of_a_millimetre(body, pelvis):
    rotations = poses(64)
    rest = body.rest_joints(torch.randn(64, 10, generator=torch.Generator().manual_seed(3)))
    joints = forward_kinematics(rotations, rest).joints
    found = inverse_kinematics(joints, twists_of(rotations, rest), rest, pelvis)
    again = forward_kinematics(found, rest).joints
    assert (again - joints)[:, :24].norm(dim=-1).max() < 1e-5


def test_only_directions_count(body):
    rotations = poses(4)
    rest = body.rest_joints(torch.zeros(4, 10))
    joints, twists = forward_kinematics(rotations, rest).joints, twists_of(rotations, rest)
    assert_close(
        inverse_kinematics(joints * 1000 + 7, twists * 3, rest),
        inverse_kinematics(joints, twists, rest),
        atol=2e-3,
        rtol=0,
    )


def test_batched_is_one_by_one(body):
    rotations = poses(3)
    rest = body.rest_joints(torch.zeros(3, 10))
    joints, twists = forward_kinematics(rotations, rest).joints, twists_of(rotations, rest)
    together = inverse_kinematics(joints, twists, rest)
    for k in range(3):
        alone = inverse_kinematics(joints[k : k + 1], twists[k : k + 1], rest[k : k + 1])
        assert_close(together[k : k + 1], alone)


def test_gradients_reach_joints_and_twists(body):
    rotations = poses(2)
    rest = body.rest_joints(torch.zeros(2, 10))
    joints = forward_kinematics(rotations, rest).joints.requires_grad_()
    twists = twists_of(rotations, rest).requires_grad_()
    forward_kinematics(inverse_kinematics(joints, twists, rest), rest).joints.square().sum().backward()
    assert joints.grad is not None and joints.grad.isfinite().all() and joints.grad.abs().sum() > 0
    assert twists.grad is not None and twists.grad.isfinite().all()
