"""A person whom a dataset points at: the detector looks where the record says, instead of searching the picture."""

from dataclasses import replace

import numpy as np
from jaxtyping import Float, UInt8

from hmr.detection.boxes import overlaps
from hmr.detection.keypoint_person import square_about
from hmr.detection.people import CROP_MARGIN, SMALLEST_CROP, FoundPerson, found_person, placed_look
from hmr.detection.pose_networks import Square, pose_networks
from hmr.detection.tile_search import LEAST_PERSON, near

WIDER = 1.25
"""Side of the square that is looked at over the longer side of the box."""
LEAST_OVERLAP = 0.3
"""Intersection over union with the record's box from which on the person found there is the record's."""
LEAST_MARKS = 6
"""Keypoints from which on they say where to look, rather than the box."""

NOBODY = "whom the detector does not see as a person"
ELSEWHERE = "at whose box the detector sees somebody else"


def labelled_person(
    pixels: UInt8[np.ndarray, "h w 3"],
    box: Float[np.ndarray, " 4"],
    marks: Float[np.ndarray, "33 3"] | None = None,
    margin: float = CROP_MARGIN,
) -> FoundPerson | str:
    """What the detector sees of the person in a box x0, y0, x1, y1 (px); or why it is not used, in words.

    marks: the dataset's keypoints by BlazePose's numbers: x, y (px), confidence. They turn and place the square that is
    looked at, and nothing else: all that is returned is what the networks see, as in a photograph without labels.
    """
    networks = pose_networks()
    given = 0 if marks is None else int((marks[:, 2] > 0).sum())
    square = _about_box(box) if marks is None or given < LEAST_MARKS else square_about(_as_landmarks(marks))
    seen = networks.landmarks(pixels, square)
    if seen.person >= LEAST_PERSON and not near(square, seen.better) and seen.better.side >= SMALLEST_CROP / 2:
        again = networks.landmarks(pixels, seen.better)
        seen = again if again.person >= seen.person else seen
    if seen.person < LEAST_PERSON:
        return NOBODY
    person = found_person(seen.person, seen, 1.0, pixels.shape, margin)
    if overlaps(person.box[None].astype(float), box[None].astype(float))[0, 0] < LEAST_OVERLAP:
        return ELSEWHERE
    there = seen.better if near(seen.square, seen.better) else seen.square
    return replace(person, second_look=placed_look(pose_networks(heavy=True).landmarks(pixels, there, mask=False), 1.0))


def _about_box(box: Float[np.ndarray, " 4"]) -> Square:
    low, high = box[:2], box[2:]
    x, y = (low + high) / 2
    return Square(float(x), float(y), max(WIDER * float((high - low).max()), SMALLEST_CROP), 0.0)


def _as_landmarks(marks: Float[np.ndarray, "33 3"]) -> Float[np.ndarray, "33 4"]:
    return np.concatenate([marks[:, :2], np.zeros((33, 1)), marks[:, 2:]], 1).astype(np.float32)
