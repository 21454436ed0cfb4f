"""Pretraining of the embedded base models: simulated detections in bulk, and drawn people seen by the real detector.

One loss trains all (`_losses`): a Gaussian answer for the diffused vector, what that answer becomes as a posed body
(joints in metres, landmarks in the picture), the betas, and the denoising of what it leaves out, in the preconditioned
form of `ResidualMlp`. Resumable: every `save_every` steps the whole state is written in one step.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from pydantic import BaseModel as Settings
from pydantic import ConfigDict
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from hmr.body.body import Body
from hmr.body.camera import project, to_crop
from hmr.body.kinematics import forward_kinematics
from hmr.body.landmark_points import landmark_places
from hmr.detection.photograph import default_camera
from hmr.diffusion.condition import Condition, Observation, numbers_read
from hmr.diffusion.latent import JOINT_DIMS, Decoding, decode
from hmr.diffusion.mirror import JOINT_SWAP, LANDMARK_SWAP, mirror_latents
from hmr.diffusion.noise_schedule import DATA_SCALE, STEPS, diffuse
from hmr.models.base_model import HmrModel
from hmr.studio.simulated_detection import DetectionNoise, Detections, PlacedPeople, simulate
from storage.finished_file import finished_file

_FACE, _SHOULDERS, _HIPS = (0, 2, 5, 7, 8), (11, 12), (23, 24)
_CARRIERS = (
    _HIPS, (23,), (24,), (*_SHOULDERS, *_HIPS), (25,), (26,), (*_SHOULDERS, *_HIPS), (27,), (28,), _SHOULDERS,
    (31,), (32,), _SHOULDERS, (11,), (12,), _FACE, (11,), (12,), (13,), (14,), (15,), (16,), (15, 19), (16, 20),
    _FACE, (19,), (20,), (31,), (32,),
)  # fmt: skip
CARRIED = torch.stack([torch.zeros(33).index_fill(0, torch.tensor(m), 1 / len(m)) for m in _CARRIERS])
"""(29, 33) the landmarks with which each joint moves in the picture, as a mean of theirs."""

LEAST_SPREAD = 0.01 * DATA_SCALE
TIPS = (25, 26, 27, 28)  # joints at the ends of fingers and toes: smaller weight


class PretrainSettings(Settings):
    """Settings of one pretraining run."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    steps: int = 5000  # with the truth as the target
    aimed_steps: int = 1500  # after them: with the truth moved towards sure detections as the target
    aimed_rate: float = 0.4  # learning rate of those, as a share
    batch: int = 320
    draws: int = 1  # (t, noise) draws per person: the predictor is cheaper than the encoder
    drawn_share: float = 0.3  # of each batch: drawn people with real detections; the rest are simulated
    learning_rate: float = 1.2e-3
    warmup: int = 300
    weight_decay: float = 0.02
    clip: float = 1.0
    lowest_step: int = 100  # below it the noise is finer than what the detections show
    latent_weight: float = 4.0  # of the joints' coordinates; the twists count 1
    joint_weight: float = 2.0  # of posed joints, per metre
    place_weight: float = 6.0  # of posed landmarks in the picture, per crop unit
    denoise_weight: float = 0.2
    spread_weight: float = 0.1
    beta_weight: float = 0.02
    held_out: float = 0.06  # share of the drawn people kept for calibration and for the log
    ema: float = 0.999
    sampler: dict[str, int | float | str] = {"guidance": 0.2}  # of groups, where it is not the network's
    reads: Literal["everything", "places"] = "everything"
    detections: bool = False  # whether the noise predictor gets them beside the features
    width: int = 640
    blocks: int = 4
    predictor_width: int = 448
    noise: DetectionNoise = DetectionNoise()
    seed: int = 0
    save_every: int = 500


