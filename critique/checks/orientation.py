"""Does the body face and lean the same way as the detector's world landmarks?"""

import numpy as np
from numpy.typing import NDArray

from critique.checks.finding import Finding, weigh
from critique.checks.landmarks import HIPS, INDEX, SHOULDERS, as_the_crop_sees, forward, visibility, world
from storage.records import DrawnGroup

HALF = 45.0
"""Angle that gives half of the full penalty, degrees."""

_EARS = (INDEX["left ear"], INDEX["right ear"])
_PLACES = ("chest", "shoulder line", "hip line", "trunk", "face")


def orientation(drawn: DrawnGroup) -> Finding:
    """Angle, degrees, between five directions of the body and the detector's; each counts as well as it is seen."""
    person = drawn.group.person
    ours, theirs = _directions(as_the_crop_sees(drawn)), _directions(world(person))
    seen = visibility(person)
    trunk = min(seen[list(SHOULDERS + HIPS)])
    weights = np.array(
        [
            trunk,
            min(seen[list(SHOULDERS)]),
            min(seen[list(HIPS)]),
            trunk,
            min(seen[[INDEX["nose"], *_EARS]]),
        ]
    )
    cosine = (ours * theirs).sum(-1)
    angle = np.degrees(np.arccos(np.clip(cosine, -1, 1)))
    phrase = "{place} turned {size:.0f} degrees away from the photograph's"
    return weigh(angle, weights * (1, 1, 1, 1, 0.5), HALF, _PLACES, phrase, enough=2.0)


def _directions(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """(..., 5, 3) unit directions from keypoints (..., 23, 3)."""
    shoulders, hips, ears = (points[..., pair, :] for pair in (SHOULDERS, HIPS, _EARS))
    found = np.stack(
        [
            forward(points),
            shoulders[..., 0, :] - shoulders[..., 1, :],
            hips[..., 0, :] - hips[..., 1, :],
            shoulders.mean(-2) - hips.mean(-2),
            points[..., INDEX["nose"], :] - ears.mean(-2),
        ],
        axis=-2,
    )
    return found / np.maximum(np.linalg.norm(found, axis=-1, keepdims=True), 1e-9)
