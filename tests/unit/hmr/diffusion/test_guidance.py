import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from hmr.body.skeleton import JOINT_NAMES
from hmr.diffusion.guidance import LANDMARK_OF_JOINT, keypoint_target, pull
from hmr.diffusion.latent import DIMS
from hmr.diffusion.mirror import JOINT_SWAP, LANDMARK_SWAP
from hmr.diffusion.noise_schedule import DATA_SCALE


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_the_map_by_name():
    named = {JOINT_NAMES[joint]: landmark for joint, landmark in LANDMARK_OF_JOINT.items()}
    assert named["left_shoulder"] == 11 and named["right_wrist"] == 16 and named["left_hip"] == 23
    assert named["right_ankle"] == 28 and len(named) == 12
    assert {LANDMARK_SWAP[m] for m in named.values()} == set(named.values())
    for joint, landmark in LANDMARK_OF_JOINT.items():
        assert LANDMARK_OF_JOINT[JOINT_SWAP[joint]] == LANDMARK_SWAP[landmark]


def test_target_by_hand():
    marks = torch.zeros(1, 33, 4)
    marks[0, 25] = torch.tensor([0.25, -0.5, 9.0, 0.75])  # left knee, seen
    marks[0, 26] = torch.tensor([0.25, -0.5, 9.0, 0.25])  # right knee, guessed
    marks[0, 27] = torch.tensor([torch.nan, 0.0, 0.0, 1.0])
    wanted = torch.zeros(1, 29, 3)
    wanted[0, 4] = torch.tensor([0.25, -0.5, 0.75])
    assert_close(keypoint_target(marks), wanted)


def test_pull_by_hand():  # from 50 (0.1, 0.3) to 50 (0.5, -0.1), weight 0.5 x 0.5: a quarter of the way
    clean, target = torch.zeros(1, 1, DIMS), torch.zeros(1, 29, 3)
    clean[0, 0, 12:15] = DATA_SCALE * torch.tensor([0.1, 0.3, 0.7])
    target[0, 4] = torch.tensor([0.5, -0.1, 0.5])
    wanted = clean.clone()
    wanted[0, 0, 12:14] = DATA_SCALE * torch.tensor([0.2, 0.2])
    assert_close(pull(clean, target, 0.5), wanted)


@given(strength=st.floats(0, 1), weight=st.floats(0, 1))
def test_a_pull_brings_nearer_by_its_share_and_touches_nothing_else(strength, weight):
    clean, target = random(2, 3, DIMS), random(2, 29, 3, seed=1)
    target[..., 2] = 0
    target[:, [4, 20], 2] = weight
    got = pull(clean, target, strength)
    for joint in (4, 20):
        place = slice(3 * joint, 3 * joint + 2)
        goal = DATA_SCALE * target[:, None, joint, :2]
        assert_close(got[..., place] - goal, (1 - strength * weight) * (clean[..., place] - goal), atol=1e-4, rtol=1e-4)
    touched = torch.zeros(DIMS, dtype=torch.bool)
    touched[[12, 13, 60, 61]] = True
    assert torch.equal(got[..., ~touched], clean[..., ~touched])


@pytest.mark.parametrize("strength", [0.0, 1.0])
def test_nothing_seen_pulls_at_nothing(strength):
    clean = random(2, 3, DIMS)
    assert torch.equal(pull(clean, keypoint_target(torch.zeros(2, 33, 4)), strength), clean)
