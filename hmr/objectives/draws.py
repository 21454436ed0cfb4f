"""The noise level and the noise at which the hypotheses of a group are compared.

By default all hypotheses of a group meet the same (t, eps). Sharing leaves the mean gradient as it is and takes what
all members have in common out of its variance. That is most of it where the members are alike: on the shipped `lab`
base at its start, drawing both apart has 2.6-3.4 times the variance for groups as the model draws them, and 1.1-1.8
times for groups tempered to four times the spread. Members so far apart that the network answers each with features
of its own can turn the sign (`tests/unit/hmr/test_runaway_toy.py`).
"""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from hmr.objectives.settings import ObjectiveSettings

__all__ = ["Draws", "draw_noise", "draw_steps_and_noise", "draw_timesteps"]


class Draws(NamedTuple):
    """What one optimiser step meets."""

    steps: Int[Tensor, "image hypothesis"]
    noise: Float[Tensor, "image hypothesis dim"]  # standard normal, float32


def draw_steps_and_noise(
    settings: ObjectiveSettings,
    generator: torch.Generator,
    shape: tuple[int, int, int],
    device: torch.device | str = "cpu",
) -> Draws:
    """A step and a noise for every hypothesis; `shape` is (images, hypotheses, dims).

    One of each for a whole group where `share_t` and `share_noise` say so. Drawn on the generator's device and
    moved: the same seed gives the same draws on every `device`.
    """
    images, hypotheses, dims = shape
    levels = images if settings.share_t else images * hypotheses
    steps = draw_timesteps(settings, generator, levels, device).view(images, -1).expand(images, hypotheses)
    rows = images if settings.share_noise else images * hypotheses
    noise = draw_noise(generator, rows, dims, device).view(images, -1, dims).expand(shape)
    return Draws(steps, noise)


def draw_timesteps(
    settings: ObjectiveSettings, generator: torch.Generator, count: int, device: torch.device | str = "cpu"
) -> Int[Tensor, " count"]:
    """`count` steps, uniform in [low, high) of `settings.timesteps`.

    Antithetic ones come in pairs t and low + high - 1 - t (t and 999 - t over the whole range), the second halves
    of the pairs after the first ones, so that a batch never lies at one end of the range by chance.
    """
    low, high = settings.timesteps
    drawn = (count + 1) // 2 if settings.antithetic else count
    steps = torch.randint(low, high, (drawn,), generator=generator, device=generator.device)
    if settings.antithetic:
        steps = torch.cat([steps, low + high - 1 - steps])[:count]
    return steps.to(device)


def draw_noise(
    generator: torch.Generator, images: int, dims: int, device: torch.device | str = "cpu"
) -> Float[Tensor, "image 1 dim"]:
    """One standard normal noise per group, ready to broadcast over its hypotheses; float32."""
    return torch.randn((images, 1, dims), generator=generator, device=generator.device).to(device)
