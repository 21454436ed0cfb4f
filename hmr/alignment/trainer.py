"""Fine-tuning of a policy on scored groups: the loop around the objectives, with a guard that stops and rolls back.

Runs on what accelerate finds: a CPU, a GPU, or several processes that each take whole groups. Every random draw of
step k comes from (seed, k), so a run that goes on from a saved state takes the same steps as one that was never
interrupted, and a run split into more processes or micro-batches takes the same steps except for rounding.
"""

import hashlib
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import InitProcessGroupKwargs, broadcast_object_list, gather_object
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from hmr.alignment.advantage import Advantages, group_advantages
from hmr.alignment.group_order import rows_of_step
from hmr.alignment.group_source import GroupBatch, GroupSource, ScoredGroups
from hmr.alignment.guard import Decision, GuardLook, StabilityGuard
from hmr.alignment.learner import Learner, frozen, learner, trained_model, weights_to_train
from hmr.alignment.objectives import (
    GroupErrors,
    ObjectiveSettings,
    alignment_loss,
    centred_noise,
    draw_steps_and_noise,
    noise_errors,
)
from hmr.alignment.objectives import step_weights as weights_of_steps
from hmr.alignment.spread_pull import SpreadPull, spread_pull, without_spread_pull
from hmr.alignment.train_settings import TrainSettings, learning_rate_share
from hmr.alignment.training_state import load_state, save_state, weights_of
from hmr.diffusion.condition import Condition, Observation
from hmr.diffusion.noise_schedule import DATA_SCALE, alpha_bars, diffuse
from hmr.models.base_model import HmrModel

__all__ = [
    "Counts",
    "ScoredGroups",
    "StepTaker",
    "TrainError",
    "TrainResult",
    "TrainSettings",
    "count_groups",
    "make_accelerator",
    "train_policy",
]

PULL_GROUPS = 512
"""Groups on which `keep_spread` is measured before the first step: those that training takes first."""

LONGEST_WAIT = timedelta(hours=12)
"""Longest time that the other processes wait while one validates and writes a checkpoint."""


class Counts(NamedTuple):
    """How many groups can be trained on, and why the others cannot."""

    groups: int
    trained_on: int
    silent: int  # without any score
    flat: int  # scored, but with too little spread or too few members
    abstentions: int  # hypotheses without a score, in groups that are trained on


class TrainResult(NamedTuple):
    """The policy of the best validation step, and how the run went."""

    model: HmrModel
    decision: Decision
    curves: list[dict[str, float]]  # one row per training step
    evaluations: list[GuardLook]
    counts: Counts


class TrainError(ValueError):
    """The groups cannot be trained on; the message says why."""


Validate = Callable[[HmrModel], GuardLook]


def make_accelerator() -> Accelerator:
    """One GPU or CPU, or one of the processes that torchrun or `accelerate launch` started."""
    return Accelerator(
        cpu=not torch.cuda.is_available(),
        mixed_precision="no",  # differences of noise errors need float32; the encoder has a setting of its own
        kwargs_handlers=[InitProcessGroupKwargs(timeout=LONGEST_WAIT)],
    )


def count_groups(source: GroupSource, objective: ObjectiveSettings) -> tuple[Advantages, Counts]:
    """Advantages of all groups, and how many can be trained on; raises TrainError if there are none."""
    scores = source.scores
    if scores.shape[1] < 2:
        raise TrainError(
            f"the groups hold {scores.shape[1]} hypothesis each, which has nothing to be compared with: "
            "sample groups of two or more ([sample] hypotheses)"
        )
    advantages = group_advantages(scores, **objective.advantage.model_dump(), uncertainty=source.uncertainty)
    judged = advantages.judged.any(1)
    kept = int(advantages.kept.sum())
    counts = Counts(
        groups=len(scores),
        trained_on=kept,
        silent=int((~judged).sum()),
        flat=int((judged & ~advantages.kept).sum()),
        abstentions=int((~advantages.judged[advantages.kept]).sum()),
    )
    if not kept:
        raise TrainError(
            f"none of {len(scores)} groups can be trained on: {len(scores) - counts.silent} have a score, and in none "
            f"do the scores differ by {objective.advantage.min_std:g} points or more (standard deviation) over "
            f"{objective.advantage.min_members} members; look at the critic's verdicts, or lower advantage.min_std"
        )
    return advantages, counts


