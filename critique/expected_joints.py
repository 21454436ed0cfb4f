"""Where a person's joints are expected to be, from what the detector saw: a kernel regression in closed form.

    x = standardised landmarks and world landmarks (231 numbers)
    z(x) = [0.3 x, cos(x directions + phases), 1]                    random Fourier features (Rahimi and Recht 2007)
    expected joints = z(x) W,    log spread = z(x) S

W is the ridge regression of labelled people's joints on z. S is that of the logarithm of W's error on held-out people.
Joints are relative to the pelvis, metres, turned so that z is the ray through the middle of the crop: the detector sees
the crop alone, as if the camera looked straight at it. Where a second, larger network looked too, the same regression
reads what it saw, and both answers are averaged: they err apart. Needs numpy only; deploy/assets/build_scorer.py fits
it.
"""

from collections.abc import Iterator
from functools import lru_cache
from importlib import resources
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

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


@lru_cache(maxsize=1)
def shipped_tensors() -> dict[str, Floats]:
    """All tensors of assets/scorer.safetensors by name, read once per process: the regression's, and the scorer's."""
    with resources.as_file(resources.files("critique") / "assets" / "scorer.safetensors") as path:
        return {name: tensor.astype(np.float64) for name, tensor in load_file(path).items()}


@lru_cache(maxsize=1)
def shipped_regression() -> JointRegression:
    """The regression that is shipped."""
    return JointRegression(**{name: shipped_tensors()[name] for name in JointRegression._fields})


def looks(person: Person) -> Iterator[tuple[NDArray, NDArray]]:
    """Landmarks (33, 4) and world landmarks (33, 3) of the detector, and of the second look if there is one."""
    yield person.landmarks, person.world_landmarks
    if person.second_look is not None:
        yield person.second_look[:, :4], person.second_look[:, 4:]


def inputs(person: Person, landmarks: NDArray, world_landmarks: NDArray) -> Floats:
    """(231,) for each landmark of one look: u, v, z in crop coordinates (-1..1 inside), visibility, world landmark in
    metres; NaN = unknown: a landmark of visibility 0, and what is not finite.
    """
    side = float(person.crop[2])
    marks = landmarks.astype(np.float64)
    places = (marks[:, :2] - person.crop[:2]) * 2 / side
    found = np.concatenate([places, marks[:, 2:3] * 2 / side, marks[:, 3:]], 1)
    details = np.concatenate([np.clip(found, -FARTHEST, FARTHEST), world_landmarks], 1)
    return np.where((marks[:, 3:] > 0) & np.isfinite(details), details, np.nan).ravel()


def features(fit: JointRegression, details: Floats, hidden: NDArray[np.intp] | None = None) -> Floats:
    """(n, 231 + h + 1) features z(x) without unit, from inputs (n, 231). What is NaN is replaced by its mean.

    hidden: columns that are treated as unknown too.
    """
    standard = np.nan_to_num(np.clip((details - fit.mean) / fit.scale, -WILDEST, WILDEST))
    if hidden is not None:
        standard[:, hidden] = 0.0
    waves = np.cos(standard @ fit.directions + fit.phases)
    return np.concatenate([LINEAR * standard, waves, np.ones((len(standard), 1))], 1)


def expect(fit: JointRegression, person: Person, hidden: NDArray[np.intp] | None = None) -> tuple[Floats, Floats]:
    """Expected joints (29, 3) relative to the pelvis and their spread (29,), both metres: means over the looks.

    hidden: input columns that are treated as unknown.
    """
    rows = features(fit, np.stack([inputs(person, *look) for look in looks(person)]), hidden)
    joints = (rows @ fit.joints).reshape(-1, JOINTS, 3)
    return (joints - joints[:, :1]).mean(0), np.exp(rows @ fit.spreads).mean(0)


def seen_by_the_crop(joints: NDArray, person: Person) -> Floats:
    """(..., 29, 3) joints relative to the pelvis, turned so that z points into the crop; from joints in metres, camera
    frame.
    """
    about = joints.astype(np.float64) - joints[..., :1, :]
    return about @ turn_to_crop(person).T


def expected_error(joints: Floats, expected: Floats, spread: Floats) -> Floats:
    """(g,) expected MPJPE of hypotheses (g, 29, 3), metres: mean over 14 joints of sqrt(distance^2 + spread^2).

    joints and expected (29, 3) are relative to the pelvis, metres; spread (29,), metres.
    """
    chosen = list(MEASURED)
    squared = np.square(joints - expected).sum(-1) + np.square(spread)
    return np.sqrt(squared)[:, chosen].mean(1)
