"""Mirror images of people: observations and diffused vectors turned left to right together.

Pretraining mirrors half of each batch. Fine-tuning mirrors nothing: the mirror image of a person, with all hypotheses
and the truth, has the same errors and so the same advantages. A trial of it on `val` gained nothing, and each person
would have to be encoded twice.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from hmr.body.skeleton import JOINT_NAMES
from hmr.diffusion.condition import Observation
from hmr.diffusion.latent import JOINT_DIMS

# BlazePose lists the nose, the eyes in blocks of three, then left and right in turn (odd = left from 7 on).
LANDMARK_SWAP = [0, 4, 5, 6, 1, 2, 3, *(i + 1 if i % 2 else i - 1 for i in range(7, 33))]


def _other(name: str) -> str:
    if name.startswith("left_"):
        return "right_" + name[5:]
    return "left_" + name[6:] if name.startswith("right_") else name


JOINT_SWAP = [JOINT_NAMES.index(_other(name)) for name in JOINT_NAMES]


def mirror_latents(latents: Float[Tensor, "*b 133"]) -> Float[Tensor, "*b 133"]:
    """Diffused vectors seen in a mirror: u and the twists' sines change sign, left and right are exchanged."""
    joints = latents[..., :JOINT_DIMS].unflatten(-1, (29, 3))[..., JOINT_SWAP, :]
    twists = latents[..., JOINT_DIMS:].unflatten(-1, (23, 2))[..., [j - 1 for j in JOINT_SWAP[1:24]], :]
    joints = joints * joints.new_tensor([-1.0, 1.0, 1.0])
    twists = twists * twists.new_tensor([1.0, -1.0])
    return torch.cat([joints.flatten(-2), twists.flatten(-2)], -1)


def mirror_observation(observation: Observation, which: Bool[Tensor, " image"]) -> Observation:
    """Observations with the people where `which` is true seen in a mirror: pixels, masks and landmarks (crop units)."""
    picture, mask, landmarks, world = (part.clone() for part in observation)
    picture[which] = picture[which].flip(2)
    mask[which] = mask[which].flip(2)
    landmarks[which] = landmarks[which][:, LANDMARK_SWAP] * landmarks.new_tensor([-1.0, 1.0, 1.0, 1.0])
    world[which] = world[which][:, LANDMARK_SWAP] * world.new_tensor([-1.0, 1.0, 1.0])
    return Observation(picture, mask, landmarks, world)
