"""How far are the keypoints from the detector's world landmarks, in axes of the camera?"""

import numpy as np

from critique.checks.finding import Finding, weigh
from critique.checks.landmarks import (
    IMPORTANCE,
    NAMES,
    as_the_crop_sees,
    segment_lengths,
    segment_weights,
    visibility,
    world,
)
from storage.records import DrawnGroup

HALF = 0.15
"""Distance that counts a half, metres."""

DEPTH_TRUST = 0.6
"""Share by which a difference in depth counts, beside one in the picture plane."""


def world_distance(drawn: DrawnGroup) -> Finding:
    """Distance of centred keypoints, metres; no rotation is taken out, since orientation is part of the
    question.

    Both are centred on their weighted mean. The detector's size is brought to the body's by the lengths of
    trunk and limbs, which no pose changes (a fit of the pose itself would shrink the bad hypotheses and so
    forgive them).
    """
    person = drawn.group.person
    weights = visibility(person) * IMPORTANCE
    ours, theirs = as_the_crop_sees(drawn), world(person)
    share = weights / max(weights.sum(), 1e-12)
    limbs = segment_weights(weights)
    scale = (segment_lengths(ours) @ limbs) / np.maximum(segment_lengths(theirs) @ limbs, 1e-6)
    scale = np.where(limbs.sum() > 0, np.clip(scale, 0.5, 2.0), 1.0)
    ours = ours - np.einsum("k,gkc->gc", share, ours)[:, None]
    theirs = (theirs - share @ theirs) * scale[:, None, None]
    distance = np.linalg.norm((ours - theirs) * (1, 1, DEPTH_TRUST), axis=-1)
    return weigh(
        distance,
        weights,
        HALF,
        NAMES,
        "{place} {size:.0f} cm from its place in depth and picture",
        enough=4.0,
        shown=100.0,
    )
