"""Simulated detections: exact without noise, and laws of what hides and what swaps."""

import pytest
import torch
from torch.testing import assert_close

from hmr.body.body import load_body
from hmr.body.camera import project, to_crop
from hmr.detection.people import person_crop
from hmr.diffusion.mirror import LANDMARK_SWAP
from hmr.pretraining.labels import undrawn_people
from hmr.studio.detection_quality import detection_quality
from hmr.studio.simulated_detection import DetectionNoise, as_the_crop_sees, simulate
from hmr.studio.studio import Look

QUIET = DetectionNoise(
    least=1e-9, most=1e-9, hidden=0.0, gross=0.0, swap=0.0, swap_legs=0.0, swap_arms=0.0, anatomy=0.0,
    behind=0.0, occluded=0.0,
    world_size=0.0, world_mean_size=1.0, depth_low=1.0, depth_high=1.0, world_noise=0.0, world_hidden=0.0, turn=0.0,
)  # fmt: skip


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def people():
    return undrawn_people(load_body(), 300, (Look(lab=False, poses="hard"), Look(lab=True, poses="easy")))


def test_without_noise_the_detector_sees_the_truth(people):
    plain = people.select(torch.arange(1, 300, 2))  # of the lab: nobody leaves the picture
    seen = simulate(plain, QUIET, generator())
    assert_close(seen.landmarks[..., :2], project(plain.marks, plain.camera), atol=1e-3, rtol=0)
    hips = plain.marks[:, 23:25].mean(1, keepdim=True)
    assert_close(seen.world, as_the_crop_sees(plain.marks - hips, hips), atol=1e-5, rtol=0)
    assert_close(seen.world.norm(dim=-1), (plain.marks - hips).norm(dim=-1), atol=1e-4, rtol=0)  # a turn, no more
    assert (seen.landmarks[:, :11, 3] > 0.99).all()


def test_crops_are_those_of_the_finder(people):
    seen = simulate(people, DetectionNoise(), generator())
    for landmarks, crop in zip(seen.landmarks[:20], seen.crop):
        assert_close(torch.from_numpy(person_crop(landmarks.numpy())), crop, atol=2e-3, rtol=1e-5)
    visible = seen.landmarks[..., 3] > 0.1
    assert to_crop(seen.landmarks[..., :2], seen.crop)[visible].abs().max() <= 2 / 2.5 + 1e-4


def test_the_same_generator_gives_the_same_detections(people):
    first, again = (simulate(people, DetectionNoise(), generator(3)) for _ in range(2))
    other = simulate(people, DetectionNoise(), generator(4))
    assert all(a.equal(b) for a, b in zip(first, again)) and not first.landmarks.equal(other.landmarks)


def test_who_is_seen_the_wrong_way_round_has_left_and_right_exchanged(people):
    plain = people.select(torch.arange(1, 300, 2))
    straight = simulate(plain, QUIET, generator())
    turned = simulate(plain, QUIET.model_copy(update={"swap": 1.0}), generator())
    assert_close(turned.landmarks[..., :2], straight.landmarks[:, LANDMARK_SWAP, :2])
    assert_close(turned.world[..., 2], -straight.world[:, LANDMARK_SWAP, 2])


def test_what_is_hidden_is_seen_worse_and_less_surely(people):
    quality = detection_quality(people, simulate(people, DetectionNoise(), generator()))
    assert quality["visibility_0.00_error_median"] > 2 * quality["visibility_0.95_error_median"]
    assert 0.01 < quality["swapped"] < 0.12


def test_quality_of_a_perfect_detector(people):
    plain = people.select(torch.arange(1, 300, 2))
    quality = detection_quality(plain, simulate(plain, QUIET, generator()))
    assert quality["error_p90"] < 1e-2 and quality["gross"] == 0 and quality["swapped"] == 0
    assert quality["world_median"] < 0.1 and quality["depth_slope_median"] == pytest.approx(1, abs=1e-4)
    assert quality["world_size_median"] == pytest.approx(1, abs=1e-4)
