"""The critic `distilled`: a small judge in its teacher's place.

Each network's worths become scores that spread over the group, as those of the evidence critic; the score is their
mean, and its uncertainty their jackknife error (network.py). Comments are those of the checks.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from critique.critic import abstain, as_verdict
from critique.evidence import CHECKS, SEES, finite, in_words, members, spread
from critique.judge.features import features
from critique.judge.network import MEMBERS, Judge
from storage.records import DrawnGroup, Verdict

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class DistilledCritic:
    """Critic: a judge that learned from another critic's verdicts. A group takes about ten milliseconds."""

    network: Judge
    needs_pictures: bool = False

    @property
    def name(self) -> str:
        """ "distilled@" and the digest of its weights."""
        return f"distilled@{self.network.digest[:8]}"

    def judge(self, group: DrawnGroup) -> Verdict:
        """A verdict; abstains on the whole group without evidence, and on hypotheses with NaN or infinite values."""
        sound = np.flatnonzero(finite(group))
        if not len(sound):
            return abstain(group, self.name, "abstained", "the hypotheses hold numbers that are not finite")
        some = members(group, sound)
        findings = {name: check(some) for name, check in CHECKS.items()}
        if not any(findings[name].evidence > 0 for name in SEES):
            return abstain(group, self.name, "abstained", "no visible landmark and no mask: nothing to judge by")
        points = points_of(self.network.worths(features(some)))
        scores, errors = np.full(len(group.group), np.nan), np.full(len(group.group), np.nan)
        scores[sound], errors[sound] = points.mean(0), jackknife_error(points)
        comments = np.full(len(group.group), "the hypothesis holds numbers that are not finite", object)
        comments[sound] = in_words(findings, [""] * len(sound))
        return with_errors(as_verdict(group.group, self.name, scores, list(comments)), errors)


def with_errors(verdict: Verdict, errors: Floats) -> Verdict:
    """The verdict with standard errors (G,) of its scores, points."""
    return Verdict(verdict.group_id, verdict.critic, verdict.scores, verdict.statuses, verdict.comments,
                   uncertainty=errors)  # fmt: skip


def points_of(worths: Floats) -> Floats:
    """(members, G) scores 0-100 of worths (members, G), nats; each network's spread over the group."""
    return np.stack([spread(-row) for row in worths])


def jackknife_error(points: Floats) -> Floats:
    """(G,) standard error of the mean score, points, of scores (MEMBERS, G) by networks that each left groups out."""
    return np.sqrt((MEMBERS - 1) * points.var(0))


def doubt(points: Floats) -> float:
    """How unsure the judge is of a group, 0 to 1, from scores (MEMBERS, G): the share of the scores' variance that its
    own standard errors explain; 1 where it sees no difference at all.
    """
    noise = float(np.square(jackknife_error(points)).mean())
    signal = float(points.mean(0).var())
    return noise / (noise + signal) if noise + signal > 0 else 1.0
