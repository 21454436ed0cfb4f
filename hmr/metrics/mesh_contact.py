"""Two people's meshes: who touches whom, and how deep one is inside the other.

These measures are OURS, made for HI4D: no published number compares with them. Metres in, millimetres out.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.spatial import KDTree

TOUCHING = 0.02
"""Metres within which a vertex counts as touching the other mesh."""
INSIDE = 0.5
"""Winding number above which a point is inside a closed mesh."""
POINTS = 64
"""Points whose solid angles are summed at once: 64 x 13,776 triangles take 60 MB."""


class ContactScore(NamedTuple):
    """Agreement of predicted with labelled contact, 0..1; NaN where it is undefined."""

    precision: float
    recall: float
    f1: float


class Penetration(NamedTuple):
    """How much of one person is inside the other."""

    share: float  # 0..1, of the vertices
    depth_mm: float  # of the deepest vertex, to the other's nearest vertex; 0 if none is inside


def touching(
    vertices: Float[np.ndarray, "vertex 3"], other: Float[np.ndarray, "other 3"], within: float = TOUCHING
) -> Bool[np.ndarray, " vertex"]:
    """Which vertices lie nearer than `within` metres to a vertex of the other mesh."""
    return KDTree(other).query(vertices, distance_upper_bound=within)[0] < within


def contact_score(predicted: Bool[np.ndarray, " vertex"], labelled: Bool[np.ndarray, " vertex"]) -> ContactScore:
    """Precision, recall and F1 of the vertices in contact."""
    right, said, true = (predicted & labelled).sum(), predicted.sum(), labelled.sum()
    ratio = [float(a / b) if b else float("nan") for a, b in ((right, said), (right, true), (2 * right, said + true))]
    return ContactScore(*ratio)


def winding_numbers(
    points: Float[np.ndarray, "point 3"],
    vertices: Float[np.ndarray, "vertex 3"],
    faces: Int[np.ndarray, "face 3"],
) -> Float[np.ndarray, " point"]:
    """How often a closed mesh winds about each point: 1 inside, 0 outside (its triangles counter-clockwise from there).

    The sum of the triangles' solid angles over 4 pi. Source: Van Oosterom and Strackee 1983, "The solid angle of a
    plane triangle"; Jacobson et al. 2013, "Robust inside-outside segmentation using generalized winding numbers".
    """
    corners = np.asarray(vertices, np.float64)[faces]
    found = np.empty(len(points))
    for start in range(0, len(points), POINTS):
        a, b, c = np.moveaxis(corners[None] - np.asarray(points[start : start + POINTS])[:, None, None], 2, 0)
        la, lb, lc = (np.linalg.norm(side, axis=-1) for side in (a, b, c))
        volume = (a * np.cross(b, c)).sum(-1)
        rest = la * lb * lc + (a * b).sum(-1) * lc + (b * c).sum(-1) * la + (c * a).sum(-1) * lb
        found[start : start + POINTS] = np.arctan2(volume, rest).sum(1) / (2 * np.pi)
    return found


def penetration(
    vertices: Float[np.ndarray, "vertex 3"],
    other: Float[np.ndarray, "other 3"],
    faces: Int[np.ndarray, "face 3"],
) -> Penetration:
    """How much of a mesh is inside the other one, whose triangles are `faces`.

    Only vertices within the other's bounding box are tested. The depth is measured to vertices, so it is a few
    millimetres more than to the surface.
    """
    near = np.flatnonzero(((vertices > other.min(0)) & (vertices < other.max(0))).all(1))
    within = near[np.abs(winding_numbers(vertices[near], other, faces)) > INSIDE] if len(near) else near
    depth = KDTree(other).query(vertices[within])[0].max() if len(within) else 0.0
    return Penetration(len(within) / len(vertices), 1000 * float(depth))
