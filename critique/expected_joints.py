"""Where one expects a person's joints to be, from what the detector saw: a kernel regression in closed form.

    x = standardised landmarks and world landmarks (231 numbers)
    z(x) = [0.3 x, cos(x directions + phases), 1]                    random Fourier features (Rahimi and Recht 2007)
    expected joints = z(x) W,    log spread = z(x) S

W is the ridge regression of labelled people's joints on z, S that of the logarithm of its error on people left out.
Joints are relative to the pelvis, metres, turned so that z is the ray through the middle of the crop: the detector
sees the crop alone, as if the camera looked straight at it. Numpy only; who fits it is deploy/assets/build_scorer.py.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from critique.checks.landmarks import turn_to_crop
from storage.records import Person

Floats = NDArray[np.float64]

JOINTS = 29
MEASURED = (8, 5, 2, 1, 4, 7, 21, 19, 17, 16, 18, 20, 12, 24)
"""The 14 joints that MPJPE is taken on."""
FARTHEST = 4.0
"""Crop coordinates beyond which a landmark is put at the border: the detector only guesses there."""
WILDEST = 5.0
"""Standard deviations at which an input is cut off."""
LINEAR = 0.3
"""Weight of the inputs themselves beside the cosines."""

LANDMARK_COLUMNS = np.arange(231).reshape(33, 7)[:, [0, 1, 3]].ravel()
"""Of the inputs: u, v and visibility of the landmarks."""
DEPTH_COLUMNS = np.arange(231).reshape(33, 7)[:, [2, 4, 5, 6]].ravel()
"""Of the inputs: the landmarks' depth and the world landmarks."""


class JointRegression(NamedTuple):
    """The fitted regression."""

    mean: Floats  # (231,) of the inputs
    scale: Floats  # (231,)
    directions: Floats  # (231, h)
    phases: Floats  # (h,)
    joints: Floats  # (231 + h + 1, 87)
    spreads: Floats  # (231 + h + 1, 29)


def inputs(person: Person) -> Floats:
    """(231,) per landmark u, v, z in crop coordinates (-1..1 inside), visibility, world landmark in metres."""
    side = float(person.crop[2])
    marks = person.landmarks.astype(np.float64)
    places = (marks[:, :2] - person.crop[:2]) * 2 / side
    found = np.concatenate([places, marks[:, 2:3] * 2 / side, marks[:, 3:]], 1)
    details = np.concatenate([np.clip(found, -FARTHEST, FARTHEST), person.world_landmarks], 1)
    return np.nan_to_num(details).ravel().astype(np.float64)


def features(fit: JointRegression, details: Floats, hidden: NDArray[np.intp] | None = None) -> Floats:
    """(n, 231 + h + 1) from inputs (n, 231); hidden columns take their mean, as if nothing were known of them."""
    standard = np.clip((details - fit.mean) / fit.scale, -WILDEST, WILDEST)
    if hidden is not None:
        standard[:, hidden] = 0.0
    waves = np.cos(standard @ fit.directions + fit.phases)
    return np.concatenate([LINEAR * standard, waves, np.ones((len(standard), 1))], 1)


def expect(fit: JointRegression, person: Person, hidden: NDArray[np.intp] | None = None) -> tuple[Floats, Floats]:
    """Expected joints (29, 3) about the pelvis and their spread (29,), metres."""
    row = features(fit, inputs(person)[None], hidden)
    joints = (row @ fit.joints).reshape(JOINTS, 3)
    return joints - joints[0], np.exp((row @ fit.spreads)[0])


def seen_by_the_crop(joints: NDArray, person: Person) -> Floats:
    """(..., 29, 3) joints, metres in the camera frame, about the pelvis and turned so that z looks into the crop."""
    about = joints.astype(np.float64) - joints[..., :1, :]
    return about @ turn_to_crop(person).T


def expected_error(joints: Floats, expected: Floats, spread: Floats) -> Floats:
    """(g,) MPJPE to expect of hypotheses (g, 29, 3), mm: mean over 14 joints of sqrt(distance^2 + spread^2)."""
    chosen = list(MEASURED)
    squared = np.square(joints - expected).sum(-1) + np.square(spread)
    return 1000 * np.sqrt(squared)[:, chosen].mean(1)
