"""The most that a score may be: a body that misses the person is not praised, though it be the best of its group.

Scores that spread over a group say nothing of the group as a whole. So each is multiplied by a ceiling, a share of
100, from two measures that hold across groups: the silhouette's IoU with the mask, and the mean distance of the
keypoints to the landmarks. Of two hypotheses the one with the lesser total and no lower ceiling keeps the higher score.
"""

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from critique.checks.reprojection import mean_distance
from critique.checks.silhouette import overlap
from storage.records import DrawnGroup

Floats = NDArray[np.float64]

MISSED = 40.0
"""Highest score of a body that misses the person."""

IOU = ((0.2, 10.0), (0.5, MISSED), (0.7, 100.0))
"""IoU with the mask, and the highest score there; between them in proportion, beyond them as at the end."""

DISTANCE = ((0.08, 100.0), (0.12, MISSED), (0.3, 10.0))
"""Mean distance to the landmarks, share of the crop's side, and the highest score there."""


def ceilings(drawn: DrawnGroup, checks: Collection[str]) -> tuple[Floats, list[str]]:
    """(G,) highest scores 0-100, and for each hypothesis in what way it misses the person; "" where it does not.

    checks: those that are on; the mask counts with `silhouette`, the landmarks with `reprojection`. Weak evidence
    lowers a ceiling in proportion.
    """
    size = len(drawn.group)
    highest, words = np.full(size, 100.0), [""] * size
    if "reprojection" in checks:
        distance, evidence = mean_distance(drawn)
        highest = _between(distance, DISTANCE, evidence)
        side = float(drawn.group.person.crop[2])
        words = [f"misses the person: {side * d:.0f} px off on average" if h < MISSED else ""
                 for d, h in zip(distance, highest)]  # fmt: skip
    if "silhouette" in checks:
        lies = overlap(drawn)
        by_mask = _between(lies.iou, IOU, lies.evidence)
        for i in np.flatnonzero(by_mask < MISSED):
            covers, outside = 100 * lies.covered[i], 100 * lies.outside[i]
            words[i] = "misses the person: " + (
                f"covers {covers:.0f} % of them" if covers <= 100 - outside else f"{outside:.0f} % of it lies outside"
            )
        highest = np.minimum(highest, by_mask)
    return highest, words


def _between(measure: Floats, table: tuple[tuple[float, float], ...], evidence: float) -> Floats:
    at, highest = zip(*table)
    return 100 - evidence * (100 - np.interp(measure, at, highest))
