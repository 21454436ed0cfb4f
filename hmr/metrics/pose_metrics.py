"""How far hypotheses are from the truth, how far from each other, and how well a critic ranks them.

Points are in metres; errors are returned in millimetres, float64, as numpy arrays. Tensors are accepted too: MPJPE,
PA-MPJPE and PVE of tensors on a GPU are computed there (`similarity`), and only the errors are copied.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray
from torch import Tensor

from hmr.metrics import similarity
from hmr.metrics.procrustes import aligned_errors, aligned_points, distances_in_groups, mean_distances

__all__ = [
    "GroupSummary",
    "Interval",
    "RankCorrelations",
    "SpreadCorrelations",
    "acceleration_error",
    "auc",
    "best_hypothesis",
    "bootstrap_improvement",
    "bootstrap_interval",
    "critic_choice",
    "diversity",
    "joint_spread",
    "keypoint_error_px",
    "medoid",
    "mpjpe",
    "n_mpjpe",
    "pa_mpjpe",
    "pck",
    "pck_2d",
    "procrustes_align",
    "pve",
    "rank_correlations",
    "spread",
    "spread_correlations",
    "summarise_groups",
    "top_ranked",
]

MM = 1000.0  # millimetres in a metre
Numbers = Tensor | np.ndarray


# --- errors of hypotheses -----------------------------------------------------------------------------------


def mpjpe(
    predicted: Float[Numbers, "*batch joint 3"],
    true: Float[Numbers, "*batch joint 3"],
    given: Bool[Numbers, "*batch joint"] | None = None,
) -> Float[np.ndarray, "*batch"]:
    """Mean per-joint position error, mm: mean over the given joints of the Euclidean distance; NaN where none is given.

    Nothing is aligned here: subtract the pelvis from both first, and choose the joints (EVAL_14).
    Source: Ionescu et al. 2014 (doi:10.1109/TPAMI.2013.248).
    """
    if there := _elsewhere(predicted, true, given):
        return MM * _exact(similarity.mean_error(*there))
    if given is not None:
        return np.asarray(MM * _mean_of_given(_distances(predicted, true), given))
    moving, fixed = _plain(predicted), _plain(true)
    shape = moving.shape
    if not any(fixed.strides[:-2]):  # one truth, broadcast
        fixed = fixed[(0,) * (fixed.ndim - 2)]
    elif fixed.ndim > 3 and fixed.strides[-3] == 0:  # one truth for all hypotheses of an image
        fixed = fixed[..., 0, :, :]
    errors = mean_distances(*(part.reshape(-1, *shape[-2:]) for part in (moving, fixed)))
    return np.asarray(MM * errors.reshape(shape[:-2]))


def n_mpjpe(
    predicted: Float[Numbers, "*batch joint 3"],
    true: Float[Numbers, "*batch joint 3"],
    given: Bool[Numbers, "*batch joint"] | None = None,
    *,
    align_all: bool = False,
) -> Float[np.ndarray, "*batch"]:
    """MPJPE, mm, after the best scale of each prediction about the origin: s = sum p q / sum p p.

    Source: Rhodin et al. 2018, "Learning monocular 3D human pose estimation from multi-view images". See `pa_mpjpe` for
    given and align_all. A prediction that is all zeros stays so.
    """
    moving, fixed = _exact(predicted), _exact(true)
    weight = np.ones(moving.shape[:-1]) if given is None or align_all else _flags(given).astype(float)
    size = (weight * np.square(moving).sum(-1)).sum(-1)
    shared = (weight * (moving * fixed).sum(-1)).sum(-1)
    scale = np.divide(shared, size, out=np.zeros_like(size), where=size > 0)
    return mpjpe(scale[..., None, None] * moving, fixed, given)


def pve(
    predicted: Float[Numbers, "*batch vertex 3"], true: Float[Numbers, "*batch vertex 3"]
) -> Float[np.ndarray, "*batch"]:
    """Per-vertex error, mm: `mpjpe` over the vertices. Subtract the pelvis joint from both first."""
    return mpjpe(predicted, true)


def pa_mpjpe(
    predicted: Float[Numbers, "*batch joint 3"],
    true: Float[Numbers, "*batch joint 3"],
    given: Bool[Numbers, "*batch joint"] | None = None,
    *,
    align_all: bool = False,
) -> Float[np.ndarray, "*batch"]:
    """Procrustes-aligned MPJPE, mm: what is left after the best similarity of each prediction by itself.

    given: the joints that have labels; the others are left out of the mean, and of the alignment too unless `align_all`
    (as in mmpose, where a joint without a label still affects the alignment). NaN where none is given. Source:
    Procrustes analysis, Gower 1975; the method is that of `hmr/metrics/procrustes.py`.
    """
    if there := _elsewhere(predicted, true, given):
        x, y, flags = there
        return MM * _exact(similarity.aligned_error(x, y, None if align_all else flags, flags))
    moving, fixed = _exact(predicted), _exact(true)
    batch, joints = moving.shape[:-2], moving.shape[-2]
    flags = None if given is None else _flags(given).reshape(-1, joints)
    moving, fixed = (part.reshape(-1, joints, 3) for part in (moving, fixed))
    errors = aligned_errors(moving, fixed, None if align_all else flags, flags)
    return np.asarray(MM * errors.reshape(batch))


def procrustes_align(
    points: Float[Numbers, "*batch point 3"], target: Float[Numbers, "*batch point 3"]
) -> Float[np.ndarray, "*batch point 3"]:
    """`points` (metres) moved by the rotation, scale > 0 and translation that bring them closest to `target`.

    A reflection is never used. Points that all coincide (within a nanometre) go to the target's centroid. See
    `hmr/metrics/procrustes.py` for the method and its sources.
    """
    moving, fixed = _exact(points), _exact(target)
    rows = (-1, *moving.shape[-2:])
    return aligned_points(moving.reshape(rows), fixed.reshape(rows)).reshape(moving.shape)


def pck(
    predicted: Float[Numbers, "*batch joint 3"],
    true: Float[Numbers, "*batch joint 3"],
    given: Bool[Numbers, "*batch joint"] | None = None,
    *,
    within_mm: float = 150.0,
    inclusive: bool = False,
) -> float:
    """Share of all given joints that lie nearer than `within_mm` (inclusive: or as near), 0..1; NaN without any.

    MPI-INF-3DHP: 150 mm, strict, 14 joints about the pelvis (Mehta et al. 2017). 3DPW's challenge: 50 mm, inclusive.
    """
    return float(_shares(_distances(predicted, true), given, np.array([within_mm / MM]), inclusive)[0])


def auc(
    predicted: Float[Numbers, "*batch joint 3"],
    true: Float[Numbers, "*batch joint 3"],
    given: Bool[Numbers, "*batch joint"] | None = None,
    *,
    thresholds_mm: Float[Numbers, " threshold"] | None = None,
    inclusive: bool = False,
    trapezoid: bool = False,
) -> float:
    """Mean of `pck` over thresholds, 0..1; by default MPI-INF-3DHP's 31 from 0 to 150 mm.

    With those the maximum is 30 / 31, not 1, since no distance is below 0 mm. 3DPW's challenge takes 0, 1, ... 199 mm,
    inclusive, and the area by trapezoids.
    """
    steps = np.arange(0.0, 151.0, 5.0) if thresholds_mm is None else _exact(thresholds_mm)
    shares = _shares(_distances(predicted, true), given, steps / MM, inclusive)
    return float(np.trapezoid(shares, steps) / (steps[-1] - steps[0]) if trapezoid else shares.mean())


def pck_2d(
    predicted: Float[Numbers, "*batch keypoint 2"],
    true: Float[Numbers, "*batch keypoint 2"],
    size: Float[Numbers, "*batch"],
    visible: Bool[Numbers, "*batch keypoint"],
    *,
    within: float = 0.05,
) -> float:
    """Share of all visible keypoints within `within` of the person's size (crop side, head, torso; px), 0..1.

    4D-Humans: 0.05 and 0.1 of the crop's side, keypoints with confidence above 0.5. MPII's PCKh: 0.5 of the head.
    """
    relative = _distances(predicted, true) / _exact(size)[..., None]
    return float(_shares(relative, visible, np.array([within]), False)[0])


def acceleration_error(
    predicted: Float[Numbers, "*batch frame joint 3"], true: Float[Numbers, "*batch frame joint 3"]
) -> Float[np.ndarray, "*batch inner"]:
    """How much a sequence shakes, mm / frame^2, of each frame but the first and last: mean over joints of

        | (p[t-1] - 2 p[t] + p[t+1]) - (q[t-1] - 2 q[t] + q[t+1]) |

    Source: Kanazawa et al. 2019, "Learning 3D human dynamics from video". A constant offset or drift does not count.
    Raises ValueError for fewer than 3 frames.
    """
    off = _exact(predicted) - _exact(true)
    if off.shape[-3] < 3:
        raise ValueError(f"acceleration_error: a sequence of {off.shape[-3]} frames has none; give 3 at least")
    bent = off[..., :-2, :, :] - 2 * off[..., 1:-1, :, :] + off[..., 2:, :, :]
    return MM * np.linalg.norm(bent, axis=-1).mean(-1)


def _shares(distances: NDArray, given: Numbers | None, thresholds: NDArray, inclusive: bool) -> NDArray[np.float64]:
    """Share of the given distances within each threshold."""
    kept = np.sort(distances[_flags(given)] if given is not None else distances.ravel())
    if not len(kept):
        return np.full(len(thresholds), np.nan)
    return np.searchsorted(kept, thresholds, side="right" if inclusive else "left") / len(kept)


def keypoint_error_px(
    predicted: Float[Numbers, "*batch keypoint 2"],
    true: Float[Numbers, "*batch keypoint 2"],
    visible: Bool[Numbers, "*batch keypoint"],
) -> Float[np.ndarray, "*batch"]:
    """Mean distance over the visible keypoints, px; NaN where none is visible."""
    return _mean_of_given(_distances(predicted, true), visible)


def _mean_of_given(distances: NDArray, given: Numbers) -> NDArray[np.float64]:
    """Mean along the last axis of what is given, NaN where nothing is."""
    flags = _flags(given)
    count = flags.sum(-1)
    total = np.where(flags, distances, 0.0).sum(-1)
    return np.divide(total, count, out=np.full(np.shape(total), np.nan), where=count > 0)


# --- groups -------------------------------------------------------------------------------------------------


def joint_spread(joints: Float[Numbers, "image hypothesis joint 3"]) -> Float[np.ndarray, "image joint"]:
    """How unsure a group is of each joint, mm: mean distance of the joint to its mean over the group.

    Any difference counts: subtract each hypothesis' pelvis first unless its place should count too.
    """
    exact = _exact(joints)
    return MM * _distances(exact, exact.mean(1, keepdims=True)).mean(1)


def diversity(joints: Float[Numbers, "image hypothesis joint 3"]) -> Float[np.ndarray, " image"]:
    """Mean over the joints of `joint_spread`, mm."""
    return joint_spread(joints).mean(1)


def medoid(joints: Float[Numbers, "image hypothesis joint 3"]) -> Int[np.ndarray, " image"]:
    """Index of the hypothesis nearest to the rest of its group, by mean distance of joints (metres); ties: the first.

    Subtract each hypothesis' pelvis first.
    """
    return distances_in_groups(_plain(joints)).argmin(1)


def spread(errors: Float[Numbers, "image hypothesis"]) -> Float[np.ndarray, " image"]:
    """Population standard deviation of an error within each group, in its unit: how much a critic can choose from."""
    return _exact(errors).std(1)


class GroupSummary(NamedTuple):
    """One error of each group, for each way to take one hypothesis out of it; in the unit of the errors."""

    zero_noise: Float[np.ndarray, " image"]
    """Of the hypothesis drawn from zero noise, which takes one draw: the answer without any choice."""
    mean: Float[np.ndarray, " image"]
    """Mean of the errors: the expected error of one random draw. Not the error of the averaged body."""
    selected: Float[np.ndarray, " image"]
    """Of the hypothesis that the critic scores highest."""
    best_of_g: Float[np.ndarray, " image"]
    """ORACLE: the smallest error, which only the truth can find. Each metric takes its own minimum."""


def summarise_groups(
    errors: Float[Numbers, "image hypothesis"],
    zero_start: Bool[Numbers, "image hypothesis"],
    selected: Int[Numbers, " image"],
) -> GroupSummary:
    """Errors of one metric as the benchmark reports them; see `critic_choice` for `selected`.

    The hypothesis from zero noise counts in all four. Raises ValueError unless every group has exactly one.
    """
    exact, starts = _exact(errors), _flags(zero_start)
    counts = starts.sum(1)
    if (counts != 1).any():
        wrong = int(np.flatnonzero(counts != 1)[0])
        raise ValueError(
            f"summarise_groups: {counts[wrong]} hypotheses of group {wrong} start from zero noise; mark one"
        )
    return GroupSummary(
        zero_noise=exact[starts],
        mean=exact.mean(1),
        selected=np.take_along_axis(exact, _exact(selected).astype(np.int64)[:, None], axis=1)[:, 0],
        best_of_g=exact.min(1),
    )


def best_hypothesis(errors: Float[Numbers, "image hypothesis"]) -> Int[np.ndarray, " image"]:
    """ORACLE: index of each group's smallest error (ties: the first).

    Every metric of that one hypothesis is the minimum "per hypothesis"; `best_of_g` takes the minimum of each metric
    apart, which can only be smaller, and is what ScoreHypo, ADHMR and others print. NaN never wins.
    """
    exact = _exact(errors)
    return np.where(np.isnan(exact), np.inf, exact).argmin(1)


def critic_choice(
    scores: Float[Numbers, "image hypothesis"], zero_start: Bool[Numbers, "image hypothesis"]
) -> Int[np.ndarray, " image"]:
    """Index of each group's highest score, 0-100 (ties: the first).

    NaN = abstained. If the critic abstained on a whole group, the hypothesis from zero noise is chosen.
    """
    return np.array([first[0] for first in top_ranked(scores, zero_start, 1)], np.int64)


def top_ranked(
    scores: Float[Numbers, "image hypothesis"], zero_start: Bool[Numbers, "image hypothesis"], count: int
) -> list[Int[np.ndarray, " some"]]:
    """Indices of each group's `count` highest scores, highest first (ties: the first); fewer where fewer have a score.

    NaN = abstained. If the critic abstained on a whole group, only the hypothesis from zero noise is returned.
    """
    chosen = []
    for score, start in zip(_exact(scores), _flags(zero_start)):
        judged = np.count_nonzero(~np.isnan(score))
        ranked = np.argsort(-score, kind="stable")  # NaN comes last
        chosen.append(ranked[: min(count, judged)] if judged else np.flatnonzero(start)[:1])
    return chosen


# --- over images --------------------------------------------------------------------------------------------


class Interval(NamedTuple):
    """An estimate with the bounds of its percentile bootstrap."""

    estimate: float
    low: float
    high: float
    images: int
    """How many images it rests on; those with NaN are left out."""


def bootstrap_interval(
    values: Float[Numbers, " image"],
    seed: int,
    *,
    level: float = 0.95,
    resamples: int = 2000,
    sequences: Sequence[str] | None = None,
) -> Interval:
    """Mean over images and its percentile bootstrap, images drawn with replacement.

    sequences: of each image; whole sequences are then drawn with replacement, since frames of one are not independent.
    To compare two models give the differences per image: the images' own difficulty then cancels. Raises ValueError if
    no image has a value. In the unit of `values`.
    """
    exact = _exact(values)
    kept = ~np.isnan(exact)
    if sequences is None:
        return _bootstrap(exact[kept], lambda drawn: float(drawn.mean()), seed, level, resamples)
    _, places = np.unique(np.asarray(sequences, str)[kept], return_inverse=True)
    sums = np.stack([np.bincount(places, exact[kept]), np.bincount(places)], 1)
    found = _bootstrap(sums, lambda drawn: float(drawn[:, 0].sum() / drawn[:, 1].sum()), seed, level, resamples)
    return found._replace(images=int(kept.sum()))


def bootstrap_improvement(
    before: Float[Numbers, " image"],
    after: Float[Numbers, " image"],
    seed: int,
    *,
    level: float = 0.95,
    resamples: int = 2000,
) -> Interval:
    """Improvement of the mean error, 100 (1 - mean(after) / mean(before)) percent, on the same images.

    Raises ValueError if no image has both values.
    """
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
    """Correlations per group between scores (0-100, NaN = abstained: left out) and minus the errors (mm)."""
    from scipy import stats  # here: a quarter of a second that most commands can spare

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


class SpreadCorrelations(NamedTuple):
    """How well a group's spread predicts the error: Spearman's rank correlations, NaN if one never varies."""

    overall: float
    """Over all images and joints: are joints and people with a large spread those with large errors?"""
    within_joint: float
    """Over images, mean over the joints: for each joint, do people with a large spread have large errors?"""


def spread_correlations(
    spread: Float[Numbers, "image joint"], errors: Float[Numbers, "image joint"]
) -> SpreadCorrelations:
    """Rank correlation of `joint_spread` with one estimate's errors, mm (NaN = not known).

    Leave out joints that are 0 by definition.
    """
    from scipy import stats

    known_spread, wrong = _exact(spread), _exact(errors)

    def correlation(first: NDArray, second: NDArray) -> float:
        given = np.isfinite(second)
        first, second = first[given], second[given]
        flat = len(first) < 2 or np.ptp(first) == 0 or np.ptp(second) == 0
        return math.nan if flat else float(np.corrcoef(stats.rankdata(first), stats.rankdata(second))[0, 1])

    joints = [correlation(*columns) for columns in zip(known_spread.T, wrong.T)]
    known = [value for value in joints if not math.isnan(value)]
    return SpreadCorrelations(
        correlation(known_spread.ravel(), wrong.ravel()), sum(known) / len(known) if known else math.nan
    )


def _distances(predicted: Numbers, true: Numbers) -> NDArray:
    return np.linalg.norm(_exact(predicted) - _exact(true), axis=-1)


def _elsewhere(predicted: Numbers, true: Numbers, given: Numbers | None) -> tuple[Tensor, Tensor, Tensor | None] | None:
    """The three as tensors where `predicted` is, if that is no CPU."""
    if not isinstance(predicted, Tensor) or predicted.device.type == "cpu":
        return None
    there = predicted.device
    flags = None if given is None else torch.as_tensor(given).to(there, torch.bool)
    return predicted.detach(), torch.as_tensor(true).detach().to(there), flags


def _plain(values: Numbers) -> NDArray:
    """float32 and float64 as they are: they are subtracted in double precision."""
    array = values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)
    return array if array.dtype in (np.float32, np.float64) else array.astype(np.float64)


def _flags(values: Numbers) -> NDArray[np.bool_]:
    return np.asarray(values.detach().cpu().numpy() if isinstance(values, Tensor) else values, bool)


def _exact(values: Numbers) -> NDArray[np.float64]:
    if isinstance(values, Tensor):
        values = values.detach().cpu().numpy()
    return np.asarray(values, dtype=np.float64)
