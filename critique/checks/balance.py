"""Does a standing body stand over its feet?"""

import numpy as np

from critique.checks.finding import Finding, weigh
from critique.checks.landmarks import INDEX, visibility, world
from storage.records import DrawnGroup, Person

HALF = 0.15
"""Distance of the centre of mass past the feet, metres, that gives half of the full penalty."""

FOOT = 0.12
"""How far support reaches around the line between the feet, metres: half a foot's length."""

STANDING = 0.55
"""Smallest height difference of hip and ankle, metres in the world landmarks, for a leg that stands."""

# Share of the mass at each joint, after Winter 2009 (Biomechanics and Motor Control of Human Movement).
_MASS = np.zeros(29)
_MASS[[0, 9, 12, 15]] = 0.15, 0.25, 0.10, 0.08
_MASS[[1, 2]], _MASS[[4, 5]], _MASS[[7, 8]], _MASS[[18, 19]] = 0.05, 0.08, 0.03, 0.05


def balance(drawn: DrawnGroup) -> Finding:
    """Horizontal distance from the centre of mass to the line between the feet, metres past FOOT.

    A weak check, and only for people who stand on both feet according to the detector: gravity is assumed to point
    along the picture's y axis, so a tilted camera looks like a lean (the same for all hypotheses).
    """
    joints = drawn.group.joints.astype(np.float64)
    mass = np.einsum("j,gjc->gc", _MASS, joints)[:, [0, 2]]
    left, right = (joints[:, [ankle, toe]].mean(1)[:, [0, 2]] for ankle, toe in ((7, 27), (8, 28)))
    line = right - left
    share = ((mass - left) * line).sum(-1) / np.maximum((line**2).sum(-1), 1e-9)
    nearest = left + np.clip(share, 0, 1)[:, None] * line
    past = np.maximum(np.linalg.norm(mass - nearest, axis=-1) - FOOT, 0)[:, None]
    phrase = "{place} {size:.0f} cm past the feet"
    return weigh(past, np.array([standing(drawn.group.person)]), HALF, ("balance is",), phrase, shown=100.0)


def standing(person: Person) -> float:
    """0..1: how surely the detector sees that the person stands on both feet (0 = no, 1 = surely)."""
    seen = visibility(person)
    hips, ankles = ([INDEX[f"{side} {point}"] for side in ("left", "right")] for point in ("hip", "ankle"))
    heights = world(person)[:, 1]
    drop = heights[ankles] - heights[hips]
    return float(seen[[*hips, *ankles]].min()) if (drop > STANDING).all() else 0.0
