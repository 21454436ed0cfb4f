"""Learns a small judge from the verdicts of another critic, and measures it on groups that it has not seen. Pure.

A network's weights w minimise, over all groups but an eighth of the photographs,

    -log chance of the teacher's rankings (plackett_luce.py)  +  pull / 2 |w - w0|^2

where w0 is the judge from which it learns on, or a start that is the same for all networks, whose line and outputs are
zero. The pull is the one of PULLS with which three of the networks are least surprised by the photographs that they
left out: strong where the teacher is noisy or the groups are few. Then what the networks say of the photographs that
each had left out gives temperature and quality: nothing is measured on what was learned. L-BFGS, gradients written out;
some seconds for some hundred groups.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize, minimize_scalar

from critique.judge.features import FEATURES
from critique.judge.network import (
    HIDDEN,
    INPUTS,
    MEMBERS,
    SIZES,
    WEIGHTS,
    Judge,
    inputs,
    parts,
    worths,
)  # fmt: skip
from critique.judge.plackett_luce import Ranking, ranking, surprise
from critique.memory.gate import agreement

Floats = NDArray[np.float64]

PULLS = (1000.0, 100.0, 10.0, 1.0)
"""Strengths of the pull to w0, nats; with 1 a weight that is off by one counts as half of a nat of surprise."""

TRIED = 3
"""Networks with which the pull is chosen."""

STEPS = 120
"""Most steps of L-BFGS for one network."""

LEAST_GROUPS = 16
"""Fewest judged groups from which a judge is learned: two for each network to leave out."""

COARSEST, FINEST = 30.0, 0.03
"""Bounds of the temperature."""


class TooFewGroups(ValueError):
    """There is too little to learn from; the message says how much more is needed."""


@dataclass(frozen=True, eq=False)
class Lessons:
    """What is learned from: groups as the judge reads them, and the teacher's scores."""

    features: Sequence[Floats]  # per group (G, features); a row of NaN = a hypothesis that is not finite
    scores: Sequence[Floats]  # per group (G,) 0-100, NaN = not judged
    photographs: Sequence[str]  # of each group; one photograph is never learned from and tested on


class Quality(NamedTuple):
    """How well a judge repeats its teacher, on photographs that it did not see."""

    groups: int
    srcc: float  # mean rank correlation with the teacher, inside groups
    pairs_right: float  # share of pairs that it orders as the teacher
    pairs_expected: float  # the same as its own chances say: equal where they are calibrated
    surprise: float  # nats per hypothesis of the teacher's ranking; log(G!) / G for a judge that knows nothing


class Fitted(NamedTuple):
    """A judge and its quality."""

    judge: Judge
    quality: Quality
    held_out: list[Floats]  # worths (G,) that each group got from the network that had not seen it


class _Table(NamedTuple):
    """Lessons as arrays, groups filled up with NaN to one size."""

    features: Floats  # (n, g, features)
    ranked: Ranking
    folds: NDArray[np.intp]  # (n,) which network leaves it out


def fit(lessons: Lessons, start: Judge | None = None) -> Fitted:
    """A judge of these lessons; `start`: the judge that learns on.

    Raises TooFewGroups if fewer than LEAST_GROUPS groups are judged, or they are of fewer photographs than networks.
    """
    table = _table(lessons)
    scale = start.scale if start is not None else _scale(table.features)
    read = inputs(table.features, scale)
    first = _start() if start is None else start.weights.mean(0)
    pull, done = _best_pull(table, read, first)
    weights = np.stack([done.get(fold, first) for fold in range(MEMBERS)])
    unseen = np.empty(table.features.shape[:2])
    for fold in range(MEMBERS):
        if fold not in done:
            weights[fold] = _fitted(table, read, fold, first, pull)
        own = np.flatnonzero(table.folds == fold)
        unseen[own] = worths(weights[fold : fold + 1], read[own])[0]
    temperature = _temperature(unseen, table.ranked)
    judge = Judge(weights, scale, temperature)
    held_out = [row[: len(scores)] / temperature for row, scores in zip(unseen, lessons.scores)]
    return Fitted(judge, quality(held_out, lessons.scores), held_out)


def quality(worth: Sequence[Floats], scores: Sequence[Floats]) -> Quality:
    """How well worths (G,) of groups, nats, repeat a teacher's scores (G,) of them; NaN = not judged."""
    srcc = [agreement(ours, theirs) for ours, theirs in zip(worth, scores)]
    right = [pairs_right(ours, theirs) for ours, theirs in zip(worth, scores)]
    total = np.sum([one[0] for one in right], 0) if right else np.zeros(3)
    size = max(map(len, scores))
    padded, ranked = _padded(worth, size), ranking(_padded(scores, size))
    nats = surprise(np.nan_to_num(padded), ranked)[0] / max(ranked.terms, 1)
    known = [one for one in srcc if np.isfinite(one)]
    count = max(float(total[2]), 1.0)
    return Quality(
        len(scores), float(np.mean(known)) if known else float("nan"), float(total[0]) / count,
        float(total[1]) / count, nats,
    )  # fmt: skip


