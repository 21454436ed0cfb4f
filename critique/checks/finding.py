"""What a check returns, and how faults at many body parts become one penalty, robustly."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Finding:
    """One check's findings on the G hypotheses of a group."""

    penalty: Floats  # (G,) 0 = no fault .. 1 = the worst
    severity: Floats  # (G,) 0..1, of the worst single place (a joint, limb or pair)
    place: NDArray[np.intp]  # (G,) index of the worst place in `places`
    size: Floats  # (G,) fault at that place, in the unit that `phrase` prints
    places: tuple[str, ...]
    phrase: str  # with {place} and {size}
    evidence: float = 1.0  # 0 = no evidence .. 1 = full evidence

    def comment(self, hypothesis: int) -> str:
        """The worst fault of one hypothesis, as text."""
        return self.phrase.format(place=self.places[self.place[hypothesis]], size=self.size[hypothesis])

    def instead(self, other: "Finding", chosen: NDArray[np.bool_]) -> "Finding":
        """The other finding where `chosen` (G,) is true, this one elsewhere: penalties and severities (0 to 1), places,
        sizes.

        Both must come from the same check.
        """
        return replace(
            self,
            penalty=np.where(chosen, other.penalty, self.penalty),
            severity=np.where(chosen, other.severity, self.severity),
            place=np.where(chosen, other.place, self.place),
            size=np.where(chosen, other.size, self.size),
        )


def robust(fault: ArrayLike, half: float) -> Floats:
    """Geman-McClure function of faults: fault^2 / (fault^2 + half^2), same shape as `fault`, no unit.

    It is 0 at no fault, 1/2 at `half` (same unit as `fault`) and always below 1, so one extreme fault costs no more
    than any other large one. Source: Geman and McClure 1987.
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
    """Finding from faults (G, K) at K places (joints, limbs, pairs, ...).

        penalty = sum_k w_k robust(fault_k) / sum_k w_k,    severity = max_k min(w_k, 1) robust(fault_k)

    Args:
        faults: size of the fault at each place, in one physical unit; the sign does not count.
        weights: (K,), how much each place counts: visibility of the evidence times importance.
        half: the fault that gives half of the full penalty, same unit.
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
