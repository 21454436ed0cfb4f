"""Keypoints that the user brings take the place of the detector's landmarks, person by person."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hmr.detection.people import FoundPerson

FARTHEST = 0.25
"""Mean distance, in sides of the person's crop, up to which keypoints belong to a found person."""


class Matched(NamedTuple):
    """Found people, with the user's keypoints in place of the detector's where they fit."""

    people: list[FoundPerson]  # those with the user's keypoints first
    described: int  # how many these are
    unmatched: list[NDArray[np.float32]]  # (33, 4) each: the user's keypoints that fit none of the found people


def keypoint_file(photograph: Path) -> Path | None:
    """The keypoint file beside a photograph, `<name>.json` or OpenPose's `<name>_keypoints.json`; None without one."""
    names = [f"{photograph.stem}{end}" for end in (".json", "_keypoints.json", ".JSON", "_keypoints.JSON")]
    # A name may be too long with its ending: os.path then returns False where Path raises.
    return next((file for name in names if os.path.isfile(file := photograph.with_name(name))), None)


def use_keypoints(found: Sequence[FoundPerson], brought: Sequence[NDArray[np.float32]]) -> Matched:
    """The found people, with x, y and visibility of each point replaced by the user's keypoint where there is one.

    brought: (33, 4) landmarks each, px, as `read_keypoints` returns them. Each goes to the nearest person not yet
    taken, at most FARTHEST away. Depth, world landmarks, mask and crop stay the detector's; people without the user's
    keypoints stay as they were found, after the others.
    """
    free, people, unmatched = list(found), [], []
    for landmarks in brought:
        known = landmarks[:, 3] > 0
        gaps = [
            float(np.linalg.norm((one.landmarks - landmarks)[known, :2], axis=1).mean() / one.crop[2]) for one in free
        ]
        if not gaps or min(gaps) > FARTHEST:
            unmatched.append(landmarks)
        else:
            people.append(with_keypoints(free.pop(int(np.argmin(gaps))), landmarks))
    return Matched([*people, *free], len(people), unmatched)


def with_keypoints(person: FoundPerson, landmarks: NDArray[np.float32]) -> FoundPerson:
    """The person with x, y (px) and visibility of each known one of (33, 4) landmarks in place of the detector's."""
    known = landmarks[:, 3] > 0
    mixed = person.landmarks.copy()
    mixed[known, :2], mixed[known, 3] = landmarks[known, :2], landmarks[known, 3]
    return replace(person, landmarks=mixed)
