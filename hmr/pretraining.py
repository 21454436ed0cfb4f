"""Pretraining of the embedded base models on labelled studio people.

One loss trains all: a regression of the mean of x0 and of the betas, and the residual's denoising in preconditioned
form (`ResidualMlp`). Resumable: every `save_every` steps the whole state is written in one step.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float
from pydantic import BaseModel as Settings
from pydantic import ConfigDict
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from hmr.base_model import BaseModel
from hmr.condition import LANDMARKS, Condition, Observation
from hmr.mirror import mirror_latents, mirror_observation
from hmr.noise_schedule import DATA_SCALE, STEPS, diffuse


class PretrainSettings(Settings):
    """Settings of one pretraining run."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    steps: int = 2400
    batch: int = 256
    draws: int = 2  # (t, noise) draws per image: the predictor is far cheaper than the encoder
    learning_rate: float = 1e-3
    warmup: int = 100
    weight_decay: float = 0.02
    clip: float = 1.0
    lowest_step: int = 100  # below it the noise is finer than anything the detections tell
    mean_weight: float = 20.0
    beta_weight: float = 0.1
    held_out: float = 0.06  # share of the people kept for the residual's spread and for the log
    ema: float = 0.998
    image: bool = True
    detections: bool = False
    seed: int = 0
    save_every: int = 200


class LabelledPeople(NamedTuple):
    """Observations with their labels, row by row."""

    observation: Observation
    latents: Float[Tensor, "n 133"]
    betas: Float[Tensor, "n 10"]

    def select(self, index: Tensor) -> "LabelledPeople":
        return LabelledPeople(self.observation.select(index), self.latents[index], self.betas[index])


def pretrain(
    people: LabelledPeople, settings: PretrainSettings, state_path: Path, report: Callable[[dict], None]
) -> BaseModel:
    """Train a base model from nothing, or go on from `state_path`; returns the averaged model in eval mode."""
    torch.manual_seed(settings.seed)
    order = torch.randperm(len(people.latents), generator=torch.Generator().manual_seed(settings.seed))
    held = max(int(len(order) * settings.held_out), 1)
    train, test = people.select(order[held:]), people.select(order[:held])
    model = BaseModel(architecture(settings))
    average = AveragedModel(model, multi_avg_fn=partial(_follow, settings.ema), use_buffers=False)
    optimiser = torch.optim.AdamW(model.parameters(), settings.learning_rate, weight_decay=settings.weight_decay)
    first = 0
    if state_path.exists():
        state = torch.load(state_path, weights_only=True)
        model.load_state_dict(state["model"])
        average.load_state_dict(state["average"])
        optimiser.load_state_dict(state["optimiser"])
        first = state["step"]
    model.train()
    for step in range(first, settings.steps):
        generator = torch.Generator().manual_seed(settings.seed * 1_000_003 + step)
        batch = _augmented(train, settings.batch, generator)
        for group in optimiser.param_groups:
            group["lr"] = settings.learning_rate * _schedule(step, settings)
        losses = _losses(model, batch, settings, generator)
        loss = losses["denoise"] + settings.mean_weight * losses["mean"] + settings.beta_weight * losses["betas"]
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), settings.clip)
        optimiser.step()
        average.update_parameters(model)
        if (step + 1) % settings.save_every == 0 or step + 1 == settings.steps:
            _save(state_path, model, average, optimiser, step + 1)
            report({"step": step + 1, **{name: float(value) for name, value in losses.items()},
                    **_held_out(average.module, model, test)})  # fmt: skip
    return _finished(average.module, model, test)


def architecture(settings: PretrainSettings) -> dict[str, dict[str, int | bool]]:
    """What a base of these settings is made of."""
    features = 256 + (7 * LANDMARKS if settings.detections else 0)
    return {
        "encoder": {"image": settings.image, "detections": settings.detections},
        "predictor": {"features": features},
    }


def _augmented(people: LabelledPeople, size: int, generator: torch.Generator) -> LabelledPeople:
    """A random batch, half of it mirrored, with small jitter of the landmarks."""
    batch = people.select(torch.randint(len(people.latents), (size,), generator=generator))
    turned = torch.rand(size, generator=generator) < 0.5
    seen = mirror_observation(batch.observation, turned)
    latents = torch.where(turned[:, None], mirror_latents(batch.latents), batch.latents)
    jitter = torch.randn(seen.landmarks.shape, generator=generator) * torch.tensor([0.006, 0.006, 0.02, 0.02])
    world = seen.world + 0.006 * torch.randn(seen.world.shape, generator=generator)
    return LabelledPeople(Observation(seen.picture, seen.mask, seen.landmarks + jitter, world), latents, batch.betas)


