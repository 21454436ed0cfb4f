"""Fine-tuning of a policy on scored groups: the loop around the objectives, with a guard that stops and rolls back.

Runs on what accelerate finds (CPU, one GPU, several). Every random draw of step k comes from (seed, k), so a run
that goes on from its saved state takes the same steps as one that was never broken off.
"""

import copy
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import torch
from accelerate import Accelerator
from jaxtyping import Float
from pydantic import BaseModel as Settings
from pydantic import ConfigDict, Field
from torch import Tensor, nn

from hmr.advantage import Advantages, group_advantages
from hmr.base_model import BaseModel
from hmr.condition import Condition
from hmr.guard import Decision, Evaluation, GuardSettings, StabilityGuard
from hmr.noise_schedule import DATA_SCALE, alpha_bars, diffuse
from hmr.objectives import (
    ObjectiveSettings,
    alignment_loss,
    draw_noise,
    draw_timesteps,
    noise_errors,
    preset,
    step_weights,
)


class TrainSettings(Settings):
    """One round of fine-tuning. The objective is a preset, with changes by name."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    preset: str = "studio"
    objective: dict[str, Any] = {}  # changes to the preset, by its field names
    steps: int = Field(default=200, ge=1)
    groups_per_step: int = Field(default=12, ge=1)
    learning_rate: float = Field(default=5e-4, gt=0)
    warmup: int = Field(default=20, ge=0)  # steps
    grad_clip: float = Field(default=1.0, gt=0)
    ema: float = Field(default=0.99, ge=0, lt=1)  # reached gradually: (1 + n) / (10 + n) before
    evaluate_every: int = Field(default=40, ge=1)  # steps
    guard: GuardSettings = GuardSettings()
    seed: int = 0

    def resolved(self) -> ObjectiveSettings:
        """The objective as it will be computed."""
        return preset(self.preset, **self.objective)


class ScoredGroups(NamedTuple):
    """Groups with their scores; n images, g hypotheses."""

    condition: Condition  # of the n images
    latents: Float[Tensor, "n g 133"]
    scores: Float[Tensor, "n g"]  # 0-100, NaN = abstained


class TrainResult(NamedTuple):
    """The policy of the best validation step, and how the run went."""

    model: BaseModel
    decision: Decision
    curves: list[dict[str, float]]  # one row per training step
    evaluations: list[Evaluation]


class TrainError(ValueError):
    """The groups cannot be trained on; the message says why."""


Validate = Callable[[BaseModel], Evaluation]


def usable_groups(groups: ScoredGroups, objective: ObjectiveSettings) -> tuple[ScoredGroups, Advantages]:
    """The groups that have an advantage to learn from; raises TrainError if there are none."""
    advantages = group_advantages(groups.scores, **objective.advantage.model_dump())
    kept = advantages.kept.nonzero()[:, 0]
    if not len(kept):
        judged = int((~groups.scores.isnan()).any(1).sum())
        raise TrainError(
            f"none of {len(groups.scores)} groups can be trained on: {judged} have a score, and in none do the scores "
            f"differ by {objective.advantage.min_std:g} points or more (standard deviation) over "
            f"{objective.advantage.min_members} members; look at the critic's verdicts, or lower advantage.min_std"
        )
    chosen = ScoredGroups(groups.condition.select(kept), groups.latents[kept], groups.scores[kept])
    return chosen, Advantages(*(part[kept] for part in advantages))


def train_policy(
    model: BaseModel,
    groups: ScoredGroups,
    settings: TrainSettings,
    validate: Validate,
    *,
    state_path: Path | None = None,
    report: Callable[[dict[str, float]], None] | None = None,
    accelerator: Accelerator | None = None,
) -> TrainResult:
    """Fine-tune the noise predictor on scored groups; the reference model is the model as it comes in.

    `validate` measures a model on held-out people; it is called before the first step and every `evaluate_every`
    steps on the averaged weights. state_path: where the run's state lies, to go on after an interruption.
    """
    accelerator = accelerator or Accelerator(cpu=not torch.cuda.is_available())
    device = accelerator.device
    objective = settings.resolved()
    groups, advantages = usable_groups(groups, objective)
    groups = ScoredGroups(groups.condition.to(device), groups.latents.to(device), groups.scores)
    advantages = Advantages(*(part.to(device) for part in advantages))
    model = model.to(device).eval()
    reference = copy.deepcopy(model.predictor).requires_grad_(False)
    # Never in train mode: with dropout the policy would differ from the reference before the first step.
    policy = copy.deepcopy(model.predictor).requires_grad_(True)
    average = copy.deepcopy(model.predictor).requires_grad_(False)
    optimiser = torch.optim.Adam(policy.parameters(), settings.learning_rate)
    run = _Run.fresh(average)
    if state_path is not None and state_path.exists():
        run = _Run.load(state_path, policy, average, optimiser)
    trained, optimiser = accelerator.prepare(policy, optimiser)
    guard = StabilityGuard(settings.guard)

    def check(step: int) -> Decision:
        numbers = _recent(run.curves, settings.evaluate_every)
        measured = validate(_with_predictor(model, average))
        run.evaluations.append(Evaluation(**{**asdict(measured), "step": step, **numbers}))
        decision = guard.decide(run.evaluations)
        if decision.best.step == step:
            run.best = {n: t.detach().clone() for n, t in average.state_dict().items()}
        if state_path is not None:
            run.save(state_path, step, policy, average, optimiser)
        return decision

    decision = guard.decide(run.evaluations) if run.evaluations else check(0)
    table = alpha_bars().to(device)
    while not decision.stop and run.step < settings.steps:
        step = run.step
        for group in optimiser.param_groups:
            group["lr"] = settings.learning_rate * min((step + 1) / max(settings.warmup, 1), 1.0)
        row = _step(trained, reference, groups, advantages, objective, settings, table, step, accelerator, optimiser)
        _follow(average, policy, min(settings.ema, (1 + step) / (10 + step)))
        run.step = step + 1
        run.curves.append(row)
        if report is not None:
            report(row)
        if run.step % settings.evaluate_every == 0 or run.step == settings.steps:
            decision = check(run.step)
    if not decision.stop:
        reason = f"all {run.step} steps taken; best is step {decision.best.step}"
        decision = Decision(False, reason, decision.best)
    average.load_state_dict(run.best)
    return TrainResult(_with_predictor(model, average).cpu().eval(), decision, run.curves, run.evaluations)


def _step(
    trained: nn.Module, reference: nn.Module, groups: ScoredGroups, advantages: Advantages,
    objective: ObjectiveSettings, settings: TrainSettings, table: Tensor, step: int,
    accelerator: Accelerator, optimiser: Any,
) -> dict[str, float]:  # fmt: skip
    """One optimiser step on a batch of whole groups; returns what to log."""
    generator = torch.Generator().manual_seed(settings.seed * 1_000_003 + step)
    count = min(settings.groups_per_step, len(groups.latents))
    chosen = torch.randperm(len(groups.latents), generator=generator)[:count].to(table.device)
    latents, condition = groups.latents[chosen], groups.condition.select(chosen)
    steps = draw_timesteps(objective, generator, count, table.device)[:, None].expand(latents.shape[:2])
    noise = draw_noise(generator, count, latents.shape[-1], table.device)
    noisy = diffuse(latents, noise.expand_as(latents), steps, table)
    with accelerator.autocast():
        predicted = trained(noisy, steps, condition)
    with torch.no_grad():
        wanted = reference(noisy, steps, condition)
    spread = _residual_spread(reference).to(table.device)
    weights = step_weights(objective, steps[:, 0], table, spread)
    errors = noise_errors(predicted.float(), noise, wanted.float(), heads=objective.heads).weighted(weights)
    loss, watched = alignment_loss(errors, Advantages(*(part[chosen] for part in advantages)), objective)
    optimiser.zero_grad()
    accelerator.backward(loss)
    norm = accelerator.clip_grad_norm_(trained.parameters(), settings.grad_clip)
    optimiser.step()
    return {
        "step": float(step + 1),
        "loss": float(loss.detach()),
        "gradient_norm": float(norm if norm is not None else 0.0),
        **{name: float(value) for name, value in watched.items()},
    }


def _residual_spread(predictor: nn.Module) -> Tensor:
    """Standard deviation of x0 about its conditional mean, as the predictor knows it; else that of its data."""
    known = getattr(predictor, "spread", None)
    return torch.tensor(DATA_SCALE / 4) if known is None else known.square().mean().sqrt()


class _Run:
    """The state of a run that is not in the networks."""

    def __init__(self) -> None:
        self.step = 0
        self.curves: list[dict[str, float]] = []
        self.evaluations: list[Evaluation] = []
        self.best: dict[str, Tensor] = {}

    @classmethod
    def fresh(cls, average: nn.Module) -> "_Run":
        run = cls()
        run.best = {n: t.detach().clone() for n, t in average.state_dict().items()}
        return run

    def save(self, path: Path, step: int, policy: nn.Module, average: nn.Module, optimiser: Any) -> None:
        state = {
            "step": step,
            "curves": self.curves,
            "evaluations": [asdict(e) for e in self.evaluations],
            "best": self.best,
            "policy": policy.state_dict(),
            "average": average.state_dict(),
            "optimiser": optimiser.state_dict(),
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(path.name + ".tmp")
        torch.save(state, unfinished)
        unfinished.replace(path)

    @classmethod
    def load(cls, path: Path, policy: nn.Module, average: nn.Module, optimiser: Any) -> "_Run":
        state = torch.load(path, weights_only=True, map_location=next(policy.parameters()).device)
        run = cls()
        run.step, run.curves, run.best = state["step"], state["curves"], state["best"]
        run.evaluations = [Evaluation(**e) for e in state["evaluations"]]
        policy.load_state_dict(state["policy"])
        average.load_state_dict(state["average"])
        optimiser.load_state_dict(state["optimiser"])
        return run


def _recent(curves: list[dict[str, float]], count: int) -> dict[str, float]:
    """Guard's training numbers, averaged over the last steps and the heads."""

    def mean(prefix: str) -> float | None:
        values = [v for row in curves[-count:] for n, v in row.items() if n.startswith(prefix)]
        return sum(values) / len(values) if values else None

    found = {"statistic": mean("S/"), "winner_change": mean("winner_change/"), "distance": mean("distance/")}
    return {name: value for name, value in found.items() if value is not None}


@torch.no_grad()
def _follow(average: nn.Module, policy: nn.Module, decay: float) -> None:
    for mine, theirs in zip(average.parameters(), policy.parameters()):
        mine.lerp_(theirs, 1 - decay)


def _with_predictor(model: BaseModel, predictor: nn.Module) -> BaseModel:
    """The model with a copy of another predictor in it; the encoder is shared, it is not trained."""
    result = copy.copy(model)
    result._modules = dict(model._modules)
    result.predictor = copy.deepcopy(predictor).eval()  # type: ignore[assignment]
    return result
