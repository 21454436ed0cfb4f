"""The chance of a ranking by the model of Plackett and Luce, with ties, and its gradient. Pure.

With worths u, the best is drawn with chance exp(u_i) / sum_k exp(u_k), the next from the rest in the same way, and so
on. So the chance that i is ranked above k is sigmoid(u_i - u_k), as Bradley and Terry have it.

    -log chance = sum_i [ log sum_{k not above i} exp(u_k) - u_i ]

"Not above i" holds whoever is tied with i, i itself too: the approximation of Breslow (1974) for ties. Sources: Luce
1959; Plackett 1975; as a loss on lists, Xia et al. 2008 (ListMLE).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LOWEST = -1e30
"""Stands for the worth of who is not in the ranking."""


class Ranking(NamedTuple):
    """Rankings of n groups of up to g hypotheses, prepared once for many evaluations."""

    order: NDArray[np.intp]  # (n, g) hypotheses, the best first, those without a score last
    judged: NDArray[np.bool_]  # (n, g) in that order: whether there is a score
    counted: NDArray[np.bool_]  # (n, g) in that order: whether its place counts, rather than who is above it alone
    first: NDArray[np.intp]  # (n, g) place of the first of those that are tied with it
    last: NDArray[np.intp]  # (n, g) place of the last of them

    @property
    def terms(self) -> int:
        """How many hypotheses are ranked in all."""
        return int(self.counted.sum())

    def of(self, some: NDArray[np.intp]) -> "Ranking":
        """The rankings of some groups."""
        return Ranking(self.order[some], self.judged[some], self.counted[some], self.first[some], self.last[some])


def ranking(scores: Floats, open_end: bool = False) -> Ranking:
    """Rankings by scores (n, g), any unit, larger is better; NaN = not judged. Equal scores are ties.

    open_end: those who are tied for the last place were not compared with each other: only the others are ranked.
    """
    order = np.argsort(np.where(np.isnan(scores), np.inf, -scores), axis=1, kind="stable")
    ranked = np.take_along_axis(scores, order, 1)
    judged = ~np.isnan(ranked)
    places = np.broadcast_to(np.arange(scores.shape[1]), scores.shape)
    starts = np.ones(scores.shape, bool)
    starts[:, 1:] = ~(ranked[:, 1:] == ranked[:, :-1])
    ends = np.ones(scores.shape, bool)
    ends[:, :-1] = starts[:, 1:]
    first = np.maximum.accumulate(np.where(starts, places, 0), axis=1)
    last = np.minimum.accumulate(np.where(ends, places, scores.shape[1])[:, ::-1], axis=1)[:, ::-1]
    counted = judged.copy()
    if open_end:
        end = np.where(judged, first, -1).max(1, keepdims=True)
        counted &= (first < end) | (end == 0)
    return Ranking(order, judged, counted, first, last)


def surprise(worths: Floats, ranked: Ranking) -> tuple[float, Floats]:
    """-log of the chance of all rankings, nats, and its gradient (n, g) in the worths (n, g)."""
    sorted_worths = np.take_along_axis(worths, ranked.order, 1)
    alive = np.where(ranked.judged, sorted_worths, LOWEST)
    rest = np.logaddexp.accumulate(alive[:, ::-1], axis=1)[:, ::-1]  # log sum over this place and those after it
    field = np.take_along_axis(rest, ranked.first, 1)
    loss = float((field - sorted_worths)[ranked.counted].sum())
    # d field_i / d u_k = exp(u_k - field_i) for each i that is not below k: those up to the last who is tied with k.
    drawn = np.logaddexp.accumulate(np.where(ranked.counted, -field, LOWEST), axis=1)
    chances = np.exp(np.minimum(alive + np.take_along_axis(drawn, ranked.last, 1), 700.0))
    slope = np.where(ranked.judged, chances - ranked.counted, 0.0)
    gradient = np.zeros_like(worths)
    np.put_along_axis(gradient, ranked.order, slope, 1)
    return loss, gradient
