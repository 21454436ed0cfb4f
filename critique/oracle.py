"""The critic that knows the truth: an upper bound for every other one."""

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
"""Millimetres that count as one unit when scores are spread: a group within 2 mm is one of equals."""


def truth_quality(errors: NDArray[np.floating], worst: float = WORST_MM) -> NDArray[np.float64]:
    """How good hypotheses with these errors are, 0-1, larger is better.

        quality = clip((worst - error) / (worst - 10), 0, 1)

    Source: the scorer of ADHMR. Units: mm; `worst` is 300 for vertex and joint errors, 150 for aligned ones.
    A NaN error stays NaN.
    """
    return np.clip((worst - np.asarray(errors, dtype=np.float64)) / (worst - BEST_MM), 0.0, 1.0)


@dataclass(frozen=True)
class OracleCritic:
    """Scores by the true error, for upper bounds only: never where the labels are not yours to read.

    Scores spread over each group like those of evidence.py. `truth_quality` would not do as an upper bound: it gives 0
    to all that lies beyond 300 mm, and so says nothing of the people whom the model gets most wrong.
    """

    errors: Callable[[Group], NDArray[np.floating]]  # (G,) mm; NaN where there is no truth
    name: str = "oracle@2"
    needs_pictures: bool = False

    def judge(self, group: DrawnGroup) -> Verdict:
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
