"""A critic that learned from labelled people which hypothesis is nearer to the truth.

    expected error = sqrt(distance to the expected joints^2 + spread^2), a mean over joints    (expected_joints.py)
    total = expected error + sum_k w_k e_k c_k                                                  mm

with the checks and evidence of evidence.py, and weights w_k >= 0 that were fitted after the regression, on other
people. Both come from the labelled splits of the embedded studio (deploy/assets/build_scorer.py). ADHMR's scorer (Shen
et al. 2025) has the same purpose; ours is a kernel regression, which a CPU fits in a minute. It never sees the truth of
the people whom it judges.

Scores spread over each group like those of evidence.py. With `compare = "everywhere"` they are 100 exp(-total / 150 mm)
instead, which is comparable across groups but leaves many groups with too little spread to train on. Comments are those
of the checks.
"""

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from critique.ceiling import ceilings
from critique.critic import abstain, as_verdict
from critique.evidence import CHECKS, SEES, finite, in_words, members, spread
from critique.expected_joints import (
    DEPTH_COLUMNS,
    LANDMARK_COLUMNS,
    JointRegression,
    expect,
    expected_error,
    seen_by_the_crop,
    shipped_regression,
    shipped_tensors,
)  # fmt: skip
from storage.records import DrawnGroup, Verdict

Floats = NDArray[np.float64]
Part = Literal["regression", "mask", "landmarks", "depth", "plausibility"]

USED_BY: dict[str, tuple[str, ...]] = {
    "regression": (),
    "mask": ("silhouette",),
    "landmarks": ("reprojection",),
    "depth": ("depth_order", "world_distance", "orientation"),
    "plausibility": ("limb_lengths", "joint_limits", "penetration", "balance", "ground_contact"),
}
"""Parts that can be left out, and the checks that are left out with each."""

BESIDE = tuple(name for name in CHECKS if name != "joints_in_space")
"""The checks in the sum: that one is the expected error itself."""

HIDES = {"landmarks": LANDMARK_COLUMNS, "depth": DEPTH_COLUMNS}
"""Input columns of the regression that are hidden without a part; it is not fitted again."""

FADE = 150.0
"""Total, mm, at which the score is 100 / e with `compare = "everywhere"`."""

UNIT = 40.0
"""Millimetres per unit when scores are spread: hypotheses within 2 mm of each other count as equal."""


class ScorerSettings(BaseModel):
    """What to leave out (for ablations, or where a part is known to fail), and within what scores are comparable."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    without: tuple[Part, ...] = ()
    compare: Literal["group", "everywhere"] = "group"


class Weights(NamedTuple):
    """The fitted regression and weights."""

    regression: JointRegression
    checks: dict[str, float]  # mm at full penalty of each check


@lru_cache(maxsize=1)
def shipped_weights() -> Weights:
    """The shipped weights, read once per process."""
    return Weights(shipped_regression(), {name: float(shipped_tensors()[f"check.{name}"]) for name in BESIDE})


@dataclass(frozen=True)
class ScorerCritic:
    """Critic: expected error by a learned regression, and the checks. A group takes about ten milliseconds."""

    settings: ScorerSettings = field(default_factory=ScorerSettings)
    weights: Weights = field(default_factory=shipped_weights)
    name: str = "scorer@3"
    needs_pictures: bool = False

    def judge(self, group: DrawnGroup) -> Verdict:
        """A verdict; abstains on the whole group without evidence, and on hypotheses with NaN or infinite values."""
        judged = np.flatnonzero(finite(group))
        if not len(judged):
            return abstain(group, self.name, "abstained", "the hypotheses hold numbers that are not finite")
        some = members(group, judged)
        findings = {name: check(some) for name, check in CHECKS.items()}
        if not any(findings[name].evidence > 0 for name in SEES):
            return abstain(group, self.name, "abstained", "no visible landmark and no mask: nothing to judge by")
        off = {check for part in self.settings.without for check in USED_BY[part]}
        total = np.zeros(len(judged))
        if "regression" not in self.settings.without:
            total += self.expected_errors(some)
        for name in BESIDE:
            if name not in off:
                total += self.weights.checks[name] * findings[name].evidence * findings[name].penalty
        scores = np.full(len(group.group), np.nan)
        scores[judged] = spread(total / UNIT) if self.settings.compare == "group" else 100 * np.exp(-total / FADE)
        comments = ["the hypothesis holds numbers that are not finite"] * len(group.group)
        for index, comment in zip(judged, in_words(findings, ceilings(some, CHECKS)[1])):
            comments[index] = comment
        return as_verdict(group.group, self.name, scores, comments)

    def expected_errors(self, group: DrawnGroup) -> Floats:
        """(G,) MPJPE that the regression expects, mm."""
        person = group.group.person
        hidden = [HIDES[part] for part in self.settings.without if part in HIDES]
        details = expect(self.weights.regression, person, np.concatenate(hidden) if hidden else None)
        return 1000 * expected_error(seen_by_the_crop(group.group.joints, person), *details)
