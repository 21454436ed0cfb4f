"""Decides from validation alone when training must stop, and which step was the best."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["Decision", "Evaluation", "GuardSettings", "StabilityGuard"]

Criterion = Literal["zero_noise_mm", "best_of_g_mm", "both"]


@dataclass(frozen=True)
class Evaluation:
    """Validation numbers at one training step, on the same images and with the same noise each time."""

    step: int
    zero_noise_mm: float  # MPJPE of the hypothesis from zero noise
    best_of_g_mm: float  # MPJPE of the best hypothesis of each group
    diversity_mm: float  # `hmr.metrics.diversity`
    # From held-out groups; None where they were not measured. See the diagnostics of `hmr.objectives`.
    statistic: float | None = None  # S = sum_i A_i D_i
    winner_change: float | None = None  # mean D of the winners
    distance: float | None = None  # ||eps_theta - eps_ref||^2 / dims


class GuardSettings(BaseModel):
    """Named thresholds. "Start" is the first evaluation, taken before the first step."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    criterion: Criterion = "both"
    """What "best" means: the least of this error; `both` is the mean of the two as shares of start's."""
    max_rise_percent: float = Field(default=3.0, gt=0)
    """The criterion may lie above start by this much."""
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


@dataclass(frozen=True)
class Decision:
    """What to do after an evaluation."""

    stop: bool
    reason: str  # a sentence for people; of a run that goes on, too
    best: Evaluation  # go back to this step's weights when the run ends


@dataclass(frozen=True)
class StabilityGuard:
    """A pure judge of a run: equal histories give equal decisions, so a resumed run needs no state."""

    settings: GuardSettings = field(default_factory=GuardSettings)

    def decide(self, history: Sequence[Evaluation]) -> Decision:
        """Judge the last of `history`, whose first entry is the start of the run."""
        if not history:
            raise ValueError("StabilityGuard: no evaluation yet; evaluate once before the first training step")
        if fault := _not_finite(history[0]):
            raise ValueError(f"StabilityGuard: the evaluation before training is unusable: {fault}")
        sound = [evaluation for evaluation in history if self._fault(evaluation, history[0]) is None]
        best = self._best(sound, history[0])
        fault = self._fault(history[-1], history[0])
        if fault is not None:
            return Decision(True, f"stopped at step {history[-1].step}: {fault}", best)
        waited = sum(evaluation.step > best.step for evaluation in history)
        if waited >= self.settings.patience:
            return Decision(
                True, f"stopped at step {history[-1].step}: nothing better than step {best.step} since", best
            )
        return Decision(False, f"goes on after step {history[-1].step}; best is step {best.step}", best)

    def criterion(self, evaluation: Evaluation, start: Evaluation) -> float:
        """The criterion as a share of start's: below 1 is better."""
        zero = evaluation.zero_noise_mm / start.zero_noise_mm
        best = evaluation.best_of_g_mm / start.best_of_g_mm
        return {"zero_noise_mm": zero, "best_of_g_mm": best, "both": (zero + best) / 2}[self.settings.criterion]

    def _best(self, sound: Sequence[Evaluation], start: Evaluation) -> Evaluation:
        good_enough = 1 - self.settings.min_gain_percent / 100
        better = [one for one in sound if self.criterion(one, start) <= good_enough and one.step != start.step]
        return min(better, key=lambda one: (self.criterion(one, start), one.step), default=start)

    def _fault(self, evaluation: Evaluation, start: Evaluation) -> str | None:
        """The first threshold that an evaluation breaks, in words; None if it is sound."""
        if fault := _not_finite(evaluation):
            return fault
        limits = self.settings
        rise = 100 * (self.criterion(evaluation, start) - 1)
        kept = 100 * evaluation.diversity_mm / start.diversity_mm if start.diversity_mm > 0 else 100.0
        rules = (
            (rise > limits.max_rise_percent, f"validation error rose by {rise:.1f} % (max_rise_percent)"),
            (
                kept < limits.min_diversity_percent,
                f"hypotheses kept {kept:.0f} % of their diversity (min_diversity_percent)",
            ),
            (
                (evaluation.winner_change or 0) > limits.max_winner_change,
                f"the noise error of winners rose by {evaluation.winner_change or 0:.2g} (max_winner_change)",
            ),
            (
                (evaluation.distance or 0) > limits.max_distance,
                f"the policy moved {evaluation.distance or 0:.2g} from the reference (max_distance)",
            ),
            (
                abs(evaluation.statistic or 0) > limits.max_statistic,
                f"the group statistic S ran to {evaluation.statistic or 0:.2g} (max_statistic)",
            ),
        )
        return next((words for broken, words in rules if broken), None)


def _not_finite(evaluation: Evaluation) -> str | None:
    bad = [name for name, value in asdict(evaluation).items() if value is not None and not math.isfinite(value)]
    return f"{', '.join(bad)} not a finite number" if bad else None
