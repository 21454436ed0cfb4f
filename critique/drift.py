"""What changes when a critic is replaced by another version: of each group, and of all. Pure.

A newer version may score everything ten points lower and change nothing: training sees ranks and differences inside a
group. So two versions are compared by rank correlation inside groups, and by which hypothesis is the first choice.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from storage.records import Verdict


class GroupDrift(NamedTuple):
    """What changed in one group. `before` and `after` are the first choices of the two versions."""

    group_id: str
    correlation: float  # Spearman's, of the hypotheses that both scored; NaN: fewer than 3, or all equal
    before: int  # of several equal scores the first
    after: int
    changed: bool  # the older first choice is not among the newer ones
    loss: float  # points that the newer version takes off the older first choice, against its own; 0 = none
    shift: float  # mean change of the score, points
    hypotheses: int  # that both scored


class Drift(NamedTuple):
    """What changed in all groups. Means are over groups; NaN where no group counts."""

    groups: int  # that both versions judged
    uncomparable: int  # of them, without one hypothesis that both scored
    correlation: float
    lowest_correlation: float
    changed: float  # share of groups with another first choice
    changed_by_chance: float  # the same if the newer version chose at random
    loss: float  # points
    shift: float  # points
    abstained_before: int  # hypotheses without a score, in the groups that both judged
    abstained_after: int


def group_drift(older: Verdict, newer: Verdict) -> GroupDrift | None:
    """What changed in a group; None if no hypothesis was scored by both versions.

    Raises ValueError for verdicts on different groups.
    """
    if older.group_id != newer.group_id or len(older.scores) != len(newer.scores):
        raise ValueError(f"verdicts on {older.group_id} and {newer.group_id} are not of one group: pair them by group")
    places = np.flatnonzero(~np.isnan(older.scores) & ~np.isnan(newer.scores))
    if not len(places):
        return None
    was, now = older.scores[places], newer.scores[places]
    loss = float(now.max() - now[was.argmax()])
    return GroupDrift(
        group_id=older.group_id,
        correlation=rank_correlation(was, now),
        before=int(places[was.argmax()]),
        after=int(places[now.argmax()]),
        changed=loss > 0,
        loss=loss,
        shift=float((now - was).mean()),
        hypotheses=len(places),
    )


class DriftSum:
    """What changed in the groups seen so far; its memory does not grow with them."""

    def __init__(self) -> None:
        self._groups = self._comparable = self._correlated = 0
        self._correlation = self._changed = self._by_chance = self._loss = self._shift = 0.0
        self._lowest = float("nan")
        self._abstained = [0, 0]

    def add(self, older: Verdict, newer: Verdict, found: GroupDrift | None) -> None:
        """Count the verdicts on one more group, and what `group_drift` says changed in it."""
        self._groups += 1
        for k, verdict in enumerate((older, newer)):
            self._abstained[k] += int(np.isnan(verdict.scores).sum())
        if found is None:
            return
        self._comparable += 1
        self._changed += found.changed
        self._by_chance += 1 - 1 / found.hypotheses
        self._loss += found.loss
        self._shift += found.shift
        if not np.isnan(found.correlation):
            self._correlated += 1
            self._correlation += found.correlation
            self._lowest = float(np.fmin(self._lowest, found.correlation))

    def whole(self) -> Drift:
        """What changed in all of them."""
        return Drift(
            groups=self._groups,
            uncomparable=self._groups - self._comparable,
            correlation=_mean(self._correlation, self._correlated),
            lowest_correlation=self._lowest,
            changed=_mean(self._changed, self._comparable),
            changed_by_chance=_mean(self._by_chance, self._comparable),
            loss=_mean(self._loss, self._comparable),
            shift=_mean(self._shift, self._comparable),
            abstained_before=self._abstained[0],
            abstained_after=self._abstained[1],
        )


def rank_correlation(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Spearman's correlation of two series; NaN for fewer than 3 values, and if one series is constant."""
    if len(first) < 3 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return float("nan")
    return float(np.corrcoef(rankdata(first), rankdata(second))[0, 1])


def _mean(total: float, count: int) -> float:
    return total / count if count else float("nan")
