"""Did the sampler draw limbs as long as those of the body?"""

import numpy as np
from numpy.typing import NDArray

from critique.checks.finding import Finding, weigh
from storage.records import DrawnGroup, Group

HALF = 0.15
"""Log ratio of lengths that gives half of the full penalty: about 15 % too long or too short."""

DATA_SCALE = 50.0
"""What the diffused vector is multiplied by (see `Group.latents`)."""

_SIDE = (("upper arm", 16, 18), ("forearm", 18, 20), ("thigh", 1, 4), ("shin", 4, 7))
_LIMBS = (
    ("trunk", 0, 12),
    ("shoulder line", 16, 17),
    *((f"left {name}", a, b) for name, a, b in _SIDE),
    *((f"right {name}", a + 1, b + 1) for name, a, b in _SIDE),
)
_NAMES = tuple(name for name, _, _ in _LIMBS)
_A, _B = np.array([a for _, a, _ in _LIMBS]), np.array([b for _, _, b in _LIMBS])


def limb_lengths(drawn: DrawnGroup) -> Finding:
    """Natural logarithm of the ratio of limb lengths: as drawn by the sampler, over those of the posed body.

    All hypotheses of a group share their betas, so the posed bodies have the same limb lengths. What differs is how far
    the drawn joints had to be stretched to fit, which separates a consistent sample from an inconsistent one.
    """
    group = drawn.group
    given = bool(np.isfinite(group.latents).all() and np.abs(group.latents[:, :87]).max() > 0)
    drawn_joints, posed = drawn_joints_of(group), group.joints.astype(np.float64)
    ratio = _lengths(drawn_joints) / _lengths(posed)
    weights = np.full(len(_LIMBS), float(given))
    phrase = "{place} drawn {size:.0f} % off the body's length"
    return weigh(np.abs(np.log(ratio)), weights, HALF, _NAMES, phrase, shown=100.0)


def drawn_joints_of(group: Group) -> NDArray[np.float64]:
    """(G, 29, 3) the sampler's joints, metres, camera frame, at the depth of the posed pelvis.

    The latents hold 50 (2 u - 1), 50 (2 v - 1) with u, v as shares of the crop, and 50 d with the depth d behind the
    pelvis in metres.
    """
    person = group.person
    fx, fy, cx, cy = person.camera.astype(np.float64)
    centre_x, centre_y, side = person.crop.astype(np.float64)
    latents = np.nan_to_num(group.latents[:, :87].astype(np.float64)).reshape(-1, 29, 3) / DATA_SCALE
    depth = np.maximum(latents[..., 2] + group.joints[:, :1, 2], 0.1)
    x, y = centre_x + latents[..., 0] * side / 2, centre_y + latents[..., 1] * side / 2
    return np.stack([(x - cx) * depth / fx, (y - cy) * depth / fy, depth], -1)


def _lengths(joints: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.maximum(np.linalg.norm(joints[:, _A] - joints[:, _B], axis=-1), 1e-3)
