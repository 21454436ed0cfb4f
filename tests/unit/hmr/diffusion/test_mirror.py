"""A person, all their hypotheses and the truth seen in a mirror: nothing that training learns from changes."""

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from hmr.alignment.advantage import group_advantages
from hmr.body.body import load_body
from hmr.body.camera import back_project, project, to_crop
from hmr.body.kinematics import forward_kinematics
from hmr.body.skeleton import JOINT_NAMES
from hmr.diffusion.condition import Observation
from hmr.diffusion.latent import decode, encode
from hmr.diffusion.mirror import mirror_latents, mirror_observation
from hmr.diffusion.noise_schedule import DATA_SCALE
from hmr.metrics.evaluation import joint_errors
from hmr.studio.studio import truths

PEOPLE, HYPOTHESES = 6, 5
ROOT = 4.0  # m
PARTS = {11: "shoulder", 13: "elbow", 15: "wrist", 25: "knee", 27: "ankle"}
SEEN = {left + k: f"{side}_{part}" for left, part in PARTS.items() for k, side in enumerate(("left", "right"))}
"""Of the landmarks, those that are joints as well."""


@pytest.fixture(scope="module")
def scene():
    """Latents of true bodies and of hypotheses about them, and what a detector that sees the truth would say."""
    body = load_body()
    truth = truths(body, "lab", range(PEOPLE), purpose="test of the project")
    rotations, translation, camera = (torch.from_numpy(x) for x in (truth.rotations, truth.translation, truth.camera))
    rest = body.rest_joints(torch.zeros(PEOPLE, 10))
    # The picture is cut in the middle, so that the mirrored one has the same camera.
    crop = torch.stack([camera[:, 2], camera[:, 3], torch.full((PEOPLE,), 260.0)], 1)
    true = encode(rotations, translation, rest, camera, crop)
    random = torch.Generator().manual_seed(0)
    drawn = true[:, None] + 4 * torch.randn(PEOPLE, HYPOTHESES, true.shape[1], generator=random)
    landmarks = torch.rand(PEOPLE, 33, 4, generator=random)
    places = to_crop(project(forward_kinematics(rotations, rest, translation).joints, camera), crop)
    for landmark, name in SEEN.items():
        landmarks[:, landmark, :2] = places[:, JOINT_NAMES.index(name)]
    pictures = torch.randint(0, 256, (PEOPLE, 128, 128, 3), generator=random, dtype=torch.uint8)
    masks = torch.randint(0, 256, (PEOPLE, 64, 64), generator=random, dtype=torch.uint8)
    seen = Observation(pictures, masks, landmarks, torch.randn(PEOPLE, 33, 3, generator=random))
    return seen, drawn, true, rest, camera, crop


def places_and_depths(latents: Tensor) -> Tensor:
    return latents[..., :87].unflatten(-1, (29, 3)) / DATA_SCALE


def in_metres(latents: Tensor) -> Tensor:
    """Joints as the diffused vector has them, one root depth and a camera of 90 degrees for all."""
    joints = places_and_depths(latents).flatten(0, -3)
    found = back_project(joints[..., :2], joints[..., 2], torch.full((len(joints),), ROOT))
    return found.unflatten(0, latents.shape[:-1])


def pixel_errors(seen: Observation, latents: Tensor) -> Tensor:
    """Mean distance of landmarks and the joints that they are, in crop coordinates."""
    joints = [JOINT_NAMES.index(name) for name in SEEN.values()]
    places = places_and_depths(latents)[..., joints, :2]
    return (places - seen.landmarks[:, None, list(SEEN), :2]).norm(dim=-1).mean(-1)


def advantages(errors: Tensor) -> Tensor:
    return group_advantages(100 - errors.double() / 10).values


def test_errors_and_advantages_are_those_of_the_mirrored_scene(scene):
    seen, drawn, true, *_ = scene
    everybody = torch.ones(PEOPLE, dtype=torch.bool)
    other, drawn_other, true_other = mirror_observation(seen, everybody), mirror_latents(drawn), mirror_latents(true)
    assert not seen.picture.equal(other.picture) and other.picture[0, 0, 0].equal(seen.picture[0, 0, -1])
    assert not torch.allclose(drawn, drawn_other)

    plain = torch.from_numpy(joint_errors(in_metres(drawn), in_metres(true))[0])
    turned = torch.from_numpy(joint_errors(in_metres(drawn_other), in_metres(true_other))[0])
    assert plain.min() > 1
    assert_close(turned, plain, rtol=1e-4, atol=1e-3)  # mm
    assert_close(advantages(turned), advantages(plain), rtol=0, atol=1e-3)
    assert_close(pixel_errors(other, drawn_other), pixel_errors(seen, drawn), rtol=1e-4, atol=1e-5)


def test_posed_bodies_agree_as_far_as_the_body_is_symmetric(scene):
    _, drawn, true, rest, camera, crop = scene

    def errors(hypotheses: Tensor, truth: Tensor) -> np.ndarray:
        """Each hypothesis posed with the body's bones."""
        many = [part.repeat_interleave(HYPOTHESES, 0) for part in (rest, camera, crop)]
        posed = decode(hypotheses.flatten(0, 1), *many).joints.unflatten(0, (PEOPLE, HYPOTHESES))
        return joint_errors(posed, decode(truth, rest, camera, crop).joints)[0]

    plain, turned = errors(drawn, true), errors(mirror_latents(drawn), mirror_latents(true))
    np.testing.assert_allclose(turned, plain, atol=10)  # mm; the free body is symmetric to a few
    assert np.corrcoef(plain.ravel(), turned.ravel())[0, 1] > 0.98


def test_only_the_chosen_people_are_turned(scene):
    seen = scene[0]
    which = torch.tensor([True] + [False] * (PEOPLE - 1))
    turned = mirror_observation(seen, which)
    for before, after in zip(seen, turned):
        assert after[1:].equal(before[1:]) and not after[0].equal(before[0])
    again = mirror_observation(turned, which)
    assert all(after.equal(before) for before, after in zip(seen, again))
