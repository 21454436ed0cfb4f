"""A person whom a dataset points at: the detector looks where the record says, instead of searching the picture."""

from dataclasses import replace

import numpy as np
from jaxtyping import Float, UInt8

from hmr.detection.boxes import overlaps
from hmr.detection.keypoint_person import square_about
from hmr.detection.people import CROP_MARGIN, SMALLEST_CROP, FoundPerson, found_person, placed_look
from hmr.detection.pose_networks import Square, pose_networks
from hmr.detection.tile_search import near

WIDER = 1.25
"""Side of the square that is looked at over the longer side of the box."""
LEAST_OVERLAP = 0.3
"""Intersection over union with the record's box from which on the person found there is the record's."""
LEAST_SURE = 0.2
"""The landmark network's score below which nobody is there; lower than in a search, since somebody marked them."""
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
    looks = [networks.landmarks(pixels, square)]
    if not near(square, looks[0].better) and looks[0].better.side >= SMALLEST_CROP / 2:
        looks.append(networks.landmarks(pixels, looks[0].better))
    sure = [seen for seen in looks if seen.person >= LEAST_SURE]
    if not sure:
        return NOBODY
    people = [found_person(seen.person, seen, 1.0, pixels.shape, margin) for seen in sure]
    shared = overlaps(np.stack([one.box for one in people]).astype(float), box[None].astype(float))[:, 0]
    best = int(shared.argmax())  # a second look may have gone over to a neighbour
    if shared[best] < LEAST_OVERLAP:
        return ELSEWHERE
    there = sure[best].better if near(sure[best].square, sure[best].better) else sure[best].square
    second = pose_networks(heavy=True).landmarks(pixels, there, mask=False)
    return replace(people[best], second_look=placed_look(second, 1.0))


def _about_box(box: Float[np.ndarray, " 4"]) -> Square:
    low, high = box[:2], box[2:]
    x, y = (low + high) / 2
    return Square(float(x), float(y), max(WIDER * float((high - low).max()), SMALLEST_CROP), 0.0)


def _as_landmarks(marks: Float[np.ndarray, "33 3"]) -> Float[np.ndarray, "33 4"]:
    return np.concatenate([marks[:, :2], np.zeros((33, 1)), marks[:, 2:]], 1).astype(np.float32)
