"""What a check returns, and the one robust rule by which faults at many places become a penalty."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Finding:
    """One check's findings on the G hypotheses of a group."""

    penalty: Floats  # (G,) 0 = no fault .. 1 = as bad as can be told
    severity: Floats  # (G,) 0..1, of the worst single place
    place: NDArray[np.intp]  # (G,) index of the worst place in `places`
    size: Floats  # (G,) fault at that place, in the unit that `phrase` prints
    places: tuple[str, ...]
    phrase: str  # with {place} and {size}
    evidence: float = 1.0  # 0 = nothing to judge by .. 1 = fully founded

    def comment(self, hypothesis: int) -> str:
        """The worst fault of one hypothesis, in words."""
        return self.phrase.format(place=self.places[self.place[hypothesis]], size=self.size[hypothesis])

    def instead(self, other: "Finding", chosen: NDArray[np.bool_]) -> "Finding":
        """The other finding where chosen (G,), this one elsewhere; both of the same check."""
        return replace(
            self,
            penalty=np.where(chosen, other.penalty, self.penalty),
            severity=np.where(chosen, other.severity, self.severity),
            place=np.where(chosen, other.place, self.place),
            size=np.where(chosen, other.size, self.size),
        )


def robust(fault: ArrayLike, half: float) -> Floats:
    """Geman-McClure: fault^2 / (fault^2 + half^2). 0 at no fault, 1/2 at `half`, never above 1.

    Source: Geman and McClure 1987. One wild place then costs no more than any other plainly wrong one.
    """
    squared = np.square(np.asarray(fault, dtype=np.float64))
    return squared / (squared + half**2)


def weigh(
    faults: Floats,
    weights: Floats,
    half: float,
    places: Sequence[str],
    phrase: str,
    *,
    enough: float = 1.0,
    shown: float = 1.0,
) -> Finding:
    """Finding from faults (G, K) at K places.

        penalty = sum_k w_k robust(fault_k) / sum_k w_k,    severity = max_k min(w_k, 1) robust(fault_k)

    Args:
        faults: size of the fault at each place, in one physical unit; the sign has no part.
        weights: (K,), how much each place tells; visibility of the evidence times importance.
        half: the fault that counts a half, same unit.
        places: K names.
        phrase: sentence with {place} and {size}.
        enough: sum of weights from which on the check counts fully; below it, in proportion.
        shown: factor from the unit of `faults` to the unit in the phrase.
    """
    weights = np.asarray(weights, dtype=np.float64)
    total = weights.sum()
    counted = robust(faults, half)
    worth = counted * np.minimum(weights, 1.0)
    place = worth.argmax(1)
    rows = np.arange(len(faults))
    return Finding(
        penalty=(counted * weights).sum(1) / max(total, 1e-12),
        severity=worth[rows, place],
        place=place,
        size=np.abs(faults[rows, place]) * shown,
        places=tuple(places),
        phrase=phrase,
        evidence=float(min(total / enough, 1.0)),
    )