def train_policy(
    model: HmrModel,
    source: GroupSource,
    settings: TrainSettings,
    validate: Validate,
    *,
    states: Path | None = None,
    report: Callable[[dict[str, float]], None] | None = None,
    accelerator: Accelerator | None = None,
    reference: HmrModel | None = None,
) -> TrainResult:
    """Fine-tune the model on scored groups.

    reference: the model that the policy is compared with; none = `model` as given. It uses the same encoder.
    `validate` measures a model on held-out people; it is called in the first process alone, before the first step
    and every `evaluate_every` steps, on the averaged weights. states: folder of saved states, to go on after an
    interruption. report: called in the first process with the numbers of each step.

    Raises TrainError if the groups cannot be trained on, if the source's kind does not fit `train_encoder`, or if GPU
    memory runs out and the batch may not be halved; StateError if `states` belongs to another run or cannot be read;
    AdapterError as `learner` does; and ValueError if settings do not fit together, or if validation before the first
    step is not finite.
    """
    training = _Training(model, source, settings, accelerator or make_accelerator(), states, reference)
    return training.run(validate, report or (lambda row: None))


class StepTaker:
    """Takes training steps one by one, in this process and without validation: to measure their speed."""

    def __init__(self, model: HmrModel, source: GroupSource, settings: TrainSettings) -> None:
        self._training = _Training(model, source, settings, make_accelerator(), None)

    def take(self, step: int) -> dict[str, float]:
        """One optimiser step on the groups of step number `step` of a run; returns the numbers that a run logs."""
        return self._training.take(step)

    def reference_pass(self, step: int) -> Callable[[], Tensor]:
        """The reference's forward pass on the groups of a step, to be timed by itself."""
        inputs = self._inputs(step)

        def forward() -> Tensor:
            with torch.no_grad():
                return self._training.reference(*inputs)

        return forward

    def policy_pass(self, step: int) -> Callable[[], None]:
        """Forward and backward through the policy on the groups of a step, without any objective, to be timed."""
        inputs = self._inputs(step)

        def forward_and_backward() -> None:
            self._training.policy(*inputs).square().mean().backward()

        return forward_and_backward

    def _inputs(self, step: int) -> tuple[Condition | Observation, Tensor, Tensor]:
        batch, _, _ = self._training._batch(step)
        return (
            batch.groups.condition,
            diffuse(batch.groups.latents, batch.noise, batch.steps, self._training.table),
            batch.steps,
        )


@dataclass
class _Progress:
    """The state of a run that is not in the networks."""

    step: int = 0
    micro_groups: int | None = None
    curves: list[dict[str, float]] = field(default_factory=list)
    evaluations: list[GuardLook] = field(default_factory=list)
    best: dict[str, Tensor] = field(default_factory=dict)


class _Batch(NamedTuple):
    """The groups of one step, or those of them that one process takes."""

    groups: GroupBatch
    advantages: Advantages
    steps: Tensor  # (n, g)
    noise: Tensor  # (n, g, 133)

    def part(self, groups: slice, hypotheses: slice) -> "_Batch":
        values, kept, judged = self.advantages
        advantages = Advantages(values[groups, hypotheses], kept[groups], judged[groups, hypotheses])
        steps, noise = self.steps[groups, hypotheses], self.noise[groups, hypotheses]
        return _Batch(self.groups.part(groups, hypotheses), advantages, steps, noise)


