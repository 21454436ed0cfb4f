"""Decides from validation alone when training must stop, and which step was the best."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["Decision", "GuardLook", "GuardRule", "GuardSettings", "StabilityGuard"]

Criterion = Literal["zero_noise_mm", "best_of_g_mm", "both"]


@dataclass(frozen=True)
class GuardLook:
    """Validation numbers at one training step, on the same images and with the same noise each time."""

    step: int
    zero_noise_mm: float  # MPJPE of the hypothesis from zero noise
    best_of_g_mm: float  # MPJPE of the best hypothesis of each group
    diversity_mm: float  # `hmr.metrics.pose_metrics.diversity`
    # Means over the training steps since the last evaluation; None where not measured. See `objectives.diagnostics`.
    statistic: float | None = None  # S = sum_i A_i D_i
    winner_change: float | None = None  # mean D of the winners
    loser_change: float | None = None  # mean D of the losers
    distance: float | None = None  # ||eps_theta - eps_ref||^2 / dims
    gradient_norm: float | None = None  # before clipping
    convexity_margin: float | None = None  # the smallest; below 0 some output is pushed away without limit
    # Percent of pairs in which a critic puts this policy's hypothesis above one of the model that training began with:
    # 50 at the start. By a second critic, which training never sees, and by the critic that it is trained on.
    critic_score: float | None = None
    own_score: float | None = None


class GuardSettings(BaseModel):
    """Named thresholds. "Start" is the first evaluation, taken before the first step."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    criterion: Criterion = "both"
    """What "best" means: the smallest value of this error; `both` is the mean of the two as shares of start's."""
    max_rise_percent: float = Field(default=3.0, gt=0)
    """The criterion may exceed its value at the start by this much."""
    patience: int = Field(default=5, ge=1)
    """Evaluations in a row that may pass without a new best."""
    min_gain_percent: float = Field(default=0.5, ge=0)
    """A step replaces start as the best only if it gains this much: noise on validation is not progress."""
    min_diversity_percent: float = Field(default=60.0, ge=0)
    """The hypotheses of a group must keep this share of start's diversity."""
    max_winner_change: float = Field(default=2.0, gt=0)
    """The noise error of winners may rise by this much (x0-weighted errors have about unit variance)."""
    max_distance: float = Field(default=2.0, gt=0)
    """The policy may move from the reference by this much (in the same unit)."""
    max_statistic: float = Field(default=20.0, gt=0)
    """|S| may grow to this: about 1 for each member of a group of 20."""
    max_gradient_growth: float = Field(default=30.0, gt=1)
    """The gradient norm before clipping may grow to this many times that of the first interval."""
    max_critic_drop: float = Field(default=3.0, gt=0)
    """The second critic may prefer the start by this, percent of pairs beyond half: the first is being fooled."""
    min_convexity_margin: float | None = None
    """The loss must keep this curvature in every output; 0 = convex. None: not checked; most objectives are not."""


class GuardRule(NamedTuple):
    """One threshold checked against one evaluation."""

    name: str  # of the setting
    limit: float
    value: float | None  # None = not measured
    broken: bool
    says: str  # what it means if broken


@dataclass(frozen=True)
class Decision:
    """What to do after an evaluation."""

    stop: bool
    reason: str  # a sentence for people, also for a run that goes on
    best: GuardLook  # go back to this step's weights when the run ends


