"""The highest score that a hypothesis may get: a body that misses the person gets a low one, even if it is the best of
its group.

Scores are spread over each group, so they do not show whether the whole group is bad. Each score is therefore
multiplied by a ceiling, as a share of 100. It comes from two measures that are comparable across groups: the IoU of
silhouette and mask, and the mean distance of the keypoints to the landmarks. Of two hypotheses, the one with the lower
total and a ceiling at least as high keeps the higher score.
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
"""(IoU with the mask, highest score at it): linear between these points, constant outside them."""

DISTANCE = ((0.08, 100.0), (0.12, MISSED), (0.3, 10.0))
"""(Mean distance to the landmarks as a share of the crop's side, highest score at it), used like `IOU`."""


def ceilings(drawn: DrawnGroup, checks: Collection[str]) -> tuple[Floats, list[str]]:
    """(G,) highest scores 0-100, and for each hypothesis a text on how it misses the person ("" if it does not).

    checks: names of the checks that are on; the mask counts if `silhouette` is, the landmarks if `reprojection` is.
    Weak evidence lowers a ceiling in proportion.
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