class _Training:
    """One run: networks, optimiser and progress, and the methods that take a step."""

    def __init__(
        self, model: HmrModel, source: GroupSource, settings: TrainSettings, accelerator: Accelerator,
        states: Path | None, reference: HmrModel | None = None,
    ) -> None:  # fmt: skip
        self.settings, self.objective = settings, settings.resolved()
        self.source, self.accelerator, self.states = source, accelerator, states
        self.advantages, self.counts = count_groups(source, self.objective)
        self.shards = _kept_rows(source, self.advantages)
        self.pull = self._measured_pull() if self.objective.keep_spread else None
        device = accelerator.device
        self.model = model.to(device).eval()
        held_to = self.model if reference is None else reference.to(device).eval()
        self.reference = frozen(held_to, settings)
        self.policy = learner(self.model, settings)
        groups = weights_to_train(self.policy, settings)
        self.weights = [weight for weights, _ in groups for weight in weights]
        self.rates = [rate for _, rate in groups]
        named = [{"params": weights, "lr": rate} for weights, rate in groups]
        self.optimiser = torch.optim.Adam(named, fused=True)  # one pass over the weights instead of a dozen
        self.average = AveragedModel(self.policy, multi_avg_fn=_average_with(settings.ema))  # type: ignore[arg-type]
        self.average.n_averaged += 1  # the start counts
        self.table = alpha_bars().to(device)
        self.spread = _residual_spread(self.reference.predictor).to(device)
        self.identity = _identity(model, held_to, source, settings)
        self.progress = _Progress(micro_groups=settings.micro_groups, best=weights_of(self.average.module))
        self._load()

    def run(self, validate: Validate, report: Callable[[dict[str, float]], None]) -> TrainResult:
        progress, settings = self.progress, self.settings
        guard = StabilityGuard(settings.guard)
        decision = guard.decide(progress.evaluations) if progress.evaluations else self._check(validate, guard)
        while not decision.stop and progress.step < settings.steps:
            row = self.take(progress.step)
            progress.step += 1
            progress.curves.append(row)
            if self.accelerator.is_main_process:
                report(row)
            due = progress.step % settings.evaluate_every == 0 or progress.step == settings.steps
            if due or not math.isfinite(row["gradient_norm"]):
                decision = self._check(validate, guard)
            elif progress.step % settings.save_every == 0:
                self._save()
        if not decision.stop:
            reason = f"all {progress.step} steps taken; best is step {decision.best.step}"
            kept = "" if settings.keep == "best on val" else ", and the last is kept"
            decision = Decision(False, reason + kept, decision.best)
        if decision.stop or settings.keep == "best on val":
            self.average.module.load_state_dict(progress.best)
        model = trained_model(self.model, self._averaged).cpu().eval()
        return TrainResult(model, decision, progress.curves, progress.evaluations, self.counts)

    def _check(self, validate: Validate, guard: StabilityGuard) -> Decision:
        """Validate in the first process, send the numbers to the others, and decide the same in all."""
        progress = self.progress
        shared: list[Any] = [None]
        if self.accelerator.is_main_process:
            measured = validate(trained_model(self.model, self._averaged))
            numbers = _recent(progress.curves, self.settings.evaluate_every)
            shared = [GuardLook(**{**asdict(measured), "step": progress.step, **numbers})]
        progress.evaluations += broadcast_object_list(shared)
        decision = guard.decide(progress.evaluations)
        if decision.best.step == progress.step:
            progress.best = weights_of(self.average.module)
        self._save()
        return decision

    def take(self, step: int) -> dict[str, float]:
        """One optimiser step on a batch of whole groups; returns what to log."""
        share = learning_rate_share(self.settings, step)
        for group, rate in zip(self.optimiser.param_groups, self.rates):
            group["lr"] = rate * share
        mine, theirs, rewards = self._batch(step)
        watching = self._watches(step)
        loss, errors = self._gradients(mine, len(theirs.kept), watching)
        norm = float(torch.nn.utils.clip_grad_norm_(self.weights, self.settings.grad_clip))
        if math.isfinite(norm):  # if not, the guard will end the run
            self.optimiser.step()
            self.average.update_parameters(self.policy)
        return {
            "step": float(step + 1),
            "loss": loss,
            "gradient_norm": norm,
            "learning_rate": self.rates[0] * share,
            **rewards,
            **self._diagnostics(errors, theirs),
        }

    def _batch(self, step: int) -> tuple[_Batch, Advantages, dict[str, float]]:
        """This process' part of a step; the advantages of all processes in turn; mean and spread of the rewards."""
        rows = torch.from_numpy(
            rows_of_step(
                self.shards, step, self.settings.groups_per_step, window=self.source.window, seed=self.settings.seed
            )
        )
        size = self.source.scores.shape[1]
        generator = torch.Generator().manual_seed(self.settings.seed * 1_000_003 + step)
        drawn = draw_steps_and_noise(self.objective, generator, (len(rows), size, self._dims))
        ranks, device = self.accelerator.num_processes, self.accelerator.device
        turns = [torch.arange(rank, len(rows), ranks) for rank in range(ranks)]
        mine = turns[self.accelerator.process_index]
        groups = self.source.fetch(rows[mine])
        if isinstance(groups.condition, Condition) == self.settings.train_encoder:
            kind = "conditions" if self.settings.train_encoder else "observations"
            raise TrainError(
                f"train_encoder = {str(self.settings.train_encoder).lower()}, but the source gives {kind}: "
                "open it with the same setting"
            )
        own = self._advantages(rows[mine], groups)
        every = [own] if ranks == 1 else gather_object([own])
        batch = _Batch(
            groups.to(device),
            Advantages(*(part.to(device) for part in own)),
            drawn.steps[mine].to(device),
            drawn.noise[mine].to(device),
        )
        theirs = Advantages(*(torch.cat(parts).to(device) for parts in zip(*every)))
        return batch, theirs, _rewards(self.source.scores[rows], self.counts)

    def _measured_pull(self) -> SpreadPull:
        """The same in every process and after each restart: of the groups that training takes first."""
        take = {"window": self.source.window, "seed": self.settings.seed}
        rows = torch.from_numpy(rows_of_step(self.shards, 0, PULL_GROUPS, **take))
        latents = [self.source.fetch(some).latents for some in rows.split(self.settings.groups_per_step)]
        return spread_pull(torch.cat(latents), Advantages(*(part[rows] for part in self.advantages)))

    def _advantages(self, rows: Tensor, groups: GroupBatch) -> Advantages:
        """Of the groups of some rows, as the objective wants them."""
        advantages = Advantages(*(part[rows] for part in self.advantages))
        return advantages if self.pull is None else without_spread_pull(advantages, groups.latents, self.pull)

    def _gradients(self, batch: _Batch, images: int, watching: bool) -> tuple[float, GroupErrors]:
        """Gradients of the whole step in every process: the loss, and the errors of all groups in turn."""
        while True:
            self.optimiser.zero_grad()
            losses: list[Tensor] = []
            found: list[GroupErrors] = []
            failure: str | None = None
            try:
                for groups in _slices(len(batch.steps), self.progress.micro_groups):
                    parts = []
                    for members in _slices(batch.steps.shape[1], self.settings.micro_hypotheses):
                        loss, errors = self._pass(batch.part(groups, members), images, watching)
                        losses.append(loss)
                        parts.append(errors)
                    found.append(_join(parts, 1))
            except torch.OutOfMemoryError as error:
                failure = str(error).splitlines()[0]
            if not self._in_any_process(failure is not None):
                return self._sum_over_processes(losses, found)
            del losses, found
            self._take_less_at_once(failure, len(batch.steps))

    def _pass(self, batch: _Batch, images: int, watching: bool) -> tuple[Tensor, GroupErrors]:
        """Forward and backward through some of the groups; their share of the loss, and their errors."""
        condition, latents = batch.groups
        noisy = diffuse(latents, batch.noise, batch.steps, self.table)
        wanted = None
        if self.objective.needs_reference or watching:
            with torch.no_grad():
                wanted = self.reference(condition, noisy, batch.steps).float()
        predicted = self.policy(condition, noisy, batch.steps).float()
        weights = weights_of_steps(self.objective, batch.steps, self.table, self.spread)
        noise = batch.noise
        if self.objective.centre_residuals and wanted is not None:
            noise = centred_noise(noise, wanted)
        errors = noise_errors(predicted, noise, wanted, heads=self.objective.heads).weighted(weights)
        loss = alignment_loss(self._needed(errors), batch.advantages, self.objective, images=images).loss
        loss.backward()
        return loss.detach(), GroupErrors._make(None if part is None else part.detach() for part in errors)

    def _needed(self, errors: GroupErrors) -> GroupErrors:
        """The errors that the gradient depends on."""
        return errors if self.objective.needs_reference else GroupErrors(errors.policy)

    def _watches(self, step: int) -> bool:
        """Whether to run a reference that the gradient does not need: now and then, and before validation."""
        return step % self.settings.watch_every == 0 or (step + 1) % self.settings.evaluate_every == 0

    def _sum_over_processes(self, losses: list[Tensor], found: list[GroupErrors]) -> tuple[float, GroupErrors]:
        loss = torch.stack(losses).sum() if losses else torch.zeros((), device=self.accelerator.device)
        errors = _join(found, 0) if found else None
        if self.accelerator.num_processes == 1:
            assert errors is not None
            return float(loss), errors
        for weight in self.weights:
            if weight.grad is None:
                weight.grad = torch.zeros_like(weight)
        grads = [weight.grad for weight in self.weights if weight.grad is not None]
        summed = self.accelerator.reduce(torch.cat([grad.flatten() for grad in grads]))
        for grad, part in zip(grads, summed.split([grad.numel() for grad in grads])):  # type: ignore[union-attr]
            grad.copy_(part.view_as(grad))
        every = gather_object([errors and GroupErrors._make(None if p is None else p.cpu() for p in errors)])
        device = self.accelerator.device
        whole = _join([GroupErrors._make(p if p is None else p.to(device) for p in one) for one in every if one], 0)
        return float(self.accelerator.reduce(loss)), whole  # type: ignore[arg-type]

    def _in_any_process(self, happened: bool) -> bool:
        if self.accelerator.num_processes == 1:
            return happened
        flag = torch.tensor(float(happened), device=self.accelerator.device)
        return bool(self.accelerator.reduce(flag) > 0)  # type: ignore[operator]

    def _take_less_at_once(self, failure: str | None, groups: int) -> None:
        """Halve the micro-batch after memory ran out; raises TrainError if that is not allowed or not possible."""
        self.optimiser.zero_grad(set_to_none=True)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        size = min(self.progress.micro_groups or groups, groups)
        if not self.settings.halve_on_oom or size < 2:
            fix = (
                f"set micro_groups = {size // 2} (the same step in smaller parts), or halve_on_oom = true"
                if size > 1
                else "one group does not fit: sample fewer hypotheses, train on a larger GPU, or set "
                "checkpoint_activations or lora_rank"
            )
            raise TrainError(
                f"out of memory with {size} groups at once in step {self.progress.step + 1} "
                f"({failure or 'in another process'}): {fix}"
            )
        self.progress.micro_groups = -(-size // 2)

    def _diagnostics(self, errors: GroupErrors, advantages: Advantages) -> dict[str, float]:
        """Numbers about all groups of a step; those that need the reference only if it was run."""
        with torch.no_grad():
            details = alignment_loss(self._needed(errors), advantages, self.objective).diagnostics
            if errors.reference is not None and not self.objective.needs_reference:
                details = {**alignment_loss(errors, advantages, self.objective).diagnostics, **details}
        numbers = {name: float(value) for name, value in details.items()}
        return {**numbers, **_trl_names(numbers, self.objective)}

    @property
    def _averaged(self) -> Learner:
        return cast(Learner, self.average.module)

    @property
    def _dims(self) -> int:
        return sum(head.dims for head in self.objective.heads)

    def _save(self) -> None:
        if self.states is None or not self.accelerator.is_main_process:
            return
        state = {
            **vars(self.progress),
            "evaluations": [asdict(one) for one in self.progress.evaluations],
            "policy": self.policy.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "run": self.identity,
        }
        save_state(self.states, self.progress.step, state, self.settings.keep_states)

    def _load(self) -> None:
        state = self.states and load_state(self.states, self.identity)
        if state:
            evaluations = [GuardLook(**one) for one in state["evaluations"]]
            kept = {name: state[name] for name in ("step", "micro_groups", "curves", "best")}
            self.progress = _Progress(**kept, evaluations=evaluations)
            self.policy.load_state_dict(state["policy"])
            self.average.load_state_dict(state["average"])
            self.optimiser.load_state_dict(state["optimiser"])
        self.accelerator.wait_for_everyone()  # no process reads once the first may write


def _kept_rows(source: GroupSource, advantages: Advantages) -> list[np.ndarray]:
    """Of each shard, the rows that can be trained on."""
    kept = advantages.kept.numpy()
    ends = np.cumsum(source.shards)
    return [np.flatnonzero(kept[end - size : end]) + (end - size) for size, end in zip(source.shards, ends)]


def _identity(model: HmrModel, reference: HmrModel, source: GroupSource, settings: TrainSettings) -> str:
    """Digest of everything that decides the result of a run."""
    digest = hashlib.sha256(json.dumps(settings.alike(), sort_keys=True).encode())
    digest.update(model.digest().encode())
    digest.update(reference.digest().encode())
    digest.update(str(tuple(source.shards)).encode())
    for part in (source.scores, source.uncertainty):
        digest.update(b"" if part is None else part.numpy().tobytes())
    return digest.hexdigest()


def _slices(size: int, step: int | None) -> Iterator[slice]:
    step = step or size
    yield from (slice(start, start + step) for start in range(0, size, step or 1))


def _join(parts: list[GroupErrors], axis: int) -> GroupErrors:
    columns = zip(*parts)
    return GroupErrors._make(None if column[0] is None else torch.cat(column, axis) for column in columns)


def _residual_spread(predictor: nn.Module) -> Tensor:
    """Standard deviation of x0 about its conditional mean: the predictor's own value, else one from the data scale."""
    known = getattr(predictor, "spread", None)
    return torch.tensor(DATA_SCALE / 4) if known is None else known.square().mean().sqrt()


def _average_with(ema: float) -> Callable[[list[Tensor], list[Tensor], Tensor | int], None]:
    """Moving average of the weights; n counts the steps before this one."""

    @torch.no_grad()
    def follow(average: list[Tensor], policy: list[Tensor], averaged: Tensor | int) -> None:
        n = int(averaged) - 1
        torch._foreach_lerp_(average, policy, 1 - min(ema, (1 + n) / (10 + n)))  # type: ignore[attr-defined]

    return follow  # type: ignore[return-value]


def _rewards(scores: Tensor, counts: Counts) -> dict[str, float]:
    """How a batch was rewarded, by the names of TRL; rewards are scores / 100."""
    rewards = scores.double() / 100
    centred = rewards - rewards.nanmean(1, keepdim=True)
    return {
        "reward": float(rewards.nanmean()),
        "reward_std": float(centred.square().nanmean(1).sqrt().mean()),
        "frac_reward_zero_std": counts.flat / max(counts.groups - counts.silent, 1),  # of all judged groups
    }


def _trl_names(numbers: dict[str, float], objective: ObjectiveSettings) -> dict[str, float]:
    """What TRL has a name for: the clipped share, and the surrogate of the KL divergence to the reference.

    kl is ||eps_theta - eps_ref||^2 as a mean over dims, which the divergence is proportional to at each step.
    """
    found = {"clip_ratio/region_mean": numbers["clip_fraction"]} if "clip_fraction" in numbers else {}
    if "distance/all" in numbers:
        return {**found, "kl": numbers["distance/all"]}
    distances = [(numbers.get(f"distance/{head.name}"), head.dims) for head in objective.heads]
    if any(value is None for value, _ in distances):
        return found
    return {**found, "kl": sum(v * dims for v, dims in distances if v is not None) / sum(d for _, d in distances)}


def _recent(curves: list[dict[str, float]], count: int) -> dict[str, float]:
    """Guard's training numbers over the last steps: means over steps and heads, and the least convexity margin."""

    def values(prefix: str) -> list[float]:
        return [v for row in curves[-count:] for n, v in row.items() if n.startswith(prefix)]

    def mean(prefix: str) -> float | None:
        found = values(prefix)
        return sum(found) / len(found) if found else None

    found = {
        "statistic": mean("S/"),
        "winner_change": mean("winner_change/"),
        "loser_change": mean("loser_change/"),
        "distance": mean("distance/"),
        "gradient_norm": mean("gradient_norm"),
        "convexity_margin": min(values("convexity_margin"), default=None),
    }
    return {name: value for name, value in found.items() if value is not None}