class LabelledPeople(NamedTuple):
    """Observations with their labels, row by row."""

    observation: Observation
    latents: Float[Tensor, "n 133"]
    betas: Float[Tensor, "n 10"]

    def select(self, index: Tensor) -> "LabelledPeople":
        """The people with these row numbers, in that order; latents and betas as above."""
        return LabelledPeople(self.observation.select(index), self.latents[index], self.betas[index])


class TrainingPeople(NamedTuple):
    """The training people of a base: undrawn people, and drawn people with the detections of the real detector."""

    undrawn: PlacedPeople
    drawn: PlacedPeople
    seen: Detections  # of the drawn ones


class Examples(NamedTuple):
    """A batch: the encoder's input, the wanted output, and the camera and crop with which that becomes a body."""

    observation: Observation
    latents: Float[Tensor, "n 133"]
    betas: Float[Tensor, "n 10"]
    joints: Float[Tensor, "n 29 3"]  # metres about the pelvis, camera axes
    places: Float[Tensor, "n 33 2"]  # where landmarks should be seen, crop coordinates: see `aims`
    camera: Float[Tensor, "n 4"]  # as guessed from the picture's size
    crop: Float[Tensor, "n 3"]


def pretrain(
    people: TrainingPeople, body: Body, settings: PretrainSettings, state_path: Path, report: Callable[[dict], None]
) -> HmrModel:
    """Train a base model from nothing, or go on from `state_path`; returns the averaged model in eval mode."""
    torch.manual_seed(settings.seed)
    order = torch.randperm(len(people.drawn.betas), generator=torch.Generator().manual_seed(settings.seed))
    held = order[: max(int(len(order) * settings.held_out), 1)]
    kept = examples(people.drawn.select(held), people.seen.select(held), aimed=settings.aimed_steps > 0)
    people = people._replace(drawn=people.drawn.select(order[len(held) :]), seen=people.seen.select(order[len(held) :]))
    model = HmrModel(architecture(settings))
    average: Any = AveragedModel(model, multi_avg_fn=partial(_follow, settings.ema), use_buffers=False)
    optimiser = torch.optim.AdamW(model.parameters(), settings.learning_rate, weight_decay=settings.weight_decay)
    first = 0
    if state_path.exists():
        state = torch.load(state_path, weights_only=True)
        model.load_state_dict(state["model"])
        average.load_state_dict(state["average"])
        optimiser.load_state_dict(state["optimiser"])
        first = state["step"]
    skeleton = Skeleton.of(body)
    model.train()
    last = settings.steps + settings.aimed_steps
    for step in range(first, last):
        generator = torch.Generator().manual_seed(settings.seed * 1_000_003 + step)
        batch = _batch(people, settings, generator, aimed=step >= settings.steps)
        for group in optimiser.param_groups:
            group["lr"] = settings.learning_rate * _schedule(step, settings)
        losses = _losses(model, skeleton, batch, settings, generator)
        optimiser.zero_grad()
        losses["all"].backward()
        for parameter in model.parameters():  # inverse kinematics has no gradient where bones fold onto themselves
            if parameter.grad is not None:
                parameter.grad.nan_to_num_(0.0, 0.0, 0.0)
        torch.nn.utils.clip_grad_norm_(model.parameters(), settings.clip)
        optimiser.step()
        average.update_parameters(model)
        if (step + 1) % settings.save_every == 0 or step + 1 == last:
            _save(state_path, model, average, optimiser, step + 1)
            report({"step": step + 1, **{name: float(value.detach()) for name, value in losses.items()},
                    **_held_out(average.module.eval(), skeleton, kept)})  # fmt: skip
    return _calibrated(average.module.eval(), kept)


def architecture(settings: PretrainSettings) -> dict[str, object]:
    """The `architecture` of an `HmrModel` with these settings."""
    features = 256 + (numbers_read(settings.reads) if settings.detections else 0)
    sizes = {"width": settings.width, "blocks": settings.blocks}
    return {
        "network": "landmarks",
        "encoder": {"reads": settings.reads, "detections": settings.detections, **sizes},
        "predictor": {"width": settings.predictor_width, "features": features},
        "sampler": settings.sampler,
    }


