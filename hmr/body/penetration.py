"""How deep body parts pass through each other, from the joints alone: capsules about the limbs.

A capsule is every point within a radius of a segment. Two of them overlap by the sum of their radii less the
distance of their segments. Parts that touch in every pose (neighbours along a limb, thighs at the crotch) are
left out, by pair or by starting a capsule some way along its bone. A coarse measure, good for ranking; no
mesh is needed.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Part(NamedTuple):
    """One capsule: a stretch of the line between two joints."""

    name: str
    start: int  # joint of the 29 where the line starts
    end: int
    stretch: tuple[float, float]  # the part of the line that the capsule's segment covers, 0 = start, 1 = end
    radius: float  # as a share of the line's length


def _side(side: str, shift: int) -> tuple[Part, ...]:
    """The limbs of one side; the right joint of a pair is the left one plus 1."""
    return tuple(
        Part(f"{side} {name}", start + shift, end + shift, stretch, radius)
        for name, start, end, stretch, radius in (
            ("upper arm", 16, 18, (0.45, 1.0), 0.17),
            ("forearm", 18, 20, (0.0, 1.0), 0.15),
            ("hand", 20, 25, (0.2, 0.9), 0.15),
            ("thigh", 1, 4, (0.35, 1.0), 0.17),
            ("shin", 4, 7, (0.0, 1.0), 0.11),
            ("foot", 7, 27, (0.3, 0.9), 0.16),
        )
    )


PARTS = (
    Part("belly", 0, 9, (0.0, 1.0), 0.45),
    Part("chest", 9, 12, (0.0, 0.6), 0.40),
    Part("head", 15, 24, (0.2, 0.5), 0.55),
    *_side("left", 0),
    *_side("right", 1),
)
"""The capsules. Radii are shares of bone lengths, so the measure grows with the body."""

_NEIGHBOURS = {
    frozenset(pair)
    for side in ("left", "right")
    for pair in (
        (f"{side} hand", f"{side} forearm"),
        (f"{side} forearm", f"{side} upper arm"),
        (f"{side} upper arm", "chest"),
        (f"{side} upper arm", "head"),
        (f"{side} thigh", "belly"),
        (f"{side} thigh", f"{side} shin"),
        (f"{side} shin", f"{side} foot"),
        ("chest", "belly"),
        ("chest", "head"),
    )
}
PAIRS = np.array(
    [
        (a, b)
        for a in range(len(PARTS))
        for b in range(a + 1, len(PARTS))
        if frozenset((PARTS[a].name, PARTS[b].name)) not in _NEIGHBOURS
    ]
)
"""(P, 2) the pairs of parts that are tested against each other."""


_START, _END = np.array([part.start for part in PARTS]), np.array([part.end for part in PARTS])
_FROM, _TO = np.array([part.stretch for part in PARTS]).T[..., None]
_RADIUS = np.array([part.radius for part in PARTS])


def self_penetration(joints: NDArray) -> Floats:
    """Deepest overlap of two parts that are not neighbours, metres, (G,), from joints (G, 29, 3), metres; 0 if none."""
    return np.maximum(overlaps(joints).max(-1), 0.0)


def overlaps(joints: NDArray) -> Floats:
    """(G, P) overlap of each of PAIRS, metres, from joints (G, 29, 3), metres; negative = the gap between the two."""
    joints = np.asarray(joints, dtype=np.float64)
    start, end = joints[:, _START], joints[:, _END]
    radius = _RADIUS * np.linalg.norm(end - start, axis=-1)
    first, last = start + _FROM * (end - start), start + _TO * (end - start)
    a, b = PAIRS.T
    apart = segment_distance(first[:, a], last[:, a], first[:, b], last[:, b])
    return radius[:, a] + radius[:, b] - apart


def segment_distance(p: Floats, p_end: Floats, q: Floats, q_end: Floats) -> Floats:
    """(...) shortest distance between segments p..p_end and q..q_end, each (..., 3), in the unit of the points.

    The closest points of the lines are found, the first is clamped to its segment, the second is taken
    closest to it and clamped, and the first once more closest to that. Source: Ericson 2005, Real-Time
    Collision Detection, section 5.1.9. Works for points and parallel segments too.
    """
    u, v, w = p_end - p, q_end - q, p - q
    uu, vv, uv, uw, vw = ((x * y).sum(-1) for x, y in ((u, u), (v, v), (u, v), (u, w), (v, w)))
    tiny = 1e-12
    s = np.clip((uv * vw - uw * vv) / np.maximum(uu * vv - uv * uv, tiny), 0, 1)
    t = np.clip((uv * s + vw) / np.maximum(vv, tiny), 0, 1)
    s = np.clip((uv * t - uw) / np.maximum(uu, tiny), 0, 1)
    return np.linalg.norm(w + s[..., None] * u - t[..., None] * v, axis=-1)