@dataclass(frozen=True)
class StabilityGuard:
    """Decides about a run without any state: equal histories give equal decisions, so a resumed run needs none."""

    settings: GuardSettings = field(default_factory=GuardSettings)

    def decide(self, history: Sequence[GuardLook]) -> Decision:
        """Whether training stops after the last evaluation of `history`, whose first entry is the start of the run.

        Raises ValueError if the history is empty, or if its first entry holds a number that is not finite.
        """
        if not history:
            raise ValueError("StabilityGuard: no evaluation yet; evaluate once before the first training step")
        if fault := _not_finite(history[0]):
            raise ValueError(f"StabilityGuard: the evaluation before training is unusable: {fault}")
        sound = [evaluation for evaluation in history if self._fault(evaluation, history) is None]
        best = self._best(sound, history[0])
        fault = self._fault(history[-1], history)
        if fault is not None:
            return Decision(True, f"stopped at step {history[-1].step}: {fault}", best)
        waited = sum(evaluation.step > best.step for evaluation in history)
        if waited >= self.settings.patience:
            return Decision(
                True, f"stopped at step {history[-1].step}: nothing better than step {best.step} since", best
            )
        return Decision(False, f"goes on after step {history[-1].step}; best is step {best.step}", best)

    def criterion(self, evaluation: GuardLook, start: GuardLook) -> float:
        """The criterion as a share of its value at the start, unit-free: below 1 is better."""
        zero = evaluation.zero_noise_mm / start.zero_noise_mm
        best = evaluation.best_of_g_mm / start.best_of_g_mm
        return {"zero_noise_mm": zero, "best_of_g_mm": best, "both": (zero + best) / 2}[self.settings.criterion]

    def _best(self, sound: Sequence[GuardLook], start: GuardLook) -> GuardLook:
        good_enough = 1 - self.settings.min_gain_percent / 100
        better = [one for one in sound if self.criterion(one, start) <= good_enough and one.step != start.step]
        return min(better, key=lambda one: (self.criterion(one, start), one.step), default=start)

    def rules(self, history: Sequence[GuardLook]) -> list[GuardRule]:
        """Each threshold, checked against the last of `history`, whose first entry is the start of the run."""
        return self._rules(history[-1], history)

    def _fault(self, evaluation: GuardLook, history: Sequence[GuardLook]) -> str | None:
        """The first threshold that an evaluation breaks, in words; None if it breaks none."""
        if fault := _not_finite(evaluation):
            return fault
        return next((f"{rule.says} ({rule.name})" for rule in self._rules(evaluation, history) if rule.broken), None)

    def _rules(self, now: GuardLook, history: Sequence[GuardLook]) -> list[GuardRule]:
        limits, start = self.settings, history[0]
        rise = 100 * (self.criterion(now, start) - 1)
        kept = 100 * now.diversity_mm / start.diversity_mm if start.diversity_mm > 0 else 100.0
        norms = [one.gradient_norm for one in history if one.gradient_norm is not None]
        growth = _ratio(now.gradient_norm, norms[0] if norms else None)
        drop = _difference(start.critic_score, now.critic_score)
        margin, least = now.convexity_margin, limits.min_convexity_margin
        size = None if now.statistic is None else abs(now.statistic)
        return [
            _at_most(rise, limits.max_rise_percent, "max_rise_percent", f"validation error rose by {rise:.1f} %"),
            GuardRule(
                "min_diversity_percent", limits.min_diversity_percent, kept, kept < limits.min_diversity_percent,
                f"hypotheses kept {kept:.0f} % of their diversity",
            ),
            _at_most(
                now.winner_change, limits.max_winner_change, "max_winner_change",
                f"the noise error of winners rose by {now.winner_change or 0:.2g}",
            ),
            _at_most(
                now.distance, limits.max_distance, "max_distance",
                f"the policy moved {now.distance or 0:.2g} from the reference",
            ),
            _at_most(
                size, limits.max_statistic, "max_statistic", f"the group statistic S ran to {now.statistic or 0:.2g}"
            ),
            _at_most(
                growth, limits.max_gradient_growth, "max_gradient_growth",
                f"the gradient norm grew to {growth or 0:.2g} times that of the first steps",
            ),
            _at_most(
                drop, limits.max_critic_drop, "max_critic_drop",
                f"a critic that training does not see prefers the start (policy ahead in {now.critic_score or 0:.0f} % "
                "of pairs)",
            ),
            GuardRule(
                "min_convexity_margin", -math.inf if least is None else least, margin,
                least is not None and margin is not None and margin < least,
                f"the loss has curvature {margin or 0:.2g} in some output",
            ),
        ]  # fmt: skip


def _at_most(value: float | None, limit: float, name: str, says: str) -> GuardRule:
    return GuardRule(name, limit, value, value is not None and value > limit, says)


def _ratio(value: float | None, of: float | None) -> float | None:
    return None if value is None or not of else value / of


def _difference(before: float | None, now: float | None) -> float | None:
    return None if before is None or now is None else before - now


def _not_finite(evaluation: GuardLook) -> str | None:
    bad = [name for name, value in asdict(evaluation).items() if value is not None and not math.isfinite(value)]
    return f"{', '.join(bad)} not a finite number" if bad else None
