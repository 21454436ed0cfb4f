"""A record's points by our names: 2-D keypoints as landmarks for critics, joints in space as truth."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from hmr.body.skeleton import EVAL_14, JOINT_NAMES
from storage.sources.joint_sets import plain_name

LANDMARKS = {
    "nose": 0, "left_eye": 2, "right_eye": 5, "left_ear": 7, "right_ear": 8, "left_shoulder": 11, "right_shoulder": 12,
    "left_elbow": 13, "right_elbow": 14, "left_wrist": 15, "right_wrist": 16, "left_hip": 23, "right_hip": 24,
    "left_knee": 25, "right_knee": 26, "left_ankle": 27, "right_ankle": 28, "left_heel": 29, "right_heel": 30,
    "left_big_toe": 31, "right_big_toe": 32,
}  # fmt: skip
"""Number of a point among BlazePose's 33."""
LEAST_JOINTS = 8
"""Joints of the 14 of MPJPE that a person must have to be measured."""


def landmarks_of(record: Mapping[str, Any]) -> Float[np.ndarray, "33 3"] | None:
    """2-D keypoints of a record by BlazePose's numbers: x, y (px), confidence 0-1 (0 = none); None without any.

    Where a set has several points of one name, the first that is given counts.
    """
    if record["kp2d"] is None or record["kp2d_names"] is None:
        return None
    names = record["kp2d_names"].split(",")
    places = np.asarray(record["kp2d"], np.float32).reshape(len(names), 2)
    sure = _confidence(record, places)
    found = np.zeros((33, 3), np.float32)
    for name, place, value in zip(names, places, sure):
        number = LANDMARKS.get(plain_name(name))
        if number is not None and value > 0 and found[number, 2] == 0:
            found[number] = (*place, value)
    return found if found[:, 2].any() else None


def _confidence(record: Mapping[str, Any], places: Float[np.ndarray, "j 2"]) -> Float[np.ndarray, " j"]:
    sure = np.asarray(np.isfinite(places).all(1), np.float32)
    if record["kp2d_conf"] is not None:
        sure *= np.clip(np.asarray(record["kp2d_conf"], np.float32), 0, 1)
    if record["kp2d_vis"] is not None:
        sure *= np.asarray(record["kp2d_vis"]) != 0
    return np.asarray(np.nan_to_num(sure), np.float32)


def joints_of(record: Mapping[str, Any]) -> Float[np.ndarray, "29 3"]:
    """Joints in space of a record by our names, metres, camera frame or about a root; NaN = no label.

    A joint of another set has the place that this set gives it: nothing is converted.
    """
    found = np.full((len(JOINT_NAMES), 3), np.nan, np.float32)
    if record["kp3d"] is None or record["kp3d_names"] is None:
        return found
    names = record["kp3d_names"].split(",")
    places = np.asarray(record["kp3d"], np.float32).reshape(len(names), 3)
    valid = np.ones(len(names), bool) if record["kp3d_valid"] is None else np.asarray(record["kp3d_valid"], bool)
    for exact in (True, False):  # a set's own name first, then those that name their regressor
        for name, place, given in zip(names, places, valid):
            plain = name if exact else plain_name(name)
            if given and plain in JOINT_NAMES and np.isnan(found[k := JOINT_NAMES.index(plain)]).any():
                found[k] = place
    return found


def measurable(joints: Float[np.ndarray, "29 3"]) -> bool:
    """Whether enough joints of MPJPE, and a root, are known."""
    known = np.asarray(np.isfinite(joints).all(1))
    return bool(known[list(EVAL_14)].sum() >= LEAST_JOINTS and (known[0] or known[1:3].all()))


def names_told(names: Sequence[str | None]) -> str:
    """Texts that records share, for a table: each once."""
    return ", ".join(dict.fromkeys(name for name in names if name)) or "not told"
