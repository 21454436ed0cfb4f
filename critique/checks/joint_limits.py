"""Can a human body bend like this? Knees and elbows bend one way; every joint has a range.

Ranges are wide: they exclude what hardly anybody can do, not what is rare. Degrees, after the usual tables
of range of motion (American Academy of Orthopaedic Surgeons 1965), widened by 15 to 30, since the body's
joints share what a single anatomical joint does (shoulder and collar, three of the spine).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from critique.checks.finding import Finding, weigh
from storage.records import DrawnGroup

Floats = NDArray[np.float64]

HALF = 20.0
"""Degrees past a limit that give half of the full penalty."""


class Limit(NamedTuple):
    """The range of one joint, in the rest frame: T-pose, y up, facing +z, left hand at +x. Degrees."""

    name: str
    joint: int
    bone: tuple[float, float, float]  # rest direction of the bone that the joint moves
    twist: float  # largest rotation about the bone, in either direction
    centre: tuple[float, float, float]  # middle of the cone in which the bone may point
    cone: float  # half angle of that cone
    bends: tuple[float, float, float] | None = None  # direction in which a hinge bends the bone; None: no hinge
    bend: tuple[float, float] = (0, 0)  # smallest and largest bend of a hinge
    sideways: float = 0  # largest angle of a hinge's bone out of its plane


def _both(left: Limit) -> tuple[Limit, Limit]:
    """The limit of a left joint, and its mirror image for the right one, the next joint of the tree."""
    mirrored = {
        name: (-vector[0], *vector[1:])
        for name in ("bone", "centre", "bends")
        if (vector := getattr(left, name)) is not None
    }
    right = left._replace(name=f"right {left.name}", joint=left.joint + 1, **mirrored)
    return left._replace(name=f"left {left.name}"), right


_UP, _DOWN, _OUT, _AHEAD, _BACK = (0, 1, 0), (0, -1, 0), (1, 0, 0), (0, 0, 1), (0, 0, -1)
_FOOT = (0, -0.35, 0.94)
LIMITS = (
    Limit("lower spine", 3, _UP, 40, _UP, 50),
    Limit("middle spine", 6, _UP, 40, _UP, 50),
    Limit("upper spine", 9, _UP, 40, _UP, 50),
    Limit("neck", 12, _UP, 70, _UP, 55),
    Limit("head", 15, _UP, 70, _UP, 55),
    *_both(Limit("hip", 1, _DOWN, 95, (0.25, -0.6, 0.75), 120)),
    *_both(Limit("knee", 4, _DOWN, 45, _DOWN, 180, _BACK, (-12, 160), 25)),
    *_both(Limit("ankle", 7, _FOOT, 50, _FOOT, 65)),
    *_both(Limit("collar", 13, _OUT, 60, _OUT, 50)),
    *_both(Limit("shoulder", 16, _OUT, 140, (0.62, -0.2, 0.76), 125)),
    *_both(Limit("elbow", 18, _OUT, 120, _OUT, 180, _AHEAD, (-15, 165), 50)),
    *_both(Limit("wrist", 20, _OUT, 80, _OUT, 90)),
)  # fmt: skip


def _rows(vectors: list) -> Floats:
    found = np.array(vectors, dtype=np.float64)
    return found / np.maximum(np.linalg.norm(found, axis=-1, keepdims=True), 1e-12)


_JOINT = np.array([limit.joint for limit in LIMITS])
_BONE, _CENTRE = _rows([limit.bone for limit in LIMITS]), _rows([limit.centre for limit in LIMITS])
_TWIST, _CONE = np.array([limit.twist for limit in LIMITS]), np.array([limit.cone for limit in LIMITS])
_HINGE = np.array([row for row, limit in enumerate(LIMITS) if limit.bends is not None])
_BENDS = _rows([LIMITS[row].bends for row in _HINGE])
_LEAST, _MOST = np.array([LIMITS[row].bend for row in _HINGE], dtype=np.float64).T
_SIDEWAYS = np.array([LIMITS[row].sideways for row in _HINGE])
_NORMAL = np.cross(_BONE[_HINGE], _BENDS)


def joint_limits(drawn: DrawnGroup) -> Finding:
    """Degrees by which each joint is past its range; all joints count alike, whatever the photograph shows."""
    past = degrees_past(drawn.group.pose)
    phrase = "{place} bent {size:.0f} degrees past its limit"
    return weigh(past, np.ones(len(LIMITS)), HALF, [limit.name for limit in LIMITS], phrase)


def degrees_past(pose: NDArray) -> Floats:
    """(G, J) degrees past the range of each of the J entries of LIMITS, from axis-angle (G, 24, 3), radians; 0 within
    it.
    """
    vector = pose[:, _JOINT].astype(np.float64)
    angle = np.linalg.norm(vector, axis=-1, keepdims=True)
    axis = vector / np.maximum(angle, 1e-12)
    along = (axis * _BONE).sum(-1, keepdims=True)
    cross = np.cross(axis, np.broadcast_to(_BONE, axis.shape))
    bone = _BONE * np.cos(angle) + cross * np.sin(angle) + axis * along * (1 - np.cos(angle))

    # Twist: the part of the rotation about its rest bone, from the quaternion (v, w) as 2 atan2(v . bone, w).
    twist = 2 * np.arctan2(along[..., 0] * np.sin(angle[..., 0] / 2), np.cos(angle[..., 0] / 2))
    twist = np.degrees(np.abs((twist + np.pi) % (2 * np.pi) - np.pi))
    swing = np.degrees(np.arccos(np.clip((bone * _CENTRE).sum(-1), -1, 1)))
    past = np.maximum(twist - _TWIST, 0) + np.maximum(swing - _CONE, 0)

    hinge = bone[:, _HINGE]
    bend = np.degrees(np.arctan2((hinge * _BENDS).sum(-1), (hinge * _BONE[_HINGE]).sum(-1)))
    sideways = np.degrees(np.arcsin(np.clip(np.abs((hinge * _NORMAL).sum(-1)), 0, 1)))
    past[:, _HINGE] += np.maximum(np.maximum(_LEAST - bend, bend - _MOST), 0) + np.maximum(sideways - _SIDEWAYS, 0)
    return past
