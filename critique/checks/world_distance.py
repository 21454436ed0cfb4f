"""How far are the keypoints from where the world landmarks say they are, about the hips and in axes of the camera?"""

import numpy as np

from critique.checks.finding import Finding, weigh
from critique.checks.landmarks import IMPORTANCE, NAMES, as_the_crop_sees, visibility, world
from storage.records import DrawnGroup

HALF = 0.4
"""Distance that counts a half, metres."""

DEPTH_TRUST = 0.7
"""Share by which a difference in depth counts, beside one in the picture plane: the networks guess it worse."""

_COUNTS = np.where(np.arange(len(NAMES)) < 17, IMPORTANCE, 0.0)  # no feet: the networks guess them from the shin


def world_distance(drawn: DrawnGroup) -> Finding:
    """Distance of keypoints, metres, both about the middle of the hips, as errors are measured.

    No rotation and no size is taken out: orientation is part of the question, and so is the body's height. Weights are
    the square root of visibility: where a limb is hidden, what the networks suppose is still worth something.
    """
    person = drawn.group.person
    weights = np.sqrt(visibility(person)) * _COUNTS
    distance = np.linalg.norm((as_the_crop_sees(drawn) - world(person)) * (1, 1, DEPTH_TRUST), axis=-1)
    phrase = "{place} {size:.0f} cm from its place in depth and picture"
    return weigh(distance, weights, HALF, NAMES, phrase, enough=4.0, shown=100.0)
