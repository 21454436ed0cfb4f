"""A person whom the user's keypoints give and the detector missed: the networks look where the keypoints are."""

import math
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hmr.detection.brought_keypoints import with_keypoints
from hmr.detection.people import CROP_MARGIN, SMALLEST_CROP, FoundPerson, found_person, person_crop, placed_look
from hmr.detection.pose_networks import Square, pose_networks

SHOULDERS, HIPS = [11, 12], [23, 24]
WIDER = 1.6  # side of the square that is looked at over that of the keypoints
FAR = 0.2  # of the square's side: keypoints farther than this from the network's landmarks are doubted


class Placed(NamedTuple):
    """The person, and a doubt in words if the picture does not support the keypoints; empty = none."""

    person: FoundPerson
    doubt: str


def person_at(pixels: NDArray[np.uint8], landmarks: NDArray[np.float32], margin: float = CROP_MARGIN) -> Placed:
    """A person at the user's (33, 4) landmarks, px, in a (h, w, 3) picture; the networks fill in what these lack."""
    square = square_about(landmarks)
    seen = pose_networks().landmarks(pixels, square)
    known = landmarks[:, 3] > 0
    apart = float(np.linalg.norm((seen.points - landmarks)[known, :2], axis=1).mean()) / square.side
    person = with_keypoints(found_person(seen.person, seen, 1.0, pixels.shape, margin), landmarks)
    crop = person_crop(person.landmarks, margin)
    second = placed_look(pose_networks(heavy=True).landmarks(pixels, square), 1.0)
    again = found_person(seen.person, replace(seen, points=person.landmarks), 1.0, pixels.shape, margin)
    doubt = ""
    if seen.person < 0.3 or apart > FAR:
        doubt = "the detector sees nobody like that there: are x and y those of this very picture?"
    return Placed(replace(again, crop=crop, second_look=second), doubt)


def square_about(landmarks: NDArray[np.float32]) -> Square:
    """The square, px, about the known ones of (33, 4) landmarks, turned so that hips to shoulders point up if known."""
    known = landmarks[landmarks[:, 3] > 0, :2].astype(float)
    low, high = known.min(0), known.max(0)
    side = max(WIDER * float((high - low).max()), SMALLEST_CROP)
    angle = 0.0
    if (landmarks[SHOULDERS + HIPS, 3] > 0).all():
        right, down = landmarks[SHOULDERS, :2].mean(0) - landmarks[HIPS, :2].mean(0)
        angle = math.atan2(float(right), -float(down))
    x, y = (low + high) / 2
    return Square(float(x), float(y), side, angle)
