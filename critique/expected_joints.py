"""Where a person's joints are expected to be, from what the detector saw: a kernel regression in closed form.

    x = standardised landmarks and world landmarks (231 numbers)
    z(x) = [0.3 x, cos(x directions + phases), 1]                    random Fourier features (Rahimi and Recht 2007)
    expected joints = z(x) W,    log spread = z(x) S

W is the ridge regression of labelled people's joints on z. S is that of the logarithm of W's error on held-out people.
Joints are relative to the pelvis, metres, turned so that z is the ray through the middle of the crop: the detector sees
the crop alone, as if the camera looked straight at it. Needs numpy only; deploy/assets/build_scorer.py fits it.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from critique.checks.landmarks import turn_to_crop
from storage.records import Person

Floats = NDArray[np.float64]

JOINTS = 29
MEASURED = (8, 5, 2, 1, 4, 7, 21, 19, 17, 16, 18, 20, 12, 24)
"""The 14 joints of MPJPE."""
FARTHEST = 4.0
"""Largest crop coordinate: landmarks farther out are clipped to it, because the detector only guesses there."""
WILDEST = 5.0
"""Standard deviations at which a standardised input is clipped."""
LINEAR = 0.3
"""Weight of the inputs themselves next to the cosines."""

LANDMARK_COLUMNS = np.arange(231).reshape(33, 7)[:, [0, 1, 3]].ravel()
"""Input columns with u, v and visibility of the landmarks."""
DEPTH_COLUMNS = np.arange(231).reshape(33, 7)[:, [2, 4, 5, 6]].ravel()
"""Input columns with the landmarks' depth and the world landmarks."""


class JointRegression(NamedTuple):
    """The fitted regression."""

    mean: Floats  # (231,) of the inputs
    scale: Floats  # (231,) standard deviation of the inputs
    directions: Floats  # (231, h) random directions of the features
    phases: Floats  # (h,) radians
    joints: Floats  # (231 + h + 1, 87) W: weights for 29 x 3 coordinates, metres
    spreads: Floats  # (231 + h + 1, 29) S: weights for the log spread of 29 joints


def inputs(person: Person) -> Floats:
    """(231,) for each landmark: u, v, z in crop coordinates (-1..1 inside), visibility, world landmark in metres."""
    side = float(person.crop[2])
    marks = person.landmarks.astype(np.float64)
    places = (marks[:, :2] - person.crop[:2]) * 2 / side
    found = np.concatenate([places, marks[:, 2:3] * 2 / side, marks[:, 3:]], 1)
    details = np.concatenate([np.clip(found, -FARTHEST, FARTHEST), person.world_landmarks], 1)
    return np.nan_to_num(details).ravel().astype(np.float64)


def features(fit: JointRegression, details: Floats, hidden: NDArray[np.intp] | None = None) -> Floats:
    """(n, 231 + h + 1) features z(x) without unit, from inputs (n, 231).

    hidden: columns that are replaced by their mean, as if they were unknown.
    """
    standard = np.clip((details - fit.mean) / fit.scale, -WILDEST, WILDEST)
    if hidden is not None:
        standard[:, hidden] = 0.0
    waves = np.cos(standard @ fit.directions + fit.phases)
    return np.concatenate([LINEAR * standard, waves, np.ones((len(standard), 1))], 1)


def expect(fit: JointRegression, person: Person, hidden: NDArray[np.intp] | None = None) -> tuple[Floats, Floats]:
    """Expected joints (29, 3) relative to the pelvis and their spread (29,), both metres.

    hidden: input columns that are treated as unknown.
    """
    row = features(fit, inputs(person)[None], hidden)
    joints = (row @ fit.joints).reshape(JOINTS, 3)
    return joints - joints[0], np.exp((row @ fit.spreads)[0])


def seen_by_the_crop(joints: NDArray, person: Person) -> Floats:
    """(..., 29, 3) joints relative to the pelvis, turned so that z points into the crop; from joints in metres, camera
    frame.
    """
    about = joints.astype(np.float64) - joints[..., :1, :]
    return about @ turn_to_crop(person).T


def expected_error(joints: Floats, expected: Floats, spread: Floats) -> Floats:
    """(g,) expected MPJPE of hypotheses (g, 29, 3), mm: mean over 14 joints of sqrt(distance^2 + spread^2).

    joints and expected (29, 3) are relative to the pelvis, metres; spread (29,), metres.
    """
    chosen = list(MEASURED)
    squared = np.square(joints - expected).sum(-1) + np.square(spread)
    return 1000 * np.sqrt(squared)[:, chosen].mean(1)
