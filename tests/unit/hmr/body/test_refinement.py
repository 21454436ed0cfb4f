"""The fit: keypoints without vertices are those of the body; it comes nearer, keeps the bones, stays if it must."""

from dataclasses import replace
from importlib import resources

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hmr.body.body import Body, load_body
from hmr.body.body_file import read_body_file
from hmr.body.camera import project
from hmr.body.kinematics import forward_kinematics
from hmr.body.refinement import RefineSettings, _keypoints, refine
from hmr.body.rotations import rotation_matrices
from hmr.detection.agreement import LANDMARK_OF_KEYPOINT, SHARED, keypoint_distance

CAMERA = torch.tensor([800.0, 800, 320, 240])
UPRIGHT = torch.tensor([np.pi, 0, 0], dtype=torch.float32)  # the body's y points up, the camera's down


@pytest.fixture(scope="module")
def body():
    return load_body()


def somebody(seed: int, bend: float = 0.25):
    """Rotations (24, 3, 3), betas and a place four metres away."""
    draw = torch.Generator().manual_seed(seed)
    vectors = torch.randn(24, 3, generator=draw) * bend
    vectors[0] = UPRIGHT
    return rotation_matrices(vectors), torch.randn(10, generator=draw) * 0.5, torch.tensor([0.2, 0.1, 4.0])


def seen(body, rotations, betas, translation, visible=1.0):
    """The landmarks (33, 4) that a perfect detector gives, and a crop about them."""
    points = project(body(rotations[None], betas[None], translation[None]).keypoints, CAMERA[None])[0]
    landmarks = torch.zeros(33, 4)
    landmarks[LANDMARK_OF_KEYPOINT[SHARED], :2] = points[SHARED]
    landmarks[LANDMARK_OF_KEYPOINT[SHARED], 3] = visible
    low, high = points.min(0).values, points.max(0).values
    return landmarks, torch.tensor([*((low + high) / 2), 1.25 * (high - low).max()])


def distance(body, rotations, betas, translation, landmarks, crop):
    points = project(body(rotations[None], betas[None], translation[None]).keypoints, CAMERA[None])
    return float(keypoint_distance(points.numpy(), landmarks[None].numpy(), crop[None].numpy())[0])


def test_keypoints_without_vertices_are_the_bodys(body):
    rotations, betas, translation = somebody(1)
    carried = body.carried_keypoints(rotations[None], betas[None])
    found = _keypoints(rotations[None], translation[None], body.rest_joints(betas[None]), *carried)
    want = body(rotations[None], betas[None], translation[None]).keypoints
    torch.testing.assert_close(found, want, atol=2e-5, rtol=0)


def test_they_are_without_a_keypoint_regressor_too():
    """As for licensed SMPL, whose arrays have this form; here with the free body's own numbers."""
    with resources.as_file(resources.files("hmr") / "assets" / "body_light.npz") as path:
        test_keypoints_without_vertices_are_the_bodys(Body(replace(read_body_file(path), keypoint_regressor=None)))


@settings(max_examples=5)
@given(st.integers(0, 1000))
def test_a_body_that_was_moved_a_little_finds_back(body, seed):
    true, betas, place = somebody(seed)
    landmarks, crop = seen(body, true, betas, place)
    draw = torch.Generator().manual_seed(seed + 1)
    turns = torch.zeros(24, 3)
    turns[[16, 17, 18, 19, 1, 2, 4, 5]] = torch.randn(8, 3, generator=draw) * 0.15
    moved, there = true @ rotation_matrices(turns), place + torch.tensor([0.05, -0.04, 0.1])
    before = distance(body, moved, betas, there, landmarks, crop)
    found = refine(body, moved, betas, there, CAMERA, landmarks, crop, RefineSettings(turn=3.0))
    after = distance(body, found.rotations, betas, found.translation, landmarks, crop)
    assert after < 0.35 * before
    identity = (found.rotations @ found.rotations.transpose(-1, -2) - torch.eye(3)).abs().max()
    assert identity < 1e-5
    rest = body.rest_joints(betas[None])
    old, new = (forward_kinematics(x[None], rest).joints[0] for x in (moved, found.rotations))
    for child, parent in ((4, 1), (7, 4), (18, 16), (20, 18), (12, 9)):
        torch.testing.assert_close((new[child] - new[parent]).norm(), (old[child] - old[parent]).norm())


def test_what_fits_already_stays(body):
    true, betas, place = somebody(3)
    landmarks, crop = seen(body, true, betas, place)
    found = refine(body, true, betas, place, CAMERA, landmarks, crop)
    assert found.turned.max() < 1e-3
    torch.testing.assert_close(found.translation, place, atol=1e-3, rtol=0)


def test_unseen_and_broken_landmarks_do_not_pull(body):
    true, betas, place = somebody(4)
    landmarks, crop = seen(body, true, betas, place, visible=0.0)
    landmarks[:, :2] += 40
    found = refine(body, true, betas, place, CAMERA, landmarks, crop)
    assert torch.equal(found.rotations, true) and torch.equal(found.translation, place)
    landmarks, crop = seen(body, true, betas, place)
    landmarks[15] = torch.nan
    assert refine(body, true, betas, place, CAMERA, landmarks, crop).turned.max() < 1e-3


def test_a_firmer_hold_moves_less(body):
    true, betas, place = somebody(5)
    landmarks, crop = seen(body, true, betas, place)
    bent = true.clone()
    bent[18] = bent[18] @ rotation_matrices(torch.tensor([0.0, 0, 0.6]))
    free, held = (refine(body, bent, betas, place, CAMERA, landmarks, crop, RefineSettings(turn=t)) for t in (1.0, 0.2))
    assert held.turned.norm() < free.turned.norm()
