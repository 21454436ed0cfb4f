"""Keypoints that the user brings take the place of the detector's landmarks, person by person."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hmr.people import FoundPerson

FARTHEST = 0.25
"""Mean distance, in sides of the person's crop, up to which keypoints belong to a found person."""


class Matched(NamedTuple):
    """Found people with the user's keypoints, and how many of the user's people were not found."""

    people: list[FoundPerson]
    unmatched: int


def keypoint_file(photograph: Path) -> Path | None:
    """The user's keypoints of a photograph: `<name>.json` or OpenPose's `<name>_keypoints.json` beside it."""
    names = (f"{photograph.stem}.json", f"{photograph.stem}_keypoints.json")
    return next((file for name in names if (file := photograph.with_name(name)).is_file()), None)


def use_keypoints(found: Sequence[FoundPerson], brought: Sequence[NDArray[np.float32]]) -> Matched:
    """The found people whom the user's keypoints describe, with x, y and visibility of every known point replaced.

    brought: (33, 4) landmarks each, as `read_keypoints` gives them. Each goes to the nearest person not yet taken,
    at most FARTHEST away. Depth, world landmarks, mask and crop stay the detector's; people whom the user did not
    bring are left out.
    """
    free, people = list(found), []
    for landmarks in brought:
        known = landmarks[:, 3] > 0
        gaps = [
            float(np.linalg.norm((one.landmarks - landmarks)[known, :2], axis=1).mean() / one.crop[2]) for one in free
        ]
        if not gaps or min(gaps) > FARTHEST:
            continue
        one = free.pop(int(np.argmin(gaps)))
        mixed = one.landmarks.copy()
        mixed[known, :2], mixed[known, 3] = landmarks[known, :2], landmarks[known, 3]
        people.append(replace(one, landmarks=mixed))
    return Matched(people, len(brought) - len(people))
