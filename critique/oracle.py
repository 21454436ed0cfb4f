"""The critic that knows the true errors: an upper bound for every other critic."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from critique.critic import as_verdict
from critique.evidence import spread
from storage.records import DrawnGroup, Group, Verdict

BEST_MM = 10.0
WORST_MM = 300.0

UNIT = 40.0
"""Millimetres per unit when scores are spread: hypotheses within 2 mm of each other count as equal."""


def truth_quality(errors: NDArray[np.floating], worst: float = WORST_MM) -> NDArray[np.float64]:
    """Quality 0-1 of hypotheses with these errors, larger is better; same shape as `errors`.

        quality = clip((worst - error) / (worst - 10), 0, 1)

    Source: the scorer of ADHMR. Units: mm; `worst` is 300 for vertex and joint errors, 150 for aligned ones. A NaN
    error stays NaN.
    """
    return np.clip((worst - np.asarray(errors, dtype=np.float64)) / (worst - BEST_MM), 0.0, 1.0)


@dataclass(frozen=True)
class OracleCritic:
    """Scores by the true error, for upper bounds only: do not use it on labels that you are not allowed to read.

    Scores spread over each group like those of evidence.py. `truth_quality` would not be an upper bound: it gives 0 for
    every error above 300 mm, so it does not rank the hypotheses of the worst people.
    """

    errors: Callable[[Group], NDArray[np.floating]]  # (G,) mm; NaN where there is no truth
    name: str = "oracle@2"
    needs_pictures: bool = False

    def judge(self, group: DrawnGroup) -> Verdict:
        """A verdict; NaN scores where there is no truth. Raises ValueError if there is not one error for each
        hypothesis.
        """
        errors = np.asarray(self.errors(group.group), dtype=np.float64)
        if errors.shape != (len(group.group),):
            raise ValueError(
                f"oracle on {group.group.person.group_id}: errors of shape {errors.shape} for "
                f"{len(group.group)} hypotheses; return one error in mm for each"
            )
        known = np.isfinite(errors)
        scores = np.full(len(errors), np.nan)
        if known.any():
            scores[known] = spread(errors[known] / UNIT)
        return as_verdict(
            group.group,
            self.name,
            scores,
            (f"{error:.1f} mm from the truth" if knows else "no ground truth" for error, knows in zip(errors, known)),
        )
