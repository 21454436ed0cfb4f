"""Whether a rule has earned its place: does the critic rank held-out groups better with it than without?

The same groups are judged twice, with and without the rule, and compared pair by pair. A rule is admitted only if
the lower bootstrap bound of its mean gain in Spearman's correlation with the truth is above zero; a rule without any
sense, the placebo, takes the same test and must fail it.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

LEAST_JUDGED = 3  # hypotheses of a group; a ranking of fewer says nothing


class Lift(NamedTuple):
    """Mean gain over held-out groups, and the bounds within which it lies."""

    mean: float
    low: float
    high: float
    groups: int  # on which it was measured


def agreement(scores: NDArray[np.floating], quality: NDArray[np.floating]) -> float:
    """Spearman's correlation of a group's scores with the truth's quality; both larger = better, NaN = none.

    NaN where it cannot be told: fewer than LEAST_JUDGED hypotheses judged, or a truth without difference. Equal
    scores for all are no ranking: 0.
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
    """Mean of with - without over groups that both could judge, with one-sided percentile bounds.

    The bootstrap draws photographs, with all their groups: people of one photograph are not independent. Fewer than
    two photographs give bounds of -inf and inf: nothing is known.
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
    """The confidence of each of several tests that together err as rarely as one would (Bonferroni)."""
    return 1 - (1 - confidence) / max(tests, 1)


def decide(lift: Lift) -> Literal["admitted", "undecided", "refused"]:
    """Admitted if it surely gains, refused if it gains nothing at all, else undecided: to be tested again.

    A test on no group (the server was down) decides nothing.
    """
    if lift.groups and lift.low > 0:
        return "admitted"
    return "undecided" if lift.mean > 0 or not lift.groups else "refused"
