"""How far hypotheses are from the truth, how far from each other, and how well a critic ranks them.

Points come in metres and errors go out in millimetres, float64, as numpy arrays; tensors are taken as well.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray
from scipy import stats
from torch import Tensor

__all__ = [
    "GroupSummary",
    "Interval",
    "RankCorrelations",
    "bootstrap_improvement",
    "bootstrap_interval",
    "critic_choice",
    "diversity",
    "keypoint_error_px",
    "mpjpe",
    "pa_mpjpe",
    "procrustes_align",
    "pve",
    "rank_correlations",
    "spread",
    "summarise_groups",
]

MM = 1000.0  # millimetres in a metre
Numbers = Tensor | np.ndarray


# --- errors of hypotheses -----------------------------------------------------------------------------------


def mpjpe(
    predicted: Float[Numbers, "*batch joint 3"], true: Float[Numbers, "*batch joint 3"]
) -> Float[np.ndarray, "*batch"]:
    """Mean per-joint position error, mm: mean over joints of the Euclidean distance.

    Nothing is aligned here: subtract the pelvis from both first, and choose the joints (EVAL_14).
    """
    return np.asarray(MM * _distances(predicted, true).mean(-1))


def pve(
    predicted: Float[Numbers, "*batch vertex 3"], true: Float[Numbers, "*batch vertex 3"]
) -> Float[np.ndarray, "*batch"]:
    """Per-vertex error, mm: `mpjpe` over the vertices. Subtract the pelvis joint from both first."""
    return mpjpe(predicted, true)


def pa_mpjpe(
    predicted: Float[Numbers, "*batch joint 3"], true: Float[Numbers, "*batch joint 3"]
) -> Float[np.ndarray, "*batch"]:
    """Procrustes-aligned MPJPE, mm: what is left after the best similarity of each prediction by itself."""
    return mpjpe(procrustes_align(predicted, true), _exact(true))


def procrustes_align(
    points: Float[Numbers, "*batch point 3"], target: Float[Numbers, "*batch point 3"]
) -> Float[np.ndarray, "*batch point 3"]:
    """`points` moved by the rotation, scale > 0 and translation that bring them closest to `target`.

    Source: Umeyama 1991, "Least-squares estimation of transformation parameters between two point patterns".
    A mirror is never used: the least singular direction is turned instead. Points that all coincide (within
    a nanometre) go to the target's centroid.
    """
    moving, fixed = _exact(points), _exact(target)
    centre = fixed.mean(-2, keepdims=True)
    moving = moving - moving.mean(-2, keepdims=True)
    u, singular, vt = np.linalg.svd(np.swapaxes(moving, -1, -2) @ (fixed - centre))
    turned = np.ones_like(singular)
    turned[..., 2] = np.where(np.linalg.det(u) * np.linalg.det(vt) < 0, -1.0, 1.0)
    size = np.square(moving).sum((-1, -2))
    scale = np.divide((singular * turned).sum(-1), size, out=np.zeros_like(size), where=size > 1e-18)
    return scale[..., None, None] * (moving @ (u * turned[..., None, :]) @ vt) + centre


def keypoint_error_px(
    predicted: Float[Numbers, "*batch keypoint 2"],
    true: Float[Numbers, "*batch keypoint 2"],
    visible: Bool[Numbers, "*batch keypoint"],
) -> Float[np.ndarray, "*batch"]:
    """Mean distance over the visible keypoints, px; NaN where none is visible."""
    seen = np.asarray(visible)
    total = np.where(seen, _distances(predicted, true), 0.0).sum(-1)
    count = seen.sum(-1)
    return np.divide(total, count, out=np.full(np.shape(total), np.nan), where=count > 0)


# --- groups -------------------------------------------------------------------------------------------------


def diversity(joints: Float[Numbers, "image hypothesis joint 3"]) -> Float[np.ndarray, " image"]:
    """Mean distance of a joint to the mean of that joint over the group, mm.

    Whatever differs counts: subtract each hypothesis' pelvis first unless its place is to count too.
    """
    exact = _exact(joints)
    return MM * np.linalg.norm(exact - exact.mean(1, keepdims=True), axis=-1).mean((1, 2))


def spread(errors: Float[Numbers, "image hypothesis"]) -> Float[np.ndarray, " image"]:
    """Population standard deviation of an error within each group: what a critic has to choose from."""
    return _exact(errors).std(1)


class GroupSummary(NamedTuple):
    """One error of each group, for each way to take one hypothesis out of it; in the unit of the errors."""

    zero_noise: Float[np.ndarray, " image"]
    """Of the hypothesis drawn from zero noise, which costs one draw and is the honest single answer."""
    mean: Float[np.ndarray, " image"]
    """Mean of the errors: what one random draw is expected to cost. Not the error of the averaged body."""
    selected: Float[np.ndarray, " image"]
    """Of the hypothesis that the critic likes best."""
    best_of_g: Float[np.ndarray, " image"]
    """ORACLE: the least error, which takes the truth to find. Each metric takes its own least."""


def summarise_groups(
    errors: Float[Numbers, "image hypothesis"],
    zero_start: Bool[Numbers, "image hypothesis"],
    selected: Int[Numbers, " image"],
) -> GroupSummary:
    """Errors of one metric as the benchmark reports them; see `critic_choice` for `selected`.

    The hypothesis from zero noise counts in all four. Every group must have exactly one.
    """
    exact, starts = _exact(errors), np.asarray(zero_start)
    counts = starts.sum(1)
    if (counts != 1).any():
        wrong = int(np.flatnonzero(counts != 1)[0])
        raise ValueError(
            f"summarise_groups: {counts[wrong]} hypotheses of group {wrong} start from zero noise; mark one"
        )
    return GroupSummary(
        zero_noise=exact[starts],
        mean=exact.mean(1),
        selected=np.take_along_axis(exact, np.asarray(selected)[:, None], axis=1)[:, 0],
        best_of_g=exact.min(1),
    )


def critic_choice(
    scores: Float[Numbers, "image hypothesis"], zero_start: Bool[Numbers, "image hypothesis"]
) -> Int[np.ndarray, " image"]:
    """Index of each group's highest score (the first of equals).

    NaN = abstained. Where the critic abstained throughout, the hypothesis from zero noise stands.
    """
    exact = _exact(scores)
    best = np.where(np.isnan(exact), -np.inf, exact).argmax(1)
    return np.where(np.isnan(exact).all(1), np.asarray(zero_start).argmax(1), best)


# --- over images --------------------------------------------------------------------------------------------


class Interval(NamedTuple):
    """An estimate with the bounds of its percentile bootstrap."""

    estimate: float
    low: float
    high: float
    images: int
    """How many images it rests on; those with NaN are left out."""


def bootstrap_interval(
    values: Float[Numbers, " image"], seed: int, *, level: float = 0.95, resamples: int = 2000
) -> Interval:
    """Mean over images and its percentile bootstrap, images drawn with replacement.

    To compare two models give the differences per image: the images' own difficulty then falls out.
    """
    exact = _exact(values)
    return _bootstrap(exact[~np.isnan(exact)], lambda drawn: float(drawn.mean()), seed, level, resamples)


def bootstrap_improvement(
    before: Float[Numbers, " image"],
    after: Float[Numbers, " image"],
    seed: int,
    *,
    level: float = 0.95,
    resamples: int = 2000,
) -> Interval:
    """Improvement of the mean error, 100 (1 - mean(after) / mean(before)) percent, on the same images."""
    pairs = np.stack([_exact(before), _exact(after)], axis=1)
    pairs = pairs[~np.isnan(pairs).any(1)]

    def improvement(drawn: NDArray) -> float:
        return float(100.0 * (1.0 - drawn[:, 1].mean() / drawn[:, 0].mean()))

    return _bootstrap(pairs, improvement, seed, level, resamples)


def _bootstrap(
    values: NDArray, statistic: Callable[[NDArray], float], seed: int, level: float, resamples: int
) -> Interval:
    count = len(values)
    if count == 0:
        raise ValueError("bootstrap: no image has a value (all are NaN, or there are none)")
    random = np.random.default_rng(seed)
    drawn = [statistic(values[random.integers(count, size=count)]) for _ in range(resamples)]
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return Interval(statistic(values), float(low), float(high), count)


# --- critics ------------------------------------------------------------------------------------------------


class RankCorrelations(NamedTuple):
    """Agreement of scores with quality (minus the error) per group: 1 perfect, 0 chance, NaN undefined."""

    srcc: Float[np.ndarray, " image"]
    """Spearman's rank correlation."""
    krcc: Float[np.ndarray, " image"]
    """Kendall's tau-b."""
    plcc: Float[np.ndarray, " image"]
    """Pearson's linear correlation."""
    flat: int
    """Groups without a value because all scores, or all errors, are equal."""
    too_few: int
    """Groups without a value because fewer than 3 hypotheses were judged."""


