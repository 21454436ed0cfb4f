"""Do the projected keypoints lie on the detector's landmarks?"""

import numpy as np

from critique.checks.finding import Finding, weigh
from critique.checks.landmarks import IMPORTANCE, NAMES, SWAPPED, forward, landmarks_px, project, visibility
from storage.records import DrawnGroup

HALF = 0.05
"""Distance that counts a half, as a share of the crop's side: about the width of an upper arm."""

SWAP_PENALTY = 0.02
"""Price of reading the detector's left as right: less than one plainly wrong wrist (about 0.08)."""


def reprojection(drawn: DrawnGroup) -> Finding:
    """Distance between projected keypoints and landmarks, px, weighted by visibility and importance.

    Seen from behind, the detector often takes left for right (2 of 4 trial renders). So a hypothesis that
    turns its back to the camera is read against both labellings and keeps the better, at a small price; one
    that faces the camera is not, for there the detector knows.
    """
    group = drawn.group
    person = group.person
    side = float(person.crop[2])
    projected = project(group.keypoints, person)
    photo, weights = landmarks_px(person), visibility(person)

    def against(order: np.ndarray | slice) -> Finding:
        distance = np.linalg.norm(projected - photo[order], axis=-1)
        phrase = "{place} {size:.0f} px off the photograph's"
        return weigh(
            distance / side, weights[order] * IMPORTANCE, HALF, NAMES, phrase, enough=4.0, shown=side
        )

    straight, swapped = against(slice(None)), against(SWAPPED)
    away = (forward(group.keypoints) * group.keypoints.mean(1)).sum(-1) > 0
    swapped.penalty[:] = np.minimum(swapped.penalty + SWAP_PENALTY, 1.0)
    return straight.instead(swapped, away & (swapped.penalty < straight.penalty))