class Skeleton(NamedTuple):
    """The body's rest joints, metres, as a linear function of the betas: the part of a body that training needs."""

    template: Float[Tensor, "29 3"]
    shapes: Float[Tensor, "10 29 3"]

    @classmethod
    def of(cls, body: Body) -> "Skeleton":
        """The skeleton of a body."""
        rest = body.rest_joints(torch.cat([torch.zeros(1, 10), torch.eye(10)]))
        return cls(rest[0], rest[1:] - rest[0])

    def rest(self, betas: Float[Tensor, "n 10"]) -> Float[Tensor, "n 29 3"]:
        """The 29 joints of shaped bodies in T-pose, metres."""
        return self.template + torch.einsum("nk,kjc->njc", betas, self.shapes)


def examples(people: PlacedPeople, seen: Detections, *, aimed: bool = False) -> Examples:
    """Placed people as the detector saw them, with the answers wanted.

    aimed: the joints' places in the picture are also moved towards sure detections, each as far as its landmarks are.
    """
    marks = seen.landmarks
    unit = 2 / seen.crop[:, None, 2:]
    details = torch.cat([to_crop(marks[..., :2], seen.crop), marks[..., 2:3] * unit, marks[..., 3:]], -1)
    true = to_crop(project(people.marks, people.camera), seen.crop)
    goals = aims(true, details)
    places = to_crop(project(people.joints, people.camera), seen.crop)
    if aimed:
        places = places + torch.einsum("jl,nlc->njc", CARRIED, goals - true)
    depths = people.joints[..., 2:] - people.joints[:, :1, 2:]
    latents = torch.cat([places, depths], -1).flatten(1)
    count = len(details)
    nothing = torch.zeros(count, 1, 1, 3, dtype=torch.uint8), torch.zeros(count, 1, 1, dtype=torch.uint8)
    cameras = {float(size): default_camera(int(size), int(size), None) for size in people.size.unique()}
    return Examples(
        observation=Observation(*nothing, details, seen.world),
        latents=DATA_SCALE * torch.cat([latents, people.twists], 1),
        betas=people.betas,
        joints=people.joints - people.joints[:, :1],
        places=goals,
        camera=torch.from_numpy(np.array([cameras[float(size)] for size in people.size], np.float32)),
        crop=seen.crop,
    )


def aims(
    true: Float[Tensor, "n 33 2"], seen: Float[Tensor, "n 33 4"], share: float = 0.75, near: float = 0.1
) -> Float[Tensor, "n 33 2"]:
    """Where a posed body's landmarks should be seen: the true places, moved towards sure and near detections.

        place = true + share v^4 exp(-(gap / near)^2) (seen - true)

    Places are crop coordinates; v is the visibility, 0-1. A detection that is a few pixels off differs from the body's
    own landmark by anatomy, shoes and clothes as much as by error. Wrong detections (limbs exchanged, hidden) have no
    effect.
    """
    gap = seen[..., :2] - true
    weight = share * seen[..., 3:].clamp(0, 1) ** 4 * torch.exp(-gap.square().sum(-1, keepdim=True) / near**2)
    return true + weight * gap


def _batch(people: TrainingPeople, settings: PretrainSettings, generator: torch.Generator, *, aimed: bool) -> Examples:
    """Random people, some of them drawn; half of them mirrored."""
    count = round(settings.drawn_share * settings.batch)
    chosen = torch.randint(len(people.undrawn.betas), (settings.batch - count,), generator=generator)
    bodies = people.undrawn.select(chosen)
    parts = [examples(bodies, simulate(bodies, settings.noise, generator), aimed=aimed)]
    if count:
        chosen = torch.randint(len(people.drawn.betas), (count,), generator=generator)
        parts.append(examples(people.drawn.select(chosen), people.seen.select(chosen), aimed=aimed))
    observation = Observation(*(torch.cat(part) for part in zip(*(e.observation for e in parts))))
    whole = Examples(observation, *(torch.cat(part) for part in zip(*(e[1:] for e in parts))))
    return mirrored(whole, torch.rand(settings.batch, generator=generator) < 0.5)


