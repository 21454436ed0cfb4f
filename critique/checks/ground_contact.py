"""Do both feet of a standing person touch the same ground plane?"""

import numpy as np

from critique.checks.balance import standing
from critique.checks.finding import Finding, weigh
from critique.checks.landmarks import INDEX
from storage.records import DrawnGroup

HALF = 0.08
"""Height difference of the feet, metres past what a tilted camera explains, that gives half of the full penalty."""

PITCH, ROLL = np.radians(20.0), np.radians(5.0)
"""How far a camera may pitch and roll: heights are measured along the picture's y axis."""

_FEET = np.array([[INDEX[f"{side} {point}"] for point in ("ankle", "toes", "heel")] for side in ("left", "right")])


def ground_contact(drawn: DrawnGroup) -> Finding:
    """Difference in height of the two feet's lowest points, metres, past what the camera's tilt explains.

        fault = max(|dy| - |dz| tan(PITCH) - |dx| tan(ROLL), 0)

    It counts as much as both feet are seen to stand (`standing`). The higher foot is named as the one that floats.
    """
    feet = drawn.group.keypoints.astype(np.float64)[:, _FEET]  # (G, 2, 3, 3)
    lowest = feet[..., 1].argmax(-1)[..., None, None]
    step = np.diff(np.take_along_axis(feet, lowest, 2)[:, :, 0], axis=1)[:, 0]  # left to right
    explained = np.abs(step[:, 2]) * np.tan(PITCH) + np.abs(step[:, 0]) * np.tan(ROLL)
    past = np.maximum(np.abs(step[:, 1]) - explained, 0)
    floats = np.where(step[:, 1:2] > 0, (1, 0), (0, 1)) * past[:, None]  # y points down
    places, phrase = ("left foot", "right foot"), "{place} floats {size:.0f} cm above the other"
    return weigh(floats, np.full(2, standing(drawn.group.person)), HALF, places, phrase, enough=2.0, shown=100.0)
