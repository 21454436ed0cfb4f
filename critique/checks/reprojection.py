"""Do the projected keypoints lie on the landmarks?"""

import numpy as np
from numpy.typing import NDArray

from critique.checks.finding import Finding, weigh
from critique.checks.landmarks import IMPORTANCE, NAMES, SWAPPED, forward, landmarks_px, project, visibility
from storage.records import DrawnGroup

HALF = 0.1
"""Distance that gives half of the full penalty, as a share of the crop's side: about a forearm's length."""

_STRAIGHT = np.arange(len(NAMES))
Floats = NDArray[np.float64]

SWAP_PENALTY = 0.02
"""Penalty for swapping the detector's left and right: less than that of one clearly wrong wrist."""


def reprojection(drawn: DrawnGroup) -> Finding:
    """Distance between projected keypoints and landmarks, px, weighted by visibility and importance.

    The detector often confuses left and right of people seen from behind (2 of 4 trial renders). So a hypothesis that
    turns its back to the camera is compared with both labellings and keeps the better one, at a small penalty. One that
    faces the camera is not, because there the detector is reliable.
    """
    side = float(drawn.group.person.crop[2])

    def against(order: NDArray[np.intp]) -> Finding:
        phrase = "{place} {size:.0f} px off the photograph's"
        return weigh(*_distances(drawn, order), HALF, NAMES, phrase, enough=4.0, shown=side)

    straight, swapped = against(_STRAIGHT), against(SWAPPED)
    swapped.penalty[:] = np.minimum(swapped.penalty + SWAP_PENALTY, 1.0)
    return straight.instead(swapped, _away(drawn) & (swapped.penalty < straight.penalty))


def mean_distance(drawn: DrawnGroup) -> tuple[Floats, float]:
    """(G,) weighted mean distance of keypoints to landmarks, share of the crop's side, and its evidence 0..1.

    Hypotheses that face away are compared with both labellings here too.
    """
    (straight, weights), (swapped, other) = (_distances(drawn, order) for order in (_STRAIGHT, SWAPPED))
    total = max(weights.sum(), 1e-12)
    found = straight @ weights / total
    found = np.where(_away(drawn), np.minimum(found, swapped @ other / total), found)
    return found, float(min(total / 4.0, 1.0))


def _distances(drawn: DrawnGroup, order: NDArray[np.intp]) -> tuple[Floats, Floats]:
    """Distances (G, 23) to the landmarks in that order, share of the crop's side, and their weights (23,)."""
    person = drawn.group.person
    away = np.linalg.norm(project(drawn.group.keypoints, person) - landmarks_px(person)[order], axis=-1)
    return away / float(person.crop[2]), visibility(person)[order] * IMPORTANCE


def _away(drawn: DrawnGroup) -> NDArray[np.bool_]:
    """(G,) whether the chest looks away from the camera."""
    keypoints = drawn.group.keypoints
    return (forward(keypoints) * keypoints.mean(1)).sum(-1) > 0
