"""How far are the joints from where people have them of whom the networks saw the same?"""

import numpy as np

from critique.checks.finding import Finding, robust
from critique.checks.landmarks import INDEX, visibility
from critique.expected_joints import MEASURED, expect, expected_error, seen_by_the_crop, shipped_regression
from storage.records import DrawnGroup

HALF = 0.4
"""Distance that makes a fault half as severe as can be, metres; where the regression's own spread is larger, that."""

WORST = 1.0
"""Expected error, metres, that gives the full penalty."""

_NAMES = (
    "right ankle", "right knee", "right hip", "left hip", "left knee", "left ankle", "right wrist", "right elbow",
    "right shoulder", "left shoulder", "left elbow", "left wrist", "neck", "head",
)  # fmt: skip
_SEEN = [INDEX[name] for name in _NAMES[:-2]]
_ENOUGH = 4.0  # of twelve limb joints, by visibility


def joints_in_space(drawn: DrawnGroup) -> Finding:
    """Expected MPJPE of each hypothesis, by a regression of joints on the landmarks of labelled people.

    World landmarks are biased, most of all in depth and where a limb is hidden; the regression has learned how
    (`expected_joints.py`), and how far to trust itself for each joint: where its spread is large, a distance counts
    less.
    """
    person = drawn.group.person
    expected, spread = expect(shipped_regression(), person)
    joints = seen_by_the_crop(drawn.group.joints, person)
    distance = np.linalg.norm(joints - expected, axis=-1)[:, list(MEASURED)]
    severity = robust(distance / np.maximum(spread[list(MEASURED)], HALF), 1.0)
    place = severity.argmax(1)
    rows = np.arange(len(joints))
    return Finding(
        penalty=np.minimum(expected_error(joints, expected, spread) / WORST, 1.0),
        severity=severity[rows, place],
        place=place,
        size=100 * distance[rows, place],
        places=_NAMES,
        phrase="{place} {size:.0f} cm from where it should be in space",
        evidence=float(min(visibility(person)[_SEEN].sum() / _ENOUGH, 1.0)),
    )
