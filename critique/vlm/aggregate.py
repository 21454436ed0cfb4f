"""Combines the scores of several calls about one group: one score and one standard error per hypothesis. Pure.

Each call has its own level and spread: a hypothesis is compared with those that were shown in the same call. With s[c,
i] the score of hypothesis i in call c (NaN: not shown, or not judged there):

    mean           s[c, i] = level_c + q_i, by least squares
    median         the same by median polish: a single outlying call does not count
    affine         s[c, i] = level_c + slope_c (q_i - mean q), levels and slopes shrunk towards those of the others
    bradley_terry  only the order counts: P(i beats j) = 1 / (1 + exp(q_j - q_i)); the score is 100 x the mean
                   probability of beating another hypothesis of the group

Before that, the effect of the position is removed: a judge may favour what it is shown first or last, or become milder
along the way. If the hypotheses were shown often enough, three effects are fitted together with level_c and q_i by
ridge least squares, and subtracted:

    s[c, i] = level_c + q_i + first [place = 0] + last [place = n - 1] + trend (place / (n - 1) - 1/2)

Standard errors come from the calls' disagreement, pooled over the group: sqrt(sum of squared residuals / degrees of
freedom / calls that judged the hypothesis); for Bradley-Terry from the curvature of the likelihood. If nothing was
judged twice there is none.

Sources: Tukey 1977 (median polish); Bradley and Terry 1952; ridge by the priors named below.
"""

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from critique.vlm.blocks import Presentation

Floats = NDArray[np.float64]
Link = Literal["mean", "median", "affine", "bradley_terry"]

LEVEL_PRIOR = 0.1  # weight, in observations, of "this call's level is that of the others"
SLOPE_PRIOR = 400.0  # weight, in squared points, of "this call's spread is that of the others"
PLACE_PRIOR = 0.2  # weight, in observations, of "the position has no effect"
LEAST_FREEDOM = 6  # degrees of freedom from which on effects of the position are fitted
STRENGTH_PRIOR = 0.25  # 1 / variance of a Bradley-Terry strength
MEDIAN_LOSS = (np.pi / 2) ** 0.5  # standard error of a median over that of a mean, for normal errors
ROUNDS = 60  # iterations of the alternating fits


class Linked(NamedTuple):
    """The combined result of the calls; both NaN where no call judged a hypothesis."""

    scores: Floats  # (G,) 0-100
    uncertainty: Floats | None  # (G,) standard error, points; None = unknown


def link(size: int, shown: Sequence[Presentation], scores: Sequence[Floats], how: Link) -> Linked:
    """One score 0-100 per hypothesis of a group of `size`, combined from the calls' scores.

    shown[c]: indices of the hypotheses in the order shown in call c; scores[c]: their scores 0-100 in that order, NaN =
    not judged. Uncertainty in points.
    """
    table = np.full((len(shown), size), np.nan)
    places = np.zeros((len(shown), size, PLACES))
    for row, place, order, given in zip(table, places, shown, scores):
        row[list(order)] = given
        place[list(order)] = place_terms(len(order))
    read = ~np.isnan(table).all(1)
    table, places = table[read], places[read]
    if len(table) == 0:
        return Linked(np.full(size, np.nan), None)
    if len(table) == 1 and how != "bradley_terry":
        return Linked(table[0], None)
    effects = place_effects(table, places)
    found = _LINKS[how](table - places @ effects, PLACES if effects.any() else 0)
    unjudged = np.isnan(table).all(0)
    scores_ = np.where(unjudged, np.nan, np.clip(found.scores, 0, 100))
    return Linked(scores_, None if found.uncertainty is None else np.where(unjudged, np.nan, found.uncertainty))


PLACES = 3


def place_terms(count: int) -> Floats:
    """(count, 3) position terms without unit for a call that shows `count` pictures: first (0/1), last (0/1), trend
    (-1/2..1/2).
    """
    place = np.arange(count)
    return np.column_stack([place == 0, place == count - 1, place / max(count - 1, 1) - 0.5]).astype(float)


def place_effects(table: Floats, places: Floats) -> Floats:
    """(3,) points gained by being first, by being last, and from the first to the last position; zeros if undetermined.

    table (calls, G) scores 0-100, NaN = not judged; places (calls, G, 3) terms of `place_terms`.
    """
    call, hypothesis = np.nonzero(~np.isnan(table))
    calls, size = table.shape
    if len(call) - len(np.unique(hypothesis)) - (calls - 1) < LEAST_FREEDOM:
        return np.zeros(PLACES)
    design = np.column_stack([np.eye(size)[hypothesis], np.eye(calls)[call], places[call, hypothesis]])
    prior = np.diag(np.sqrt([0.0] * size + [LEVEL_PRIOR] * calls + [PLACE_PRIOR] * PLACES))
    wanted = np.concatenate([table[call, hypothesis], np.zeros(len(prior))])
    return np.linalg.lstsq(np.vstack([design, prior]), wanted, rcond=None)[0][-PLACES:].astype(np.float64)


def by_mean(table: Floats, lost: int = 0) -> Linked:
    """Additive fit of scores (calls, G), 0-100, by alternating least squares.

    lost: degrees of freedom that were used before.
    """
    levels = np.zeros(len(table))
    quality = _means(table)
    for _ in range(ROUNDS):
        levels = _shrunk(table - quality, 1)
        quality = _means(table - levels[:, None])
    quality = quality + levels.mean()
    residuals = table - quality - (levels - levels.mean())[:, None]
    return Linked(quality, _pooled(residuals, len(table) - 1 + lost))


