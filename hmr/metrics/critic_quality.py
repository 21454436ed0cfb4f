"""How good a critic is, beside the rank correlations of `metrics`: pairs, the choice it makes, its scale.

Scores (image, hypothesis) in points, higher = better, NaN = abstained; errors in millimetres. Everything that is
averaged over images is returned image by image, for the bootstrap.
"""

from itertools import pairwise
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

from hmr.metrics.pose_metrics import Interval

GAPS_MM = (0.0, 5.0, 10.0, 20.0, 40.0, 80.0)
"""Lower bounds of the classes of pairs; the last is open above."""


class PairAccuracy(NamedTuple):
    """Share of pairs that the scores order as the errors do; a tie of scores counts a half. NaN without a pair."""

    accuracy: Float[np.ndarray, " image"]  # over all pairs of unequal error
    by_gap: Float[np.ndarray, "image gap"]  # over pairs whose errors differ by GAPS_MM[k] up to the next


def pair_accuracy(
    scores: Float[np.ndarray, "image hypothesis"], errors: Float[np.ndarray, "image hypothesis"]
) -> PairAccuracy:
    """How often the better of two is scored higher, over all pairs of judged hypotheses of each group.

    scores: points 0-100, NaN = abstained; errors: mm. Shares are 0-1.
    """
    first, second = np.triu_indices(scores.shape[1], 1)
    gap = errors[:, second] - errors[:, first]
    agreed = 0.5 + 0.5 * np.sign(scores[:, first] - scores[:, second]) * np.sign(gap)
    usable = ~np.isnan(agreed) & (gap != 0)
    bounds = [*GAPS_MM, np.inf]
    classes = [usable & (np.abs(gap) >= low) & (np.abs(gap) < high) for low, high in pairwise(bounds)]
    return PairAccuracy(_share(agreed, usable), np.stack([_share(agreed, each) for each in classes], 1))


class Regret(NamedTuple):
    """How much worse than the best of the group the choice by score is, mm; `random`: the mean over random choices."""

    chosen: Float[np.ndarray, " image"]
    random: Float[np.ndarray, " image"]


def top_regret(scores: Float[np.ndarray, "image hypothesis"], errors: Float[np.ndarray, "image hypothesis"]) -> Regret:
    """Error, mm, of the highest score (mean over ties) minus the smallest error; NaN if a group has no score."""
    best = errors.min(1)
    judged = ~np.isnan(scores)
    top = judged & (scores == np.where(judged, scores, -np.inf).max(1, keepdims=True))
    return Regret(_share(errors, top) - best, errors.mean(1) - best)


def calibrated(
    scores: Float[np.ndarray, "image hypothesis"], errors: Float[np.ndarray, "image hypothesis"], folds: int = 5
) -> Float[np.ndarray, "image hypothesis"]:
    """Expected error, mm, of each score, from a rising map of score to quality that was fitted on other groups.

    Groups are put into folds in turn; the map of each fold is the isotonic regression of minus the error on the
    scores of the other folds, with straight lines between its points. NaN stays NaN. Raises ValueError if there is only
    one group.
    """
    if len(scores) < 2:
        raise ValueError("calibrated: one group alone has no other groups to be calibrated on; give two at least")
    fold = np.arange(len(scores)) % min(folds, len(scores))
    found = np.full(scores.shape, np.nan)
    for k in range(fold.max() + 1):
        known = (fold != k)[:, None] & ~np.isnan(scores)
        if known.any():
            levels, places = np.unique(scores[known], return_inverse=True)
            counts = np.bincount(places)
            quality = np.bincount(places, weights=-errors[known]) / counts
            rising = isotonic_regression(quality, weights=counts).x
            mine = (fold == k)[:, None] & ~np.isnan(scores)
            found[mine] = -np.interp(scores[mine], levels, rising)
    return found


def pooled_correlation(
    expected: Float[np.ndarray, "image hypothesis"],
    errors: Float[np.ndarray, "image hypothesis"],
    seed: int,
    *,
    level: float = 0.95,
    resamples: int = 2000,
) -> Interval:
    """Pearson's correlation over all hypotheses of all images, with its bootstrap over images; NaN if one is constant.

    expected: as `calibrated` returns it, mm; errors: mm. With 0 resamples the bounds are the estimate itself.
    """
    judged = ~np.isnan(expected)
    images = np.flatnonzero(judged.any(1))
    x, y = (np.where(judged, v - v[judged].mean(), 0.0) for v in (expected, errors))
    sums = np.stack([judged.sum(1), x.sum(1), y.sum(1), (x * x).sum(1), (y * y).sum(1), (x * y).sum(1)], 1)[images]
    random = np.random.default_rng(seed)
    estimate = _pearson(sums.sum(0))
    drawn = [_pearson(sums[random.integers(len(images), size=len(images))].sum(0)) for _ in range(resamples)]
    known = [value for value in drawn if not np.isnan(value)] or [estimate]
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return Interval(estimate, float(low), float(high), len(images))


def _pearson(sums: NDArray[np.float64]) -> float:
    count, x, y, xx, yy, xy = sums
    spread = (xx - x * x / count) * (yy - y * y / count)
    return float((xy - x * y / count) / np.sqrt(spread)) if spread > 0 else float("nan")


def _share(values: Float[np.ndarray, "a b"], chosen: Bool[np.ndarray, "a b"]) -> Float[np.ndarray, " a"]:
    """Mean of the chosen values of each row; NaN where none is."""
    count = chosen.sum(1)
    total = np.where(chosen, values, 0.0).sum(1)
    return np.divide(total, count, out=np.full(len(total), np.nan), where=count > 0)
