"""What changes when a critic is replaced by another version: of each group, and of all. Pure.

A newer version may score everything ten points lower and change nothing: training sees ranks and differences inside a
group. So two versions are compared by rank correlation inside groups, and by which hypothesis is the first choice.
"""

from collections.abc import Sequence
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


def drift(pairs: Sequence[tuple[Verdict, Verdict]]) -> tuple[Drift, list[GroupDrift]]:
    """What changed in all groups, and in each, the largest loss first. pairs: (older, newer) verdict on each group."""
    found = [one for one in (group_drift(*pair) for pair in pairs) if one is not None]
    correlations = [one.correlation for one in found if not np.isnan(one.correlation)]
    whole = Drift(
        groups=len(pairs),
        uncomparable=len(pairs) - len(found),
        correlation=_mean(correlations),
        lowest_correlation=min(correlations, default=float("nan")),
        changed=_mean([float(one.changed) for one in found]),
        changed_by_chance=_mean([1 - 1 / one.hypotheses for one in found]),
        loss=_mean([one.loss for one in found]),
        shift=_mean([one.shift for one in found]),
        abstained_before=sum(int(np.isnan(older.scores).sum()) for older, _ in pairs),
        abstained_after=sum(int(np.isnan(newer.scores).sum()) for _, newer in pairs),
    )
    return whole, sorted(found, key=lambda one: (-one.loss, one.group_id))


def unsureness_of(
    group_ids: Sequence[str], scores: NDArray[np.floating], errors: NDArray[np.floating]
) -> dict[str, float]:
    """How unsure the first choice of each group is, points: its standard error, if known, less its lead over the
    second.

    Infinite if fewer than two hypotheses have a score: then nothing is known. One row a hypothesis, those of a group
    one after the other; NaN is a score that is missing or an error that is not known.
    """
    if not len(group_ids):
        return {}
    keys = np.array(group_ids)
    starts = np.flatnonzero(np.r_[True, keys[1:] != keys[:-1]])
    group = np.repeat(np.arange(len(starts)), np.diff(np.r_[starts, len(keys)]))
    judged = np.bincount(group, ~np.isnan(scores), len(starts))
    order = np.lexsort((-scores, group))  # of each group the best first; NaN comes last
    best, second = order[starts], order[np.minimum(starts + 1, len(keys) - 1)]
    found = np.nan_to_num(errors[best]) - (scores[best] - scores[second])
    return dict(zip(keys[starts].tolist(), np.where(judged < 2, np.inf, found).tolist()))


def rank_correlation(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Spearman's correlation of two series; NaN for fewer than 3 values, and if one series is constant."""
    if len(first) < 3 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return float("nan")
    return float(np.corrcoef(rankdata(first), rankdata(second))[0, 1])


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else float("nan")
