"""The forward process: T = 1000 linear betas, as in the published networks, and the steps that DDIM visits."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

STEPS = 1000
DATA_SCALE = 50.0
"""Factor on all numbers of the diffused vector: crop coordinates in [-1, 1], depth in metres, cosines and sines."""


def alpha_bars() -> Float[Tensor, " step"]:
    """Cumulative products of 1 - beta, weights 0-1, for linear betas 1e-4..0.02. Source: Ho et al. 2020, section 4."""
    return torch.cumprod(1 - torch.linspace(1e-4, 0.02, STEPS, dtype=torch.float64), 0).float()


def sampler_steps(calls: int) -> list[int]:
    """The steps of `calls` network calls, from 999 down to 0: [999, 666, 333, 0] for four.

    Source: Song et al. 2021, DDIM, evenly spread; four calls as in ScoreHypo. Raises ValueError below two calls.
    """
    if not 2 <= calls <= STEPS:
        raise ValueError(f"sampling takes {calls} network calls; give a number from 2 to {STEPS}")
    return [round(step) for step in torch.linspace(STEPS - 1, 0, calls, dtype=torch.float64).tolist()]


def diffuse(
    x0: Float[Tensor, "*b d"], noise: Float[Tensor, "*b d"], steps: Int[Tensor, "*b"], table: Float[Tensor, " step"]
) -> Float[Tensor, "*b d"]:
    """x_t = sqrt(abar_t) x0 + sqrt(1 - abar_t) noise, for standard normal noise. Source: Ho et al. 2020."""
    kept = table[steps][..., None]
    return kept.sqrt() * x0 + (1 - kept).sqrt() * noise
