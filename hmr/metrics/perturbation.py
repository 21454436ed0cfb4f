"""Hypotheses made from the truth: Gaussian noise of known levels on pose, root and shape.

The protocol by which scorers are published (Shen et al. 2025, ADHMR): ground truth plus noise of standard deviation
0.05 rad on the joints' rotations, 0.02 rad on the root's and 0.05 on the betas. That is level 1 here; level l is l
times as much. A group mixes levels, since a critic must distinguish small errors from large ones.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from hmr.body.rotations import rotation_matrices
from hmr.metrics.evaluation import TrueBodies

POSE, ROOT, BETAS = 0.05, 0.02, 0.05
"""Standard deviations at level 1: radians of each component of a rotation vector, and betas."""

MOST = 16.0
"""The largest level that `mixed_levels` draws: 0.8 rad on every joint."""


class Perturbed(NamedTuple):
    """Groups of bodies about true ones; metres, camera frame."""

    rotations: Float[Tensor, "n g 24 3 3"]
    betas: Float[Tensor, "n 10"]  # shared by the group, as everywhere in the project
    translation: Float[Tensor, "n g 3"]


def mixed_levels(
    people: int, hypotheses: int, generator: torch.Generator, most: int | float = MOST
) -> Float[Tensor, "n g"]:
    """Noise levels (factors on the standard deviations) from 1 to `most`, their logarithms uniform.

    As many lie between 1 and 2 as between 8 and 16.
    """
    return most ** torch.rand(people, hypotheses, generator=generator)


def perturb(truth: TrueBodies, levels: Float[Tensor, "n g"], generator: torch.Generator) -> Perturbed:
    """Groups about n true bodies, one hypothesis per level.

    Noise rotates each joint in its own frame, R' = R exp(noise), radians. A group has one body shape, so its betas are
    perturbed once, by the mean of its levels. The pelvis stays where it is.
    """
    noise = torch.randn(*levels.shape, 24, 3, generator=generator) * levels[..., None, None]
    noise[:, :, :1] *= ROOT
    noise[:, :, 1:] *= POSE
    shape = torch.randn(len(levels), 10, generator=generator) * levels.mean(1, keepdim=True) * BETAS
    return Perturbed(
        truth.rotations[:, None] @ rotation_matrices(noise),
        truth.betas + shape,
        truth.translation[:, None].expand(*levels.shape, 3),
    )
