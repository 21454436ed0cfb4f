import numpy as np
import torch

from hmr.body.body import load_body
from hmr.body.camera import project
from hmr.body.kinematics import forward_kinematics
from hmr.body.landmark_points import fit_landmark_points, landmark_offsets, landmark_places
from hmr.diffusion.mirror import LANDMARK_SWAP
from hmr.studio.studio import truths


def placed(split="lab", count=120):
    body = load_body()
    truth = truths(body, split, range(count), purpose="test of the project")
    parts = [torch.from_numpy(x) for x in (truth.rotations, truth.betas, truth.translation)]
    found = forward_kinematics(parts[0], body.rest_joints(parts[1]), parts[2])
    return found.joints, found.rotations, torch.from_numpy(truth.camera)


def test_without_offsets_landmarks_are_the_joints_that_carry_them():
    joints, rotations, _ = placed(count=2)
    places = landmark_places(joints, rotations, torch.zeros(33, 3))
    assert places[0, 0].equal(joints[0, 15]) and places[0, 25].equal(joints[0, 4])
    assert places[1, 32].equal(joints[1, 11])


def test_known_offsets_come_back_from_what_a_detector_would_see():
    joints, rotations, camera = placed()
    offsets = np.random.default_rng(0).normal(0, 0.03, (33, 3)).astype(np.float32)
    seen = project(landmark_places(joints, rotations, torch.from_numpy(offsets)), camera).numpy()
    seen = np.concatenate([seen, np.zeros((*seen.shape[:2], 1)), np.ones((*seen.shape[:2], 1))], -1)
    found = fit_landmark_points(joints.numpy(), rotations.numpy(), camera.numpy(), seen)
    # The pull towards the joint is 1 px per 5 cm: a point 3 cm off loses a few millimetres.
    np.testing.assert_allclose(found, offsets, atol=0.006)


def test_wild_detections_do_not_move_the_fit():
    joints, rotations, camera = placed()
    seen = project(landmark_places(joints, rotations), camera).numpy()
    seen = np.concatenate([seen, np.zeros((*seen.shape[:2], 1)), np.ones((*seen.shape[:2], 1))], -1)
    clean = fit_landmark_points(joints.numpy(), rotations.numpy(), camera.numpy(), seen)
    seen[::10, :, 0] += 90.0
    np.testing.assert_allclose(
        fit_landmark_points(joints.numpy(), rotations.numpy(), camera.numpy(), seen), clean, atol=0.006
    )


def test_shipped_points_are_about_as_symmetric_as_people():
    offsets = landmark_offsets()
    np.testing.assert_allclose(offsets[LANDMARK_SWAP] * (-1, 1, 1), offsets, atol=0.02)
    assert offsets[0, 2] > 0.07  # the nose is in front of the head's joint
