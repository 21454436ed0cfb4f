"""People on the ground: where a floor lies under a body, and how a body comes to rest on it.

A rigid body at rest stands on the face of its convex hull that lies under its centre of mass. The hull is that of
the joints and of some points of the skin (heels, seat, back, chest, knees) on which people sit, kneel or lie.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull, QhullError
from scipy.spatial.transform import Rotation

Floats = NDArray[np.float32]

FARTHEST_TURN = 18.0
"""Degrees by which a pose may be turned to rest; beyond that the person sits on something, or is in the air."""


class SkinPoint(NamedTuple):
    """A point of the skin that may touch the ground, fixed to a joint's frame."""

    joint: int
    offset: tuple[float, float, float]  # metres, in the rest pose's axes: left, up, front


GROUND_POINTS = (
    SkinPoint(7, (0.0, -0.06, -0.05)),  # heels
    SkinPoint(8, (0.0, -0.06, -0.05)),
    SkinPoint(10, (0.0, -0.03, 0.04)),  # balls of the feet
    SkinPoint(11, (0.0, -0.03, 0.04)),
    SkinPoint(0, (0.09, -0.06, -0.11)),  # seat
    SkinPoint(0, (-0.09, -0.06, -0.11)),
    SkinPoint(9, (0.0, 0.0, -0.12)),  # back and chest
    SkinPoint(9, (0.0, 0.0, 0.12)),
    SkinPoint(4, (0.0, 0.0, 0.06)),  # knees
    SkinPoint(5, (0.0, 0.0, 0.06)),
    SkinPoint(15, (0.0, 0.08, -0.10)),  # back of the head
)

# Share of the mass at each joint, after Winter 2009 (Biomechanics and Motor Control of Human Movement).
_MASS = np.zeros(29)
_MASS[[0, 9, 12, 15]] = 0.15, 0.25, 0.10, 0.08
_MASS[[1, 2]], _MASS[[4, 5]], _MASS[[7, 8]], _MASS[[18, 19]] = 0.05, 0.08, 0.03, 0.05


def ground_points(joints: Floats, rotations: Floats) -> Floats:
    """(n, 29 + points, 3) all points that may touch the ground, metres.

    joints (n, 29, 3) and rotations (n, 24, 3, 3) of every joint in the same frame, as `forward_kinematics` gives them.
    """
    carriers = [point.joint for point in GROUND_POINTS]
    offsets = np.array([point.offset for point in GROUND_POINTS], np.float32)
    skin = joints[:, carriers] + np.einsum("npij,pj->npi", rotations[:, carriers], offsets)
    return np.concatenate([joints, skin], 1)


def floor_height(joints: Floats, rotations: Floats, up: Floats) -> Floats:
    """(n,) height along `up` (n, 3) of the lowest point of each body, metres."""
    return np.einsum("npc,nc->np", ground_points(joints, rotations), up).min(1).astype(np.float32)


def settle(joints: Floats, rotations: Floats) -> Floats:
    """(n, 3, 3) rotation matrices that bring bodies (y up) to rest on the floor beneath their centre of mass.

    joints (n, 29, 3), metres, and rotations (n, 24, 3, 3), as in `ground_points`. The identity where a body would turn
    by more than FARTHEST_TURN: such people sit on something, or are in the air.
    """
    turns = np.tile(np.eye(3, dtype=np.float32), (len(joints), 1, 1))
    centres = np.einsum("j,njc->nc", _MASS, joints)
    for i, (points, centre) in enumerate(zip(ground_points(joints, rotations), centres)):
        turns[i] = _to_rest(points, centre)
    return turns


def _to_rest(points: Floats, centre: NDArray) -> NDArray:
    try:
        hull = ConvexHull(points)
    except QhullError:  # flat: nothing to rest on
        return np.eye(3)
    normals, offsets = hull.equations[:, :3], hull.equations[:, 3]
    falls = -normals[:, 1]  # how directly each face looks down
    with np.errstate(divide="ignore", invalid="ignore"):
        drop = np.where(falls > 1e-6, -(normals @ centre + offsets) / falls, np.inf)
    under = normals[drop.argmin()]
    angle = np.degrees(np.arccos(np.clip(-under[1], -1, 1)))
    if angle > FARTHEST_TURN or angle < 1e-3:
        return np.eye(3)
    axis = np.cross(under, (0.0, -1.0, 0.0))
    return Rotation.from_rotvec(axis / np.linalg.norm(axis) * np.radians(angle)).as_matrix()