def by_median(table: Floats, lost: int = 0) -> Linked:
    """Additive fit of scores (calls, G), 0-100, by alternating medians (Tukey 1977). lost: as for `by_mean`."""
    levels = np.zeros(len(table))
    quality = np.nan_to_num(_quietly(np.nanmedian, table, 0))
    for _ in range(ROUNDS):
        levels = np.nan_to_num(_quietly(np.nanmedian, table - quality, 1))
        quality = np.nan_to_num(_quietly(np.nanmedian, table - levels[:, None], 0))
    quality = quality + levels.mean()
    residuals = table - quality - (levels - levels.mean())[:, None]
    errors = _pooled(residuals, len(table) - 1 + lost)
    return Linked(quality, None if errors is None else errors * np.where((~np.isnan(table)).sum(0) > 2, MEDIAN_LOSS, 1))


def by_affine(table: Floats, lost: int = 0) -> Linked:
    """Fit of scores (calls, G), 0-100, with a level and a slope per call, by alternating ridge regressions.

    lost: as for `by_mean`.
    """
    known = ~np.isnan(table)
    filled = np.where(known, table, 0.0)
    quality = by_mean(table).scores
    levels, slopes = np.zeros(len(table)), np.ones(len(table))
    for _ in range(ROUNDS):
        middle = quality[known.any(0)].mean()
        centred = np.where(known, quality - middle, 0.0)
        for call in range(len(table)):
            design = np.column_stack([known[call], centred[call]]).astype(float)
            prior = np.diag([LEVEL_PRIOR, SLOPE_PRIOR])
            wanted = design.T @ filled[call] + prior @ [middle, 1.0]
            levels[call], slopes[call] = np.linalg.solve(design.T @ design + prior, wanted)
        levels += middle - levels.mean()  # the common level and slope belong to no call
        slopes /= slopes.mean()
        weight = np.where(known, slopes[:, None], 0.0)
        total = np.maximum((weight**2).sum(0), 1e-9)
        quality = middle + (weight * (filled - np.where(known, levels[:, None], 0.0))).sum(0) / total
    middle = quality[known.any(0)].mean()
    residuals = table - levels[:, None] - slopes[:, None] * (quality - middle)
    return Linked(quality, _pooled(residuals, 2 * (len(table) - 1) + lost))


def by_bradley_terry(table: Floats, lost: int = 0) -> Linked:
    """Strengths by Newton's method from the order of scores (calls, G), as scores 0-100 (Bradley and Terry 1952).

    A call of n pictures counts as n - 1 comparisons. lost: as for `by_mean`.
    """
    size = table.shape[1]
    wins = np.zeros((size, size))
    for row in table:
        seen = np.flatnonzero(~np.isnan(row))
        won = np.greater.outer(row[seen], row[seen]) + 0.5 * np.equal.outer(row[seen], row[seen])
        np.fill_diagonal(won, 0.0)
        wins[np.ix_(seen, seen)] += won * 2 / max(len(seen), 1)
    played = wins + wins.T
    strength = np.zeros(size)
    curvature = np.eye(size)
    for _ in range(ROUNDS):
        chance = 1 / (1 + np.exp(strength[None] - strength[:, None]))  # that the row beats the column
        slope = (wins - played * chance).sum(1) - STRENGTH_PRIOR * strength
        spread = played * chance * (1 - chance)
        curvature = np.diag(spread.sum(1) + STRENGTH_PRIOR) - spread
        step = np.linalg.solve(curvature, slope)
        strength += step / max(1.0, np.abs(step).max())
        if np.abs(step).max() < 1e-9:
            break
    playing = played.any(1)
    among = np.logical_and.outer(playing, playing) & ~np.eye(size, dtype=bool)
    rivals = np.maximum(among.sum(1), 1)
    chance = 1 / (1 + np.exp(strength[None] - strength[:, None]))
    scores = 100 * np.where(among, chance, 0.0).sum(1) / rivals
    steep = 100 * np.where(among, chance * (1 - chance), 0.0) / rivals[:, None]
    jacobian = np.diag(steep.sum(1)) - steep
    errors = np.sqrt(np.maximum(np.einsum("ij,jk,ik->i", jacobian, np.linalg.inv(curvature), jacobian), 0))
    return Linked(np.where(playing, scores, 50.0), np.where(playing, errors, 50.0))


_LINKS: dict[str, Callable[[Floats, int], Linked]] = {
    "mean": by_mean,
    "median": by_median,
    "affine": by_affine,
    "bradley_terry": by_bradley_terry,
}


def _pooled(residuals: Floats, parameters: int) -> Floats | None:
    """(G,) standard errors; `parameters` were fitted besides one quality per hypothesis."""
    judged = (~np.isnan(residuals)).sum(0)
    freedom = judged.sum() - (judged > 0).sum() - parameters
    if freedom < 1:
        return None
    return np.sqrt(np.nansum(residuals**2) / freedom / np.maximum(judged, 1))


def _means(values: Floats) -> Floats:
    """(G,) means over the calls; 0 where there is none."""
    return np.nansum(values, 0) / np.maximum((~np.isnan(values)).sum(0), 1)


def _shrunk(values: Floats, axis: int) -> Floats:
    return np.nansum(values, axis) / ((~np.isnan(values)).sum(axis) + LEVEL_PRIOR)


def _quietly(reduce: Callable[..., Floats], values: Floats, axis: Literal[0, 1]) -> Floats:
    """A reduction of rows or columns that may be all NaN, without numpy's warning."""
    empty = np.isnan(values).all(axis, keepdims=True)
    return np.where(empty.ravel(), np.nan, reduce(np.where(empty, 0.0, values), axis))
