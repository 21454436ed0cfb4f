"""Whether a rule is admitted: does the critic rank held-out groups better with it than without?

The same groups are judged twice, with and without the rule, and compared in pairs. A rule is admitted only if the lower
bootstrap bound of its mean gain in Spearman's correlation with the truth is above zero. A meaningless rule, the
placebo, goes through the same test and must fail it.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

LEAST_JUDGED = 3  # judged hypotheses that a group needs for a rank correlation


class Lift(NamedTuple):
    """Mean gain over held-out groups (in rank correlation, -2 to 2), and its confidence bounds."""

    mean: float
    low: float
    high: float
    groups: int  # on which it was measured


def agreement(scores: NDArray[np.floating], quality: NDArray[np.floating]) -> float:
    """Spearman's correlation (-1 to 1) of a group's scores (G,) with its true quality (G,); larger = better, NaN =
    none.

    NaN if it is undefined: fewer than LEAST_JUDGED hypotheses judged, or the same true quality for all. Equal scores
    for all give 0, because they are no ranking.
    """
    known = np.isfinite(scores) & np.isfinite(quality)
    if known.sum() < LEAST_JUDGED or np.ptp(quality[known]) == 0:
        return float("nan")
    if np.ptp(scores[known]) == 0:
        return 0.0
    return float(np.corrcoef(rankdata(scores[known]), rankdata(quality[known]))[0, 1])


def paired_lift(
    without: Sequence[float] | NDArray[np.floating],
    with_it: Sequence[float] | NDArray[np.floating],
    photographs: Sequence[str],
    *,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Lift:
    """Mean gain in rank correlation (with - without) over the groups judged both times, with one-sided percentile
    bounds.

    without, with_it: (groups,) rank correlations, -1 to 1, NaN = not judged; photographs: the photograph of each group.
    The bootstrap draws photographs with all their groups, because people in one photograph are not independent. Fewer
    than two photographs give bounds of -inf and inf.
    """
    gains = np.asarray(with_it, np.float64) - np.asarray(without, np.float64)
    known = np.isfinite(gains)
    gains, names = gains[known], np.asarray(photographs)[known]
    if not len(gains):
        return Lift(0.0, -np.inf, np.inf, 0)
    photos, member = np.unique(names, return_inverse=True)
    if len(photos) < 2:
        return Lift(float(gains.mean()), -np.inf, np.inf, len(gains))
    sums, counts = np.bincount(member, gains), np.bincount(member)
    drawn = np.random.default_rng(seed).integers(len(photos), size=(resamples, len(photos)))
    means = sums[drawn].sum(1) / counts[drawn].sum(1)
    low, high = np.quantile(means, [1 - confidence, confidence])
    return Lift(float(gains.mean()), float(low), float(high), len(gains))


def shared_confidence(confidence: float, tests: int) -> float:
    """The confidence (0-1) of each of several tests so that all together have the error rate of one (Bonferroni)."""
    return 1 - (1 - confidence) / max(tests, 1)


def decide(lift: Lift) -> Literal["admitted", "undecided", "refused"]:
    """ "admitted" if the lower bound of the gain is above zero, "refused" if there is no gain, else "undecided": test
    again.

    A test without groups (the server was down) is undecided.
    """
    if lift.groups and lift.low > 0:
        return "admitted"
    return "undecided" if lift.mean > 0 or not lift.groups else "refused"
