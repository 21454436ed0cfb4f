"""How far are the keypoints from the world landmarks, relative to the hips and in camera axes?"""

import numpy as np

from critique.checks.finding import Finding, weigh
from critique.checks.landmarks import IMPORTANCE, NAMES, as_the_crop_sees, visibility, world
from storage.records import DrawnGroup

HALF = 0.4
"""Distance that gives half of the full penalty, metres."""

DEPTH_TRUST = 0.7
"""Weight of a difference in depth relative to one in the picture plane: networks estimate depth less well."""

_COUNTS = np.where(np.arange(len(NAMES)) < 17, IMPORTANCE, 0.0)  # no feet: the networks guess them from the shin


def world_distance(drawn: DrawnGroup) -> Finding:
    """Distance, metres, of keypoints to the world landmarks, both relative to the middle of the hips, as in MPJPE.

    No rotation or scale is removed: orientation and body height count too. Weights are the square root of visibility,
    because a network's estimate of a hidden limb is still worth something.
    """
    person = drawn.group.person
    weights = np.sqrt(visibility(person)) * _COUNTS
    distance = np.linalg.norm((as_the_crop_sees(drawn) - world(person)) * (1, 1, DEPTH_TRUST), axis=-1)
    phrase = "{place} {size:.0f} cm from its place in depth and picture"
    return weigh(distance, weights, HALF, NAMES, phrase, enough=4.0, shown=100.0)