def mirrored(batch: Examples, which: Tensor) -> Examples:
    """The batch with the chosen people, (n,) bool, mirrored about the picture's middle column."""
    flip = torch.tensor([-1.0, 1.0, 1.0])

    def turned(values: Tensor, image: Tensor) -> Tensor:
        return torch.where(which.view(-1, *[1] * (values.dim() - 1)), image, values)

    seen = batch.observation
    landmarks = turned(seen.landmarks, seen.landmarks[:, LANDMARK_SWAP] * torch.tensor([-1.0, 1.0, 1.0, 1.0]))
    world = turned(seen.world, seen.world[:, LANDMARK_SWAP] * flip)
    crop_image = torch.stack([2 * batch.camera[:, 2] - batch.crop[:, 0], *batch.crop.unbind(1)[1:]], 1)
    return batch._replace(
        observation=seen._replace(landmarks=landmarks, world=world),
        latents=turned(batch.latents, mirror_latents(batch.latents)),
        joints=turned(batch.joints, batch.joints[:, JOINT_SWAP] * flip),
        places=turned(batch.places, batch.places[:, LANDMARK_SWAP] * flip[:2]),
        crop=turned(batch.crop, crop_image),
    )


def _losses(
    model: HmrModel, skeleton: Skeleton, batch: Examples, settings: PretrainSettings, generator: torch.Generator
) -> dict[str, Tensor]:
    condition = model.encoder(batch.observation)
    mean, spread = condition.context["mean"], condition.context["spread"]
    residual = batch.latents - mean
    size = (residual / DATA_SCALE).abs()
    joints, places = _posed_errors(skeleton, batch, mean, condition.betas, model.decoding)
    known, reach = residual.detach(), spread.detach().clamp(min=LEAST_SPREAD)
    ratio = known / spread.clamp(min=LEAST_SPREAD)
    losses = {
        "latents": size[:, :JOINT_DIMS].mean(),
        "twists": size[:, JOINT_DIMS:].mean(),
        "joints_m": joints.mean(),
        "places": places.mean(),
        "betas": (batch.betas - condition.betas).square().mean(),
        "spread": (0.5 * ratio.square().clamp(max=50) + spread.clamp(min=LEAST_SPREAD).log()).mean(),
        "denoise": _denoising(model, batch.latents, condition.context | {"spread": reach, "mean": mean.detach()},
                              condition.betas, settings, generator),
    }  # fmt: skip
    losses["all"] = (
        settings.latent_weight * losses["latents"] + losses["twists"]
        + settings.joint_weight * losses["joints_m"] + settings.place_weight * losses["places"]
        + settings.beta_weight * losses["betas"] + settings.spread_weight * losses["spread"]
        + settings.denoise_weight * losses["denoise"]
    )  # fmt: skip
    return losses


def _denoising(
    model: HmrModel, latents: Tensor, context: dict[str, Tensor], betas: Tensor, settings: PretrainSettings,
    generator: torch.Generator,
) -> Tensor:  # fmt: skip
    """Mean squared error of F in the equation of `ResidualMlp`, of unit variance at every noise level."""
    predictor: Any = model.predictor
    mean, spread = context["mean"][:, None], context["spread"][:, None]
    size = (len(latents), settings.draws)
    steps = torch.randint(settings.lowest_step, STEPS, size, generator=generator)
    noise = torch.randn(*size, latents.shape[1], generator=generator)
    kept = predictor.alpha_bars[steps][..., None]
    sigma = ((1 - kept) / kept).sqrt() / spread
    noisy = diffuse(latents[:, None].expand_as(noise), noise, steps, predictor.alpha_bars)
    deviation = (noisy / kept.sqrt() - mean) / spread
    scale = (sigma.square() + 1).sqrt()
    wanted = ((latents[:, None] - mean) / spread - deviation / scale.square()) * scale / sigma
    answered = predictor.network(deviation / scale, steps, Condition(betas, context))
    return (answered - wanted).clamp(-20, 20).square().mean()


