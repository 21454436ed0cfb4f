"""How often a critic orders two bodies as people did, with an interval. Pure."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from critique.annotation.answers import Answer

Z = 1.959964
"""Standard deviations of the normal distribution that hold 95 %."""


class Accuracy(NamedTuple):
    """Agreement with people, 0..1; 0.5 is chance."""

    critic: str
    right: float
    low: float  # bounds of a 95 % interval
    high: float
    pairs: int
    answers: int


def pairs_of(answer: Answer) -> list[tuple[int, int]]:
    """(better, worse) for each pair that the answer orders; those below the ranked ones are not compared."""
    ranked = answer.best_first
    rest = [place for place in answer.shown if place not in ranked]
    return [*combinations(ranked, 2), *((one, other) for one in ranked for other in rest)]


def accuracy(
    critic: str, scores: Mapping[tuple[str, str], NDArray[np.floating]], answers: Sequence[Answer]
) -> Accuracy:
    """Share of people's pairs that a critic orders as they do; a tie counts half, a pair without scores does not.

    scores: by (gen, group id) (G,), 0-100, NaN = none. Each answer counts once, as the mean of its pairs, because its
    pairs are one judgement; the interval is Wilson's (1927) for so many answers.
    """
    shares, pairs = [], 0
    for answer in answers:
        own = scores.get((answer.gen, answer.group_id))
        found = [] if own is None else [float(own[one] - own[other]) for one, other in pairs_of(answer)]
        known = [gap for gap in found if not np.isnan(gap)]
        if known:
            shares.append(float(np.mean([(np.sign(gap) + 1) / 2 for gap in known])))
            pairs += len(known)
    if not shares:
        return Accuracy(critic, float("nan"), float("nan"), float("nan"), 0, 0)
    right, count = float(np.mean(shares)), len(shares)
    low, high = wilson(right, count)
    return Accuracy(critic, right, low, high, pairs, count)


def wilson(share: float, count: int) -> tuple[float, float]:
    """95 % interval of a share (0..1) that was seen in `count` trials."""
    middle = (share + Z**2 / (2 * count)) / (1 + Z**2 / count)
    half = Z / (1 + Z**2 / count) * np.sqrt(share * (1 - share) / count + Z**2 / (4 * count**2))
    return max(float(middle - half), 0.0), min(float(middle + half), 1.0)