def pairs_right(worth: Floats, scores: Floats) -> tuple[Floats, int]:
    """Of one group: (3,) pairs in the teacher's order (a tie of ours counts half), the same as expected, and all pairs;
    and how many hypotheses are judged. worth, scores: (G,).
    """
    judged = np.flatnonzero(~np.isnan(scores))
    i, k = np.triu_indices(len(judged), 1)
    ours, theirs = worth[judged[i]] - worth[judged[k]], scores[judged[i]] - scores[judged[k]]
    ours = (ours * np.sign(theirs))[theirs != 0]
    expected = 1 / (1 + np.exp(-np.minimum(np.abs(ours), 700)))
    return np.array([(np.sign(ours) + 1).sum() / 2, expected.sum(), len(ours)], np.float64), len(judged)


def _table(lessons: Lessons) -> _Table:
    judged = sum(bool((~np.isnan(scores)).sum() >= 2) for scores in lessons.scores)
    names = list(dict.fromkeys(lessons.photographs))
    if judged < LEAST_GROUPS or len(names) < MEMBERS:
        raise TooFewGroups(
            f"{judged} judged groups of {len(names)} photographs: a judge needs {LEAST_GROUPS} groups of "
            f"{MEMBERS} photographs; have more groups judged by the teacher"
        )
    size = max(map(len, lessons.scores))
    order = dict(zip(names, np.random.default_rng(0).permutation(len(names)) % MEMBERS))
    folds = np.array([order[name] for name in lessons.photographs])
    features = np.full((len(lessons.features), size, len(FEATURES)), np.nan)
    for place, rows in enumerate(lessons.features):
        features[place, : len(rows)] = rows
    scores = _padded(lessons.scores, size)
    scores[~np.isfinite(features).all(-1)] = np.nan  # what cannot be read is not learned from
    return _Table(features, ranking(scores), folds)


def _padded(rows: Sequence[Floats], size: int) -> Floats:
    found = np.full((len(rows), size), np.nan)
    for place, row in enumerate(rows):
        found[place, : len(row)] = row
    return found


def _scale(features: Floats) -> Floats:
    """(features,) standard deviation inside groups; of what hardly varies, enough to keep it small."""
    centred = features - np.nanmean(features, 1, keepdims=True)
    return np.sqrt(np.nanmean(np.square(centred), (0, 1))) + 0.02


def _start() -> Floats:
    """(WEIGHTS,) directions for the curved units, whose outputs are zero: the worth of every hypothesis is 0."""
    rng, found = np.random.default_rng(0), {name: np.zeros(shape) for name, shape in SIZES.items()}
    found["hidden"] = rng.standard_normal(SIZES["hidden"]) / np.sqrt(INPUTS)
    found["bias"] = rng.standard_normal(HIDDEN) / 2
    return np.concatenate([part.ravel() for part in found.values()])


def loss(weights: Floats, read: Floats, ranked: Ranking, first: Floats, pull: float) -> tuple[float, Floats]:
    """What one network (WEIGHTS,) minimises on inputs (n, g, INPUTS), nats, and its gradient (WEIGHTS,)."""
    own = parts(weights)
    flat = read.reshape(-1, INPUTS)
    units = np.tanh(flat @ own["hidden"] + own["bias"])
    worth = (flat @ own["line"] + units @ own["out"]).reshape(read.shape[:2])
    nats, slope = surprise(worth, ranked)
    back = slope.ravel()
    inner = back[:, None] * own["out"] * (1 - np.square(units))
    gradient = np.concatenate([back @ flat, (flat.T @ inner).ravel(), inner.sum(0), back @ units])
    away = weights - first
    return nats + pull / 2 * float(away @ away), gradient + pull * away


def _best_pull(table: _Table, read: Floats, first: Floats) -> tuple[float, dict[int, Floats]]:
    """The best of PULLS, and the networks that were fitted with it, by the eighth that they left out."""
    found: list[tuple[float, float, dict[int, Floats]]] = []
    own = np.flatnonzero(table.folds < TRIED)
    for pull in PULLS:
        done = {fold: _fitted(table, read, fold, first, pull) for fold in range(TRIED)}
        every = worths(np.stack([*done.values()]), read[own])
        unseen = every[table.folds[own], np.arange(len(own))]
        ranked = table.ranked.of(own)
        found.append((surprise(unseen / _temperature(unseen, ranked), ranked)[0], pull, done))
    _, pull, done = min(found, key=lambda one: one[0])
    return pull, done


def _fitted(table: _Table, read: Floats, fold: int, first: Floats, pull: float) -> Floats:
    """(WEIGHTS,) the network that leaves one eighth out."""
    rest = np.flatnonzero(table.folds != fold)
    given = (read[rest], table.ranked.of(rest), first, pull)
    found = minimize(loss, first, given, "L-BFGS-B", jac=True, options={"maxiter": STEPS})
    return np.asarray(found.x, np.float64)


def _temperature(unseen: Floats, ranked: Ranking) -> float:
    """The temperature under which the unseen rankings are least surprising."""

    def nats(log: float) -> float:
        return surprise(unseen / np.exp(log), ranked)[0]

    bounds = (np.log(FINEST), np.log(COARSEST))
    found: Any = minimize_scalar(nats, bounds=bounds, method="bounded")
    return float(np.exp(found.x))


def provenance(fitted: Fitted, teacher: str, groups: Sequence[str]) -> dict[str, Any]:
    """What a judge's file says of it: teacher, groups, and how well it does on photographs that it did not see."""
    return {
        "teacher": teacher, "groups": list(groups), "weights": WEIGHTS * MEMBERS,
        "temperature": fitted.judge.temperature, "held_out": fitted.quality._asdict(),
    }  # fmt: skip