def _posed_errors(
    skeleton: Skeleton, batch: Examples, latents: Tensor, betas: Tensor, how: Decoding
) -> tuple[Tensor, Tensor]:
    """What diffused vectors become: errors of joints (n, 29), metres about the pelvis, and of landmarks (n, 33)."""
    rest = skeleton.rest(betas)
    posed = decode(latents, rest, batch.camera, batch.crop, how)
    turned = forward_kinematics(posed.rotations, rest, posed.translation).rotations
    seen = to_crop(project(landmark_places(posed.joints, turned), batch.camera), batch.crop)
    weights = torch.ones(29)
    weights[list(TIPS)] = 0.4
    joints = (posed.joints - posed.joints[:, :1] - batch.joints).norm(dim=-1) * weights
    return joints, (seen - batch.places).norm(dim=-1).clamp(max=1.0)


@torch.no_grad()
def _follow(decay: float, average: Sequence[Tensor], current: Sequence[Tensor], updates: Tensor | int) -> None:
    """Exponential moving average that forgets the untrained start: decay min(decay, (1 + n) / (10 + n))."""
    reached = min(decay, (1 + int(updates)) / (10 + int(updates)))
    for mine, theirs in zip(average, current):
        mine.lerp_(theirs, 1 - reached)


def _schedule(step: int, settings: PretrainSettings) -> float:
    """Share of the learning rate: a warm-up and half a cosine over each of the two parts."""
    first = step < settings.steps
    done, length = (step, settings.steps) if first else (step - settings.steps, settings.aimed_steps)
    warm = min((step + 1) / settings.warmup, 1.0) * (1.0 if first else settings.aimed_rate)
    return warm * 0.5 * (1 + math.cos(math.pi * done / length))


@torch.no_grad()
def _held_out(model: HmrModel, skeleton: Skeleton, kept: Examples) -> dict[str, float]:
    """Figures of the Gaussian answer on drawn people whom training did not see."""
    condition = model.observe(kept.observation)
    joints, places = _posed_errors(skeleton, kept, condition.context["mean"], condition.betas, model.decoding)
    ratio = (kept.latents - condition.context["mean"]) / condition.context["spread"].clamp(min=LEAST_SPREAD)
    return {
        "held_out_mpjpe_mm": 1000 * float(joints[:, :25].mean()),
        "held_out_places_px": 128 * float(places.median()),
        "held_out_ratio": float(ratio.square().mean().sqrt()),
    }


@torch.no_grad()
def _calibrated(model: HmrModel, kept: Examples) -> HmrModel:
    """The model with spreads as large as the residuals of people it has not seen, dimension by dimension."""
    condition = model.observe(kept.observation)
    residual = kept.latents - condition.context["mean"]
    ratio = (residual / condition.context["spread"].clamp(min=LEAST_SPREAD)).square()
    factor = ratio.clamp(max=25).mean(0).sqrt().clamp(0.5, 2.0)
    model.encoder.spread_head.bias += factor.log()  # type: ignore[union-attr, operator]
    model.predictor.spread.copy_(residual.square().mean(0).sqrt().clamp(min=LEAST_SPREAD))  # type: ignore[union-attr]
    return model


def _save(path: Path, model: HmrModel, average: AveragedModel, optimiser: torch.optim.Optimizer, step: int) -> None:
    state = {"model": model.state_dict(), "average": average.state_dict(), "optimiser": optimiser.state_dict()}
    with finished_file(path) as unfinished, unfinished.open("wb") as file:  # given a path, torch writes its name too
        torch.save({**state, "step": step}, file)
