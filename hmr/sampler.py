"""DDIM sampling of groups: hypothesis 0 from zero noise, the others from seeds of their own.

A hypothesis depends on its image, its seed and the model alone: the same group comes out of any batch size and any
worker. Exploration scales the noise that is left after the first network call by a temperature.
"""

import hashlib
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray
from torch import Tensor

from hmr.condition import Condition
from hmr.latent import DIMS
from hmr.noise_predictor import NoisePredictor
from hmr.noise_schedule import alpha_bars, sampler_steps


def group_seeds(seed: int, draw: str, group_ids: Sequence[str], hypotheses: int) -> NDArray[np.int64]:
    """Seed of every hypothesis (image, hypothesis), from the run's seed, the name of the draw and the group's id."""

    def one(group_id: str, hypothesis: int) -> int:
        digest = hashlib.sha256(f"{seed}/{draw}/{group_id}/{hypothesis}".encode()).digest()
        return int.from_bytes(digest[:8], "big") >> 1

    return np.array([[one(g, h) for h in range(hypotheses)] for g in group_ids], np.int64).reshape(-1, hypotheses)


def start_noise(
    seeds: Int[Tensor, "image hypothesis"], zero_start: Bool[Tensor, "image hypothesis"]
) -> Float[Tensor, "image hypothesis 133"]:
    """x_T: N(0, 1) from each seed, made on the CPU so that it is the same everywhere; zeros where asked."""
    noise = torch.zeros(*seeds.shape, DIMS)
    generator = torch.Generator()
    for index in (~zero_start).nonzero().tolist():
        image, hypothesis = index
        generator.manual_seed(int(seeds[image, hypothesis]))
        noise[image, hypothesis] = torch.randn(DIMS, generator=generator)
    return noise


@torch.no_grad()
def ddim(
    predictor: NoisePredictor,
    condition: Condition,
    noise: Float[Tensor, "image hypothesis 133"],
    *,
    calls: int = 4,
    temperature: float = 1.0,
) -> Float[Tensor, "image hypothesis 133"]:
    """x0 by deterministic DDIM (eta 0) with `calls` network calls, the last jump to alpha_bar = 1, no clipping.

    temperature: factor on the noise after the first call; 1 samples the model, above 1 spreads the group.
    Source: Song et al. 2021, DDIM, equation 12 with sigma = 0.
    """
    table = alpha_bars().to(noise.device)
    visited = sampler_steps(calls)
    latents = noise
    for call, step in enumerate(visited):
        steps = torch.full(noise.shape[:2], step, dtype=torch.long, device=noise.device)
        predicted = predictor(latents, steps, condition)
        kept = table[step]
        clean = (latents - (1 - kept).sqrt() * predicted) / kept.sqrt()
        after = table[visited[call + 1]] if call + 1 < len(visited) else torch.ones_like(kept)
        latents = after.sqrt() * clean + (1 - after).sqrt() * predicted * (temperature if call == 0 else 1.0)
    return latents