def _losses(
    model: BaseModel, batch: LabelledPeople, settings: PretrainSettings, generator: torch.Generator
) -> dict[str, Tensor]:
    # The image encoder is convolutions: bf16 is several times faster on CPUs that have it and loses nothing here.
    with torch.autocast("cpu", torch.bfloat16, enabled=settings.image):
        condition = model.encoder(batch.observation)
    condition = Condition(condition.betas.float(), {n: p.float() for n, p in condition.memory.items()})
    mean = condition.memory["mean"]
    residual = batch.latents - mean.detach()
    predictor = model.predictor
    with torch.no_grad():
        predictor.spread.lerp_(residual.std(0).clamp(min=0.01 * DATA_SCALE), 0.02)
    size = (len(mean), settings.draws)
    steps = torch.randint(settings.lowest_step, STEPS, size, generator=generator)
    noise = torch.randn(*size, mean.shape[1], generator=generator)
    latents = diffuse(batch.latents[:, None].expand_as(noise), noise, steps, predictor.alpha_bars)
    # The target of F, from y = x_t / sqrt(abar) and sigma per dimension, as in ResidualMlp.
    kept = predictor.alpha_bars[steps][..., None]
    sigma = ((1 - kept) / kept).sqrt() / predictor.spread
    deviation = (latents / kept.sqrt() - mean.detach()[:, None]) / predictor.spread
    scale = (sigma.square() + 1).sqrt()
    wanted = (residual[:, None] / predictor.spread - deviation / scale.square()) * scale / sigma
    answered = predictor.network(deviation / scale, steps, condition)
    return {
        "denoise": (answered - wanted).square().mean(),
        "mean": ((batch.latents - mean) / DATA_SCALE).square().mean(),
        "betas": (batch.betas - condition.betas).square().mean(),
    }


@torch.no_grad()
def _follow(decay: float, average: Sequence[Tensor], current: Sequence[Tensor], updates: Tensor) -> None:
    """Exponential moving average that forgets the untrained start: decay min(decay, (1 + n) / (10 + n))."""
    reached = min(decay, (1 + int(updates)) / (10 + int(updates)))
    for mine, theirs in zip(average, current):
        mine.lerp_(theirs, 1 - reached)


def _schedule(step: int, settings: PretrainSettings) -> float:
    warm = min((step + 1) / settings.warmup, 1.0)
    return warm * 0.5 * (1 + math.cos(math.pi * step / settings.steps))


def _with_running_statistics(average: BaseModel, model: BaseModel) -> BaseModel:
    """The averaged weights with the trained model's batch statistics and spread."""
    for (_, mine), (_, theirs) in zip(average.named_buffers(), model.named_buffers()):
        mine.copy_(theirs)
    return average.eval()


@torch.no_grad()
def _held_out(average: BaseModel, model: BaseModel, people: LabelledPeople) -> dict[str, float]:
    condition = _with_running_statistics(average, model).observe(people.observation)
    residual = people.latents - condition.memory["mean"]
    return {
        "held_out_mean": float((residual / DATA_SCALE).square().mean()),
        "held_out_betas": float((people.betas - condition.betas).square().mean()),
        "held_out_spread": float((residual.std(0) / model.predictor.spread).mean()),
    }


@torch.no_grad()
def _finished(average: BaseModel, model: BaseModel, people: LabelledPeople) -> BaseModel:
    """The averaged model with the spread that people it has not seen leave around the mean."""
    average = _with_running_statistics(average, model)
    residual = people.latents - average.observe(people.observation).memory["mean"]
    average.predictor.spread.copy_(residual.square().mean(0).sqrt().clamp(min=0.01 * DATA_SCALE))
    return average


def _save(path: Path, model: BaseModel, average: AveragedModel, optimiser: torch.optim.Optimizer, step: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".tmp")
    state = {"model": model.state_dict(), "average": average.state_dict(), "optimiser": optimiser.state_dict()}
    torch.save({**state, "step": step}, unfinished)
    unfinished.replace(path)
