"""Finds the people in a photograph: box, landmarks in the picture and in metres, mask, square crop.

The landmarks are evidence, not ground truth: those of hidden limbs are guesses (their visibility says so), and
a person seen from behind may come back with left and right swapped.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hmr.detection.keypoint_file import KeypointFileError, read_keypoints
from hmr.detection.photograph import shrink
from hmr.detection.pose_networks import Landmarks, PoseNetworks, Square, pose_networks
from hmr.detection.resampling import resample_affine
from hmr.detection.tile_search import (
    FACE,
    LEAST_HEAD,
    LEAST_HEAD_IN_TILE,
    LEAST_PERSON,
    LONG_SIDE,
    MOST_OF_TILE,
    MOST_OF_WIDE_TILE,
    SURE,
    Find,
    Level,
    Refused,
    TileSearch,
    distinct,
    near,
    second_look,
    squares_about,
)

__all__ = ["LONG_SIDE", "FoundPerson", "KeypointFileError", "PersonFinder", "person_crop", "read_keypoints", "witness"]

MASK_SIDE = 64  # px
SMALLEST_CROP = 32.0  # px
CROP_MARGIN = 1.25  # side of the model crop over the longer side of the landmarks' box


@dataclass(frozen=True, eq=False)
class FoundPerson:
    """One person, in pixels of the photograph."""

    box: NDArray[np.float32]  # (4,) x0, y0, x1, y1
    detection: float  # 0..1, the lower of the two networks' confidences that this is a person
    landmarks: NDArray[np.float32]  # (33, 4) x, y, z (px; z about the hips, smaller = nearer), visibility 0..1
    world_landmarks: NDArray[np.float32]  # (33, 3) metres about the hips, axes of the camera
    mask: NDArray[np.uint8]  # (64, 64) person probability x 255 over the crop
    crop: NDArray[np.float32]  # (3,) centre x, centre y, side of the square model crop
    # (33, 7) what the heavy network sees in the same square: x, y, z, visibility as above, world landmark (metres)
    second_look: NDArray[np.float32] | None = None


class Search(NamedTuple):
    """The result of a search: who was found, and what was refused."""

    people: list[FoundPerson]
    refused: list[Refused]
    squares: int  # that the detector looked at, 11 ms each


@dataclass(frozen=True)
class PersonFinder:
    """Finds people with BlazePose.

    Thorough: the whole picture, then overlapping tiles of several scales where they may show more, for many people and
    small ones; the landmark network looks at each twice, and the heavy network refuses what it does not take for a
    person. Otherwise, for pictures known to show a person: the whole picture and, only if nobody is found there, its
    middle 70 %.
    """

    thorough: bool = True
    crop_margin: float = CROP_MARGIN
    second_look: bool = False  # keep what the heavy network sees: independent evidence, 45 ms a person

    def find(self, pixels: NDArray[np.uint8]) -> list[FoundPerson]:
        """The people in a (h, w, 3) RGB picture, 0-255, highest score first; an empty list if there are none."""
        return self.search(pixels).people

    def search(self, pixels: NDArray[np.uint8]) -> Search:
        """The people in a (h, w, 3) RGB picture of 0-255, with places in pixels, and what was refused.

        The number of squares looked at is bounded, so time is bounded for any picture.
        """
        pixels = np.ascontiguousarray(pixels)
        if self.thorough:
            looked = TileSearch().through(pixels)
            finds, refused, squares = looked.kept, looked.refused, looked.squares
        else:
            (finds, squares), refused = _quick_search(pixels), []
        kept = sorted(finds, key=lambda find: -find.score)
        people = [found_person(one.score, one.seen, one.level.factor, pixels.shape, self.crop_margin) for one in kept]
        if self.second_look:
            looks = [one.second or second_look(one.level, one.seen) for one in kept]
            people = [
                replace(person, second_look=placed_look(look, one.level.factor))
                for person, look, one in zip(people, looks, kept)
            ]
        return Search(people, refused, squares)


def person_crop(landmarks: NDArray, margin: float = CROP_MARGIN) -> NDArray[np.float32]:
    """(33, 4) landmarks (x, y, z px, visibility 0-1) -> (3,) square model crop: centre x, centre y, side, px.

    About the box of the landmarks with a visibility above 0.1 (of all landmarks, if fewer than 6 have that). Its side
    is `margin` times the longer side of the box.
    """
    points = np.asarray(landmarks, np.float64)
    seen = points[points[:, 3] > 0.1]
    low, high = _extent(seen if len(seen) >= 6 else points)
    side = max(margin * float((high - low).max()), SMALLEST_CROP)
    return np.array([*((low + high) / 2), side], np.float32)


def _quick_search(pixels: NDArray[np.uint8]) -> tuple[list[Find], int]:
    """People in the first quick tile that shows any, else in the whole picture; and how many tiles were looked at."""
    small, factor = shrink(pixels, LONG_SIDE)
    networks, level = pose_networks(), Level(small, factor)
    height, width = small.shape[:2]
    scored: list[tuple[float, Square]] = []
    count = 0
    for crop in _quick_tiles(height, width):
        wide = crop[2] >= min(height, width)  # else parts of a body pass for bodies
        (heads,) = networks.heads(small, crop, LEAST_HEAD if wide else LEAST_HEAD_IN_TILE)
        scored = squares_about(heads, (MOST_OF_WIDE_TILE if wide else MOST_OF_TILE) * crop[2])
        count += 1
        if scored:
            break
    whole = Square(width / 2, height / 2, float(max(width, height)), 0.0)
    kept: list[Find] = []
    for score, square in distinct(scored, []) or [(1.0, whole)]:
        seen = _look(small, square, networks)
        if seen.person >= LEAST_PERSON and not any(_one_face(seen, other.seen) for other in kept):
            kept.append(Find(min(score, seen.person), seen, level))
    return kept, count


def _quick_tiles(height: int, width: int) -> Iterator[tuple[float, float, float]]:
    yield width / 2, height / 2, float(max(height, width))
    yield width / 2, height / 2, 0.7 * max(height, width)


def _look(pixels: NDArray[np.uint8], square: Square, networks: PoseNetworks) -> Landmarks:
    """The landmarks in a square; looks again where they point if the network is unsure or they point elsewhere."""
    seen = networks.landmarks(pixels, square)
    better = seen.better
    there = near(square, better) and abs(math.remainder(better.angle - square.angle, math.tau)) < 0.35
    if seen.person < 0.05 or better.side < 16 or (there and seen.person >= SURE):
        return seen
    again = networks.landmarks(pixels, better)
    return again if again.person >= min(seen.person, SURE) else seen


def _one_face(one: Landmarks, other: Landmarks) -> bool:
    """The quick search's rule for "one person": one face, or a face inside the mask of a find twice as large."""
    apart = np.linalg.norm(one.points[FACE, :2] - other.points[FACE, :2], axis=1).mean()
    small, large = sorted((one, other), key=lambda seen: seen.square.side)
    if apart < 0.08 * small.square.side:
        return True
    if small.square.side > 0.5 * large.square.side:
        return False
    to_photograph = large.square.to_photograph(len(large.mask))
    middle = np.array([small.square.x, small.square.y]) - to_photograph[:, 2]
    column, row = np.floor(np.linalg.solve(to_photograph[:, :2], middle)).astype(int)
    inside = 0 <= row < len(large.mask) and 0 <= column < len(large.mask)
    return bool(inside and large.mask[row, column, 0] > 0.5)


