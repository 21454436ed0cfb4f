"""One noise level and one noise per group: all its hypotheses meet the same (t, eps).

Sharing leaves the mean gradient as it is and removes what all members have in common from its variance.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from hmr.objectives.settings import ObjectiveSettings

__all__ = ["draw_noise", "draw_timesteps"]


def draw_timesteps(
    settings: ObjectiveSettings, generator: torch.Generator, images: int, device: torch.device | str = "cpu"
) -> Int[Tensor, " image"]:
    """One step per group, uniform in [low, high) of `settings.timesteps`.

    Drawn on the generator's device and moved: the same seed gives the same steps on every `device`.
    """
    low, high = settings.timesteps
    return torch.randint(low, high, (images,), generator=generator, device=generator.device).to(device)


def draw_noise(
    generator: torch.Generator, images: int, dims: int, device: torch.device | str = "cpu"
) -> Float[Tensor, "image 1 dim"]:
    """One standard normal noise per group, ready to broadcast over its hypotheses; float32."""
    return torch.randn((images, 1, dims), generator=generator, device=generator.device).to(device)
