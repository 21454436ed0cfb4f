"""What a small judge reads of each hypothesis of a group: numbers that critics without a network's eyes compute anyway.

    10 checks           evidence x penalty / scale, the terms of the evidence critic's sum (critique/evidence.py)
    two totals          the same summed up with the weights of the evidence critic, and of the scorer (scorer.py)
    ceiling             how far the highest possible score is below 100 (critique/ceiling.py)
    distance, IoU       of keypoints to landmarks, of silhouette and mask: comparable across groups
    expected error      of the whole body and of five parts, by the scorer's regression (critique/expected_joints.py)
    consensus           distance to the group's mean body; which one started from zero noise

No feature sees the truth. The regression is the shipped one; its labelled people are of another split than any that is
judged here.
"""

import numpy as np
from numpy.typing import NDArray

from critique.ceiling import ceilings
from critique.checks.reprojection import mean_distance
from critique.checks.silhouette import overlap
from critique.evidence import CHECKS, SCALES, EvidenceSettings, check_table
from critique.expected_joints import MEASURED, expect, seen_by_the_crop
from critique.scorer import shipped_weights
from storage.records import DrawnGroup

Floats = NDArray[np.float64]

PARTS = {"legs": (8, 5, 4, 7), "hips": (2, 1), "shoulders": (17, 16), "arms": (21, 19, 18, 20), "head": (12, 24)}
"""Joints of MPJPE by part of the body."""

FEATURES = (
    *CHECKS, "evidence_total", "scorer_total", "ceiling", "keypoint_distance", "mask_iou", "outside", "expected_error",
    *(f"expected_{part}" for part in PARTS), "spread_of_expectation", "consensus", "zero_start",
)  # fmt: skip

UNIT = 40.0
"""Millimetres that count as one."""


def features(drawn: DrawnGroup) -> Floats:
    """(G, features) of a group whose numbers are all finite (see `critique.evidence.finite`); no unit, about 1 in size.

    The order of the columns is that of FEATURES; that of the rows is free.
    """
    group, person = drawn.group, drawn.group.person
    found = check_table(drawn)
    columns = [found[name] / SCALES[name] for name in CHECKS]
    weights = EvidenceSettings().active()
    scorer, joints = shipped_weights(), seen_by_the_crop(group.joints, person)
    expected, spread = expect(scorer.regression, person)
    errors = 1000 * np.sqrt(np.square(joints - expected).sum(-1) + np.square(spread)) / UNIT
    whole = errors[:, list(MEASURED)].mean(1)
    columns.append(np.sum([weight * found[name] / SCALES[name] for name, weight in weights.items()], 0))
    columns.append(whole + np.sum([weight * found[name] / UNIT for name, weight in scorer.checks.items()], 0))
    distance, seen = mean_distance(drawn)
    lies = overlap(drawn)
    columns += [1 - ceilings(drawn, tuple(CHECKS))[0] / 100, seen * distance / 0.05]
    columns += [lies.evidence * (1 - lies.iou) / 0.2, lies.evidence * lies.outside / 0.2]
    columns += [whole, *(errors[:, list(part)].mean(1) for part in PARTS.values())]
    apart = 1000 * np.linalg.norm(joints - joints.mean(0), axis=-1)[:, list(MEASURED)].mean(1) / UNIT
    doubt = np.full(len(group), 1000 * spread[list(MEASURED)].mean() / UNIT)
    return np.stack([*columns, doubt, apart, group.zero_start.astype(np.float64)], 1).astype(np.float64)