def found_person(score: float, seen: Landmarks, factor: float, shape: tuple[int, ...], margin: float) -> FoundPerson:
    """A person from the networks' answer for one square of a picture `factor` times smaller.

    All in pixels of the photograph, whose shape is (h, w, 3). score: 0-1; margin: of `person_crop`.
    """
    landmarks = seen.points * np.array([factor, factor, factor, 1], np.float32)
    crop = person_crop(landmarks, margin)
    mask = _crop_mask(seen, crop / factor)
    return FoundPerson(
        box=_box(landmarks, mask, crop, shape),
        detection=score,
        landmarks=landmarks,
        world_landmarks=seen.world,
        mask=mask,
        crop=crop,
    )


def witness(
    networks: PoseNetworks, pixels: NDArray[np.uint8], crop: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """What other networks see of a known person: (33, 4) landmarks, px and visibility 0-1, and the mask over the crop.

    pixels: the whole picture (h, w, 3); crop: centre x, centre y, side, px. They look at the crop, and where that
    points them; among several people they may find another one.
    """
    x, y, side = map(float, crop)
    seen = _look(pixels, Square(x, y, side, 0.0), networks)
    return seen.points, _crop_mask(seen, crop)


def placed_look(seen: Landmarks, factor: float) -> NDArray[np.float32]:
    """(33, 7) landmarks (x, y, z in px of the photograph, visibility 0-1), and world landmarks (metres)."""
    return np.concatenate([seen.points * np.array([factor, factor, factor, 1], np.float32), seen.world], 1)


def _crop_mask(seen: Landmarks, crop: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The network's mask drawn over the model crop, 0 where the network did not look."""
    wanted = Square(float(crop[0]), float(crop[1]), float(crop[2]), 0.0).to_photograph(MASK_SIDE)
    looked = np.vstack([seen.square.to_photograph(seen.mask.shape[0]), [0, 0, 1]])
    matrix = (np.linalg.inv(looked) @ np.vstack([wanted, [0, 0, 1]]))[:2]
    samples = min(4, max(1, math.ceil(abs(np.linalg.det(matrix[:, :2])) ** 0.5)))
    return (resample_affine(seen.mask, matrix, MASK_SIDE, samples)[:, :, 0] * 255).round().astype(np.uint8)


def _box(
    landmarks: NDArray[np.float32], mask: NDArray[np.uint8], crop: NDArray[np.float32], shape: tuple[int, ...]
) -> NDArray[np.float32]:
    """The box about the visible landmarks and the mask within the picture."""
    seen = landmarks[landmarks[:, 3] > 0.5]
    low, high = _extent(seen if len(seen) >= 6 else landmarks)
    rows, columns = np.nonzero(mask > 127)
    if len(rows):
        cell, corner = crop[2] / MASK_SIDE, crop[:2] - crop[2] / 2
        reach = 0.15 * crop[2]  # how far a mask may widen the box: hair and hands, not a stray spot
        low = low - (low - corner - cell * np.array([columns.min(), rows.min()])).clip(0, reach)
        high = high + (corner + cell * np.array([columns.max() + 1, rows.max() + 1]) - high).clip(0, reach)
    size = np.array([shape[1], shape[0]])
    return np.concatenate([low.clip(0, size), high.clip(0, size)]).astype(np.float32)


def _extent(points: NDArray) -> tuple[NDArray, NDArray]:
    return points[:, :2].min(0), points[:, :2].max(0)
