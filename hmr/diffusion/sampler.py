"""Sampling of groups: hypothesis 0 from zero noise, the others from seeds of their own.

A hypothesis depends only on its image, its seed and the model: any batch size and any worker give the same group. Two
solvers of one differential equation visit the published steps, DDIM and a second-order one. They are written here
because no scheduler of diffusers visits [999, 666, 333, 0] with a last jump to alpha_bar = 1.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray
from torch import Tensor

from hmr.diffusion.condition import Condition
from hmr.diffusion.guidance import keypoint_target, pull
from hmr.diffusion.latent import DIMS
from hmr.diffusion.noise_predictor import NoisePredictor, PreparingPredictor
from hmr.diffusion.noise_schedule import alpha_bars, sampler_steps

ROWS = 512
"""Hypotheses that a network sees at once: enough to keep it busy, few enough for any memory."""


class SamplerError(ValueError):
    """The sampler cannot do what was asked; the message says why and how to fix it."""


@dataclass(frozen=True)
class SamplerSettings:
    """How x0 is sampled; the default is the published sampler. Raises SamplerError if settings do not fit together."""

    calls: int = 4
    """Network calls, 2 to 1000."""
    solver: Literal["ddim", "second_order"] = "ddim"
    """`ddim`: Song et al. 2021, first order. `second_order`: DPM-Solver++(2M), Lu et al. 2022."""
    eta: int | float = 0.0
    """Share of fresh noise in each DDIM step: 0 deterministic, 1 ancestral sampling (Song et al. 2021, equation 16)."""
    temperature: int | float = 1.0
    """Factor on the noise that the first call leaves: 1 samples the model, above 1 spreads the group (exploration).

    A start from zero noise has no noise to scale: its result is the same at any temperature.
    """
    temperature_spread: int | float = 1.0
    """Each hypothesis has a temperature of its own, by its seed: log-uniform within this factor of `temperature`.

    A group then holds both near and far answers. Its spread has the heavy tails that errors have, which no single
    temperature gives (`deploy/experiments/coverage_*.json`). 1 = one temperature for all.
    """
    guidance: int | float = 0.0
    """Strength 0..1 with which detected keypoints pull at each predicted x0; see `hmr.diffusion.guidance`."""

    def __str__(self) -> str:
        """As a run's `settings.json` keeps it: without a range of temperatures where there is none, as before 0.2."""
        return repr(self).replace(", temperature_spread=1.0", "")

    def __post_init__(self) -> None:
        faults = {
            "calls": (2 <= self.calls <= 1000, "from 2 to 1000"),
            "solver": (self.solver in ("ddim", "second_order"), "ddim or second_order"),
            "eta": (0 <= self.eta <= 1, "from 0 to 1: above it, a step would remove more noise than there is"),
            "temperature": (self.temperature > 0, "above 0"),
            "temperature_spread": (self.temperature_spread >= 1, "1 or more: a factor up and down"),
            "guidance": (0 <= self.guidance <= 1, "from 0 to 1"),
        }
        for name, (fits, wanted) in faults.items():
            if not fits:
                raise SamplerError(f"sampler: {name} = {getattr(self, name)!r} must be {wanted}")
        if self.eta and self.solver != "ddim":
            raise SamplerError(f"sampler: eta = {self.eta} belongs to solver ddim; set eta = 0 for {self.solver}")


PUBLISHED = SamplerSettings()
"""Four calls of DDIM with eta 0, as in ScoreHypo and ADHMR."""

WHOLE_SPREAD = SamplerSettings(calls=10, solver="second_order")
"""For the embedded networks, whose calls are cheap: four calls of DDIM lose half of the spread that they learnt.

Settings of a base that differ from these are in its file: `architecture["sampler"]`.
"""


def group_seeds(seed: int, draw: str, group_ids: Sequence[str], hypotheses: int) -> NDArray[np.int64]:
    """Seed of every hypothesis (image, hypothesis), from the run's seed, the name of the draw and the group's id."""

    def one(group_id: str, hypothesis: int) -> int:
        digest = hashlib.sha256(f"{seed}/{draw}/{group_id}/{hypothesis}".encode()).digest()
        return int.from_bytes(digest[:8], "big") >> 1

    return np.array([[one(g, h) for h in range(hypotheses)] for g in group_ids], np.int64).reshape(-1, hypotheses)


_PLACE = 0x5DEECE66D  # makes another seed of a hypothesis' seed


class NoiseStreams:
    """N(0, 1) for every hypothesis from its own seed, draw after draw; a zero start always gets zeros.

    Made on the CPU, so that it is the same everywhere. The first draw is x_T.
    """

    def __init__(self, seeds: Int[Tensor, "image hypothesis"], zero_start: Bool[Tensor, "image hypothesis"]) -> None:
        self.shape = seeds.shape
        self.noisy = ~zero_start
        self.seeds = seeds[self.noisy].tolist()
        self.generators = [torch.Generator().manual_seed(seed) for seed in self.seeds]

    def draw(self) -> Float[Tensor, "image hypothesis 133"]:
        """The next noise of each hypothesis: standard normal, on the CPU; zeros for a zero start."""
        noise = torch.zeros(*self.shape, DIMS)
        if self.generators:
            noise[self.noisy] = torch.stack([torch.randn(DIMS, generator=one) for one in self.generators])
        return noise

    def temperatures(self, middle: int | float, spread: int | float) -> Float[Tensor, "image hypothesis"]:
        """Temperature of each hypothesis, log-uniform from middle / spread to middle * spread; 1 for a zero start.

        From a generator of its own for each seed, so that the noise is the same for any spread.
        """
        found = torch.ones(self.shape)
        if self.seeds:
            places = [torch.rand((), generator=torch.Generator().manual_seed(seed ^ _PLACE)) for seed in self.seeds]
            found[self.noisy] = middle * spread ** (2 * torch.stack(places) - 1)
        return found


