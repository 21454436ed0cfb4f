"""One noise level and one noise per group: all its hypotheses meet the same (t, eps).

Sharing leaves the mean gradient as it is and removes what all members have in common from its variance.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from hmr.objectives.settings import ObjectiveSettings

__all__ = ["draw_noise", "draw_timesteps", "step_weights"]


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


def step_weights(
    settings: ObjectiveSettings,
    steps: Int[Tensor, " image"],
    table: Float[Tensor, " step"],
    spread: Float[Tensor, ""],
) -> Float[Tensor, " image"]:
    """lambda_t, the weight of the noise errors at each group's step.

        const   1
        x0      1 + (sigma_t / spread)^2,   sigma_t^2 = (1 - abar_t) / abar_t

    At data scale 50 the noise errors of two different x0 hardly differ near t = T, where the choice between them
    is made: with x0 weights a step counts as the unit-variance output of a preconditioned network does (Karras et
    al. 2022). `spread` is the residual standard deviation of x0 about its conditional mean; `table` the
    cumulative products abar.
    """
    if settings.lambda_t == "const":
        return torch.ones_like(table[steps])
    kept = table[steps]
    return 1 + (1 - kept) / kept / spread.square()