def rank_correlations(
    scores: Float[Numbers, "image hypothesis"], errors: Float[Numbers, "image hypothesis"]
) -> RankCorrelations:
    """Correlations per group between scores (NaN = abstained: left out) and minus the errors."""
    exact, quality = _exact(scores), -_exact(errors)
    table = np.full((len(exact), 3), np.nan)
    flat = too_few = 0
    for row, score, good in zip(table, exact, quality):
        judged = ~np.isnan(score) & ~np.isnan(good)
        score, good = score[judged], good[judged]
        if len(score) < 3:
            too_few += 1
        elif score.min() == score.max() or good.min() == good.max():
            flat += 1
        else:
            row[0] = stats.spearmanr(score, good)[0]
            row[1] = stats.kendalltau(score, good, variant="b")[0]
            row[2] = stats.pearsonr(score, good)[0]
    return RankCorrelations(table[:, 0], table[:, 1], table[:, 2], flat, too_few)


def _distances(predicted: Numbers, true: Numbers) -> NDArray:
    return np.linalg.norm(_exact(predicted) - _exact(true), axis=-1)


def _exact(values: Numbers) -> NDArray[np.float64]:
    if isinstance(values, Tensor):
        values = values.detach().cpu().numpy()
    return np.asarray(values, dtype=np.float64)
