"""Two opinions on the same groups, group by group: who changed rank, by how much, and where they differ most.

A side is a run, a generation and a critic. If both sides are of one run and generation they judge the same meshes, and
each hypothesis is followed; otherwise people are matched by their ids, and only whole groups are compared.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tasks.viewer.gallery import Gallery, Judged, rank_correlation, ranks

MOST_POINTS = 2000
"""Points of the scatter plot; of more, an even part is shown."""


class ComparisonError(ValueError):
    """Two sides that cannot be compared; the message says why."""


class Side(NamedTuple):
    """One side of a comparison."""

    gallery: Gallery
    gen: str
    critic: str

    def judged(self) -> Judged:
        """The verdicts of this side; raises ComparisonError if there are none."""
        found = self.gallery.critics.get(self.critic)
        if found is None:
            raise ComparisonError(
                f"no critic '{self.critic}' judged in this run; choose one of {list(self.gallery.critics)}"
            )
        return found

    def rows(self) -> dict[str, int]:
        """Row of each group of the generation that this critic scored, by group id."""
        table, scored = self.gallery.table, np.isfinite(self.judged().mean)
        gens, ids = table["gen"].to_pylist(), table["group_id"].to_pylist()
        return {key: row for row, (gen, key) in enumerate(zip(gens, ids)) if gen == self.gen and scored[row]}


def compared(a: Side, b: Side) -> dict[str, Any]:
    """The groups that both sides scored, those that differ most first. Raises ComparisonError if there are none."""
    first, second = a.rows(), b.rows()
    shared = [key for key in first if key in second]
    if not shared:
        raise ComparisonError(f"no group was scored by {a.critic} in {a.gen} and by {b.critic} in {b.gen}")
    left, right = (np.array([rows[key] for key in shared]) for rows in (first, second))
    same = a.gallery is b.gallery and a.gen == b.gen
    one, other = a.judged(), b.judged()
    change = other.mean[right] - one.mean[left]
    groups: list[dict[str, Any]] = [
        {
            "group_id": key,
            "a": _known(one.mean[left[k]]), "b": _known(other.mean[right[k]]), "change": _known(change[k]),
            "distance": _known(_column(b, "distance", right)[k] - _column(a, "distance", left)[k]),
            "error": _known(_column(b, "error", right)[k] - _column(a, "error", left)[k]),
            "favourites": [int(one.favourite[left[k]]), int(other.favourite[right[k]])],
        }
        for k, key in enumerate(shared)
    ]  # fmt: skip
    found: dict[str, Any] = {"same_meshes": same, "groups": groups, "mean_change": _known(np.nanmean(change))}
    if not same:
        groups.sort(key=lambda group: -abs(group["change"] or 0))
        found["points"] = _points(one.mean[left], other.mean[right])
        return found
    scores = one.scores[left], other.scores[right]
    both = ~np.isnan(scores[0]) & ~np.isnan(scores[1])
    places = [ranks(np.where(both, values, np.nan)) for values in scores]
    moved = np.where(both, places[0] - places[1], 0)  # above 0: b ranks it higher
    furthest = np.abs(moved).argmax(1)
    correlation = rank_correlation(*scores)
    for k, group in enumerate(groups):
        group |= {
            "correlation": _known(correlation[k]),
            "mover": int(furthest[k]),
            "from": _known(places[0][k, furthest[k]]),
            "to": _known(places[1][k, furthest[k]]),
        }
    groups.sort(key=lambda group: 2 if group["correlation"] is None else group["correlation"])
    agreed = np.mean([group["favourites"][0] == group["favourites"][1] for group in groups])
    known = correlation[~np.isnan(correlation)]
    return found | {
        "points": _points(scores[0][both], scores[1][both]),
        "correlation": _known(known.mean()) if len(known) else None,
        "same_favourite": float(agreed),
    }


def _column(side: Side, name: str, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    return side.gallery.numbers(name, side.critic)[rows]


def _points(x: NDArray, y: NDArray) -> list[list[float]]:
    some = np.unique(np.linspace(0, max(len(x) - 1, 0), min(len(x), MOST_POINTS)).round().astype(int))
    return np.stack([x[some], y[some]], 1).round(2).tolist()


def _known(value: Any) -> float | None:
    return round(float(value), 3) if np.isfinite(value) else None
