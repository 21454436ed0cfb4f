"""Do limbs and trunk, and the left and right side, have the depth order that the detector gives?"""

import numpy as np

from critique.checks.finding import Finding, weigh
from critique.checks.landmarks import HIPS, INDEX, SHOULDERS, as_the_crop_sees, visibility, world
from storage.records import DrawnGroup

HALF = 0.08
"""Depth on the wrong side, metres, that gives half of the full penalty."""

CLEAR = 0.10
"""Difference of the detector's depths, metres, from which on an order is clear; smaller ones count in proportion."""

_TRUNK = (*SHOULDERS, *HIPS)
_LIMBS = tuple(f"{side} {limb}" for limb in ("wrist", "elbow", "knee", "ankle") for side in ("left", "right"))
_PAIRS = ("shoulder", "hip", "elbow", "wrist", "knee", "ankle")
# Row k of _FIRST minus row k of _SECOND is one difference of depths.
_FIRST = np.zeros((len(_LIMBS) + len(_PAIRS) + 1, len(INDEX)))
_SECOND = np.zeros_like(_FIRST)
for _row, _name in enumerate(_LIMBS):
    _FIRST[_row, INDEX[_name]], _SECOND[_row, _TRUNK] = 1, 1 / len(_TRUNK)
for _row, _name in enumerate(_PAIRS, len(_LIMBS)):
    _FIRST[_row, INDEX[f"left {_name}"]] = _SECOND[_row, INDEX[f"right {_name}"]] = 1
_FIRST[-1, INDEX["nose"]], _SECOND[-1, [INDEX["left ear"], INDEX["right ear"]]] = 1, 0.5
_WORDS = (
    *((name, "the trunk") for name in _LIMBS),
    *((f"left {name}", f"right {name}") for name in _PAIRS),
    ("nose", "the ears"),
)


def depth_order(drawn: DrawnGroup) -> Finding:
    """How far, metres, each pair of points is in the wrong depth order.

    A pair counts more the clearer the detector's order is and the better both points are seen.
    """
    person = drawn.group.person
    seen = visibility(person)
    theirs = (_FIRST - _SECOND) @ world(person)[:, 2]
    ours = as_the_crop_sees(drawn)[..., 2] @ (_FIRST - _SECOND).T
    weights = np.where(_FIRST + _SECOND > 0, seen, 1.0).min(1) * np.minimum(np.abs(theirs) / CLEAR, 1.0)
    wrong = np.maximum(-np.sign(theirs) * ours, 0.0)
    places = [
        f"{first} should be {'nearer' if order < 0 else 'farther'} than {second}"
        for (first, second), order in zip(_WORDS, theirs)
    ]
    return weigh(wrong, weights, HALF, places, "{place} ({size:.0f} cm wrong)", enough=3.0, shown=100.0)
