"""Noise predictors: the one protocol, and the embedded residual MLP.

Sampler, objectives and trainer use only the protocol, so the published attention networks can replace the MLP.
"""

import math
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from hmr.diffusion.condition import Condition
from hmr.diffusion.latent import DIMS
from hmr.diffusion.noise_schedule import DATA_SCALE, STEPS, alpha_bars


@runtime_checkable
class NoisePredictor(Protocol):
    """eps_theta(x_t, t, c): the noise in diffused vectors."""

    def __call__(
        self,
        latents: Float[Tensor, "image hypothesis 133"],
        steps: Int[Tensor, "image hypothesis"],
        condition: Condition,
    ) -> Float[Tensor, "image hypothesis 133"]: ...


@runtime_checkable
class PreparingPredictor(NoisePredictor, Protocol):
    """A noise predictor that can compute what depends only on the condition once, for many calls."""

    def prepare(self, condition: Condition) -> Condition:
        """The same condition, with more in its context."""
        ...


class ResidualMlp(nn.Module):
    """A residual MLP on the deviation from the condition's mean, preconditioned inside the noise interface.

    With y = x_t / sqrt(abar) = x0 + sigma n and r = (x0 - mean) / s of unit variance, the network F sees
    c_in (y - mean) / s and answers D = c_skip (y - mean) / s + c_out F, so that its target has unit variance at
    every noise level; x0 = mean + s D, and the noise follows from x_t. Source: Karras et al. 2022, EDM, section 5,
    with sigma_data = 1 per dimension.
    """

    def __init__(self, width: int = 448, blocks: int = 4, features: int = 256, time: int = 64) -> None:
        super().__init__()
        self.time = time
        self.start = nn.Linear(DIMS, width)
        self.condition = nn.Linear(features, width)
        self.time_net = nn.Sequential(nn.Linear(time, width), nn.SiLU(), nn.Linear(width, width))
        self.blocks = nn.ModuleList(_Block(width) for _ in range(blocks))
        last = nn.Linear(width, DIMS)
        self.final = nn.Sequential(nn.LayerNorm(width), last)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.spread: Tensor
        self.register_buffer("spread", torch.full((DIMS,), 0.2 * DATA_SCALE))  # s: residual std per dimension
        self.alpha_bars: Tensor
        self.register_buffer("alpha_bars", alpha_bars(), persistent=False)

    def forward(self, latents: Tensor, steps: Tensor, condition: Condition) -> Tensor:
        """The noise (standard normal scale) in latents (image, hypothesis, 133) at steps (image, hypothesis), 0-999."""
        kept = self.alpha_bars[steps][..., None]
        mean = condition.context["mean"][:, None]
        spread = self.spread_of(condition)
        sigma = ((1 - kept) / kept).sqrt() / spread
        deviation = (latents / kept.sqrt() - mean) / spread
        scale = (sigma.square() + 1).sqrt()
        raw = self.network(deviation / scale, steps, condition)
        clean = mean + spread * (deviation / scale.square() + sigma / scale * raw)
        return (latents - kept.sqrt() * clean) / (1 - kept).sqrt()

    def spread_of(self, condition: Condition) -> Tensor:
        """s of the class's equation: the encoder's, (image, 1, 133), or (133,), the same for all people."""
        code = condition.context.get("spread")
        return self.spread if code is None else code[:, None]

    def network(self, scaled: Tensor, steps: Tensor, condition: Condition) -> Tensor:
        """F of the class's equation, (image, hypothesis, 133); input and output have about unit variance."""
        code = self.condition(condition.context["features"])[:, None] + self.time_net(self._time_code(steps))
        code = nn.functional.silu(code)
        hidden = self.start(scaled) + code
        for block in self.blocks:
            hidden = block(hidden, code)
        return self.final(hidden)

    def _time_code(self, steps: Tensor) -> Tensor:
        half = self.time // 2
        rate = torch.exp(-math.log(10000.0) * torch.arange(half, device=steps.device) / (half - 1))
        angle = steps[..., None] * rate * (1000 / STEPS)
        return torch.cat([angle.sin(), angle.cos()], -1)


class _Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.wide = nn.Linear(width, width)
        self.back = nn.Linear(width, width)

    def forward(self, hidden: Tensor, code: Tensor) -> Tensor:
        return hidden + self.back(nn.functional.silu(self.wide(self.norm(hidden) + code)))
