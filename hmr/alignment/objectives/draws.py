"""The noise level and the noise at which the hypotheses of a group are compared.

By default all hypotheses of a group get the same (t, eps). Sharing keeps the mean gradient and removes from its
variance what all members have in common. That is most of it where the members are alike: on the shipped `lab`
base at its start (linear loss, 12 groups of `val`), drawing both apart has 2.6-3.4 times the variance for groups as
the model draws them, and 1.1-1.8 times for groups tempered to four times the spread. If members are so far apart that
the network uses other features for each, the sign can turn (`tests/unit/hmr/test_runaway_toy.py`).
"""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from hmr.alignment.objectives.settings import ObjectiveSettings

__all__ = ["Draws", "draw_steps_and_noise"]


class Draws(NamedTuple):
    """Diffusion steps (0-999) and noise for one optimiser step."""

    steps: Int[Tensor, "image hypothesis"]
    noise: Float[Tensor, "image hypothesis dim"]  # standard normal, float32


def draw_steps_and_noise(
    settings: ObjectiveSettings,
    generator: torch.Generator,
    shape: tuple[int, int, int],
    device: torch.device | str = "cpu",
) -> Draws:
    """A diffusion step and standard normal noise for every hypothesis; `shape` is (images, hypotheses, dims).

    One of each for a whole group where `share_t` and `share_noise` say so. Steps are uniform in [low, high) of
    `settings.timesteps`. Antithetic ones come in pairs t and low + high - 1 - t (t and 999 - t over the whole
    range), the second halves of the pairs after the first ones, so that a batch is never all at one end of the range
    by chance. Drawn on the generator's device and moved: the same seed gives the same draws on every `device`.
    """
    images, hypotheses, dims = shape
    steps = _steps(settings, generator, images if settings.share_t else images * hypotheses)
    members = 1 if settings.share_noise else hypotheses
    noise = torch.randn((images, members, dims), generator=generator, device=generator.device)
    return Draws(steps.to(device).view(images, -1).expand(images, hypotheses), noise.to(device).expand(shape))


def _steps(settings: ObjectiveSettings, generator: torch.Generator, count: int) -> Int[Tensor, " count"]:
    low, high = settings.timesteps
    drawn = (count + 1) // 2 if settings.antithetic else count
    steps = torch.randint(low, high, (drawn,), generator=generator, device=generator.device)
    return torch.cat([steps, low + high - 1 - steps])[:count] if settings.antithetic else steps