@torch.no_grad()
def draw_latents(
    predictor: NoisePredictor,
    condition: Condition,
    seeds: Int[Tensor, "image hypothesis"],
    zero_start: Bool[Tensor, "image hypothesis"],
    settings: SamplerSettings = PUBLISHED,
    *,
    landmarks: Float[Tensor, "image 33 4"] | None = None,
    device: torch.device | None = None,
    rows: int = ROWS,
) -> Float[Tensor, "image hypothesis 133"]:
    """x0 of every hypothesis as diffused vectors, on the CPU, where the inputs may be too.

    The network sees at most `rows` hypotheses at once, so a larger group needs more memory only for its results.

    Args:
        landmarks: of the observation (crop units), only needed for guidance.
        device: where the network is; none = where the condition is.

    Raises SamplerError if guidance is set and there are no landmarks.
    """
    images, size = seeds.shape
    device = device or condition.betas.device
    latents = torch.empty(images, size, DIMS)
    for some in torch.arange(images).split(max(1, rows // size)):
        details = condition.select(some.to(condition.betas.device)).to(device)
        if isinstance(predictor, PreparingPredictor):
            details = predictor.prepare(details)
        target = None if landmarks is None else keypoint_target(landmarks[some].to(device))
        for part in torch.arange(size).split(rows):
            place = some[:, None], part
            streams = NoiseStreams(seeds[place], zero_start[place])
            noise = streams.draw().to(device)
            latents[place] = denoise(predictor, details, noise, settings, streams=streams, target=target).cpu()
    return latents


@torch.no_grad()
def denoise(
    predictor: NoisePredictor,
    condition: Condition,
    noise: Float[Tensor, "image hypothesis 133"],
    settings: SamplerSettings = PUBLISHED,
    *,
    streams: NoiseStreams | None = None,
    target: Float[Tensor, "image 29 3"] | None = None,
) -> Float[Tensor, "image hypothesis 133"]:
    """x0 from start noise, all hypotheses at once; the last jump is to alpha_bar = 1, and nothing is clipped.

    One step from alpha_bar a to a', with sigma = eta sqrt((1 - a') / (1 - a)) sqrt(1 - a / a'):

        x' = sqrt(a') x0 + sqrt(1 - a' - sigma^2) noise + sigma fresh noise          (DDIM, equation 12)

    second_order adds, except in the first step and the last jump, an extrapolation from the last change of x0:

        (sqrt(a') - sqrt(a) sqrt(1 - a') / sqrt(1 - a)) (x0 - earlier x0) h / (2 earlier h),   h = step in lambda

    with lambda = log sqrt(a / (1 - a)), the log of signal over noise (DPM-Solver++, algorithm 2).

    Args:
        streams: fresh noise for eta, and the temperatures where they differ; a zero start takes deterministic steps for
            any eta.
        target: of `keypoint_target`, for guidance.

    Raises SamplerError if eta > 0 or temperature_spread > 1 and there are no streams, or if guidance > 0 and no
    target is given.
    """
    if settings.eta and streams is None:
        raise SamplerError(f"sampler: eta = {settings.eta} needs the streams of fresh noise; give them or set eta = 0")
    if settings.temperature_spread > 1 and streams is None:
        raise SamplerError(
            f"sampler: temperature_spread = {settings.temperature_spread} needs the streams, whose seeds decide; "
            "give them or set temperature_spread = 1"
        )
    if settings.guidance and target is None:
        raise SamplerError("sampler: guidance needs the landmarks of each image; give them or set guidance = 0")
    table = alpha_bars().to(noise.device)
    visited = sampler_steps(settings.calls)
    kept = [*table[visited].unbind(), torch.ones_like(table[0])]
    change = torch.logit(table[visited].double()).diff() / 2  # h of each step but the last jump
    sigmas = _sigmas(kept, settings.eta)
    latents, earlier = noise, noise
    heat = torch.where((noise != 0).any(-1, keepdim=True), settings.temperature, 1.0).to(noise.dtype)
    if settings.temperature_spread > 1 and streams is not None:
        heat = streams.temperatures(settings.temperature, settings.temperature_spread)[..., None].to(noise)
    for call, step in enumerate(visited):
        now, after = kept[call], kept[call + 1]
        steps = torch.full(noise.shape[:2], step, dtype=torch.long, device=noise.device)
        predicted = predictor(latents, steps, condition).to(latents.dtype)
        clean = (latents - (1 - now).sqrt() * predicted) / now.sqrt()
        if settings.guidance and target is not None:
            clean = pull(clean, target, settings.guidance)
            predicted = (latents - now.sqrt() * clean) / (1 - now).sqrt()
        renewed = (1 - after).sqrt() * predicted
        if settings.eta and streams is not None:
            sigma = sigmas[call] * streams.noisy[..., None].to(noise.device)
            renewed = (1 - after - sigma**2).sqrt() * predicted + sigma * streams.draw().to(noise.device)
        latents = after.sqrt() * clean + renewed * (heat if call == 0 else 1.0)
        if settings.solver == "second_order" and 0 < call < len(visited) - 1:
            share = (after.sqrt() - (now * (1 - after) / (1 - now)).sqrt()) * change[call] / (2 * change[call - 1])
            latents = latents + share.to(latents.dtype) * (clean - earlier)
        earlier = clean
    return latents


def _sigmas(kept: list[Tensor], eta: int | float) -> list[Tensor]:
    """Standard deviation of the fresh noise of each step."""
    return [eta * ((1 - after) / (1 - now) * (1 - now / after)).sqrt() for now, after in pairwise(kept)]
