"""Finds the people in a photograph: box, landmarks in the picture and in metres, mask, square crop.

The landmarks are evidence, no ground truth: those of hidden limbs are guesses (their visibility says so), and
a person seen from behind may come back with left and right swapped.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hmr.keypoint_file import KeypointFileError, read_keypoints
from hmr.photograph import shrink
from hmr.pose_networks import Landmarks, PoseNetworks, Square, body_square, pose_networks
from hmr.resampling import resample_affine

__all__ = ["FoundPerson", "KeypointFileError", "PersonFinder", "person_crop", "read_keypoints", "tiles"]

MASK_SIDE = 64  # px
SMALLEST_CROP = 32.0  # px
CROP_MARGIN = 1.25  # side of the model crop over the longer side of the landmarks' box
LONG_SIDE = 1600  # px; larger pictures are shrunk to this before the search
FACE = slice(0, 11)  # nose, eyes, ears, mouth among the landmarks
SURE = 0.9  # person score at and above which the first look is kept
MOST_CANDIDATES = 40  # bodies whose landmarks are looked at in one picture
# The detector names bodies larger than what it sees; how much larger may be trusted, by what it sees:
MOST_OF_WIDE_TILE = 4.0  # the whole picture, or a square of its short side: a bust
MOST_OF_TILE = 1.2  # a smaller tile, which mostly shows a part of a large body


@dataclass(frozen=True, eq=False)
class FoundPerson:
    """One person, in pixels of the photograph."""

    box: NDArray[np.float32]  # (4,) x0, y0, x1, y1
    detection: float  # 0..1, the lower of the two networks' confidences that this is a person
    landmarks: NDArray[np.float32]  # (33, 4) x, y, z (px; z about the hips, smaller = nearer), visibility 0..1
    world_landmarks: NDArray[np.float32]  # (33, 3) metres about the hips, axes of the camera
    mask: NDArray[np.uint8]  # (64, 64) person probability x 255 over the crop
    crop: NDArray[np.float32]  # (3,) centre x, centre y, side of the square model crop
    # (33, 7) what the heavy network sees in the same square: x, y, z, visibility as above, world landmark
    second_look: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class PersonFinder:
    """Finds people with BlazePose.

    Thorough: the whole picture, then overlapping tiles of several scales, for many people and small ones;
    each is looked at twice. Otherwise, for pictures known to show somebody: the whole picture and,
    only if nobody shows there, its middle 70 %.
    """

    thorough: bool = True
    least_head: float = 0.4  # detector score below which nobody is looked for
    least_head_in_tile: float = 0.6  # the same in small tiles, where parts of a body pass for bodies
    least_person: float = 0.5  # landmark network's score below which it is no person
    crop_margin: float = CROP_MARGIN
    second_look: bool = False  # have the heavy network look too: independent evidence, 50 ms a person

    def find(self, pixels: NDArray[np.uint8]) -> list[FoundPerson]:
        """The people in a (h, w, 3) RGB picture, surest first; an empty list if there are none."""
        small, factor = shrink(np.ascontiguousarray(pixels), LONG_SIDE)
        networks = pose_networks()
        found: list[tuple[float, Landmarks]] = []
        for score, square in self._candidates(small, networks):
            seen = _look(small, square, networks, twice=self.thorough)
            if seen.person >= self.least_person and not any(_one_body(seen, other) for _, other in found):
                found.append((min(score, seen.person), seen))
        found.sort(key=lambda pair: -pair[0])
        people = [_found_person(score, seen, factor, pixels.shape, self.crop_margin) for score, seen in found]
        if not self.second_look:
            return people
        heavy = pose_networks(heavy=True)
        looks = [_second_look(heavy.landmarks(small, seen.better), factor) for _, seen in found]
        return [replace(person, second_look=look) for person, look in zip(people, looks)]

    def _candidates(self, pixels: NDArray[np.uint8], networks: PoseNetworks) -> list[tuple[float, Square]]:
        """Squares about bodies, one for each, best first; the whole picture where none shows.

        Large bodies go before small ones of a like score: a hand may look like a small person, a person does
        not look like a hand.
        """
        height, width = pixels.shape[:2]
        scored: list[tuple[float, Square]] = []
        for crop in tiles(height, width) if self.thorough else _quick_tiles(height, width):
            wide = crop[2] >= min(height, width)
            heads = networks.heads(pixels, crop, self.least_head if wide else self.least_head_in_tile)
            fits = MOST_OF_WIDE_TILE if wide else MOST_OF_TILE
            squares = [body_square(hip, top) for hip, top in heads.points[:, :2]]
            scored += [(s, q) for s, q in zip(heads.scores.tolist(), squares) if 8 < q.side < fits * crop[2]]
            if scored and not self.thorough:
                break
        scored.sort(key=lambda pair: -pair[0] - 0.2 * math.log2(pair[1].side))
        kept: list[tuple[float, Square]] = []
        for score, square in scored:
            if not any(_near(square, other) for _, other in kept):
                kept.append((score, square))
        whole = Square(width / 2, height / 2, float(max(width, height)), 0.0)
        return kept[:MOST_CANDIDATES] or [(1.0, whole)]


def person_crop(landmarks: NDArray, margin: float = CROP_MARGIN) -> NDArray[np.float32]:
    """(33, 4) landmarks -> (3,) square model crop: centre x, centre y, side, px.

    About the box of the landmarks with a visibility above 0.1 (of all, if fewer than 6 are), `margin` times as large
    as its longer side.
    """
    points = np.asarray(landmarks, np.float64)
    seen = points[points[:, 3] > 0.1]
    low, high = _extent(seen if len(seen) >= 6 else points)
    side = max(margin * float((high - low).max()), SMALLEST_CROP)
    return np.array([*((low + high) / 2), side], np.float32)


def tiles(height: int, width: int) -> Iterator[tuple[float, float, float]]:
    """Squares (centre x, centre y, side; px) that cover a picture at several scales, largest first.

    The whole picture; then squares of its short side, of a half and of a third of its long side, each
    moved by half of its own side, but none under 128 pixels.
    """
    yield width / 2, height / 2, float(max(height, width))
    long, short = max(height, width), min(height, width)
    for side in (float(short), long / 2, long / 3):
        if side >= 128 and side < 0.95 * long:
            for y in _centres(height, side):
                for x in _centres(width, side):
                    yield x, y, side


def _centres(length: int, side: float) -> list[float]:
    """Centres of the squares along one axis, half a side or less apart, edge to edge."""
    if side >= length:
        return [length / 2]
    steps = math.ceil((length - side) / (side / 2) - 1e-6)
    return np.linspace(side / 2, length - side / 2, steps + 1).tolist()


def _quick_tiles(height: int, width: int) -> Iterator[tuple[float, float, float]]:
    yield width / 2, height / 2, float(max(height, width))
    yield width / 2, height / 2, 0.7 * max(height, width)


def _look(pixels: NDArray[np.uint8], square: Square, networks: PoseNetworks, twice: bool) -> Landmarks:
    """The landmarks in a square; looks again where they point to: always, or only if unsure or elsewhere.

    Twice: a person must be seen both times, so the lower of the two scores counts.
    """
    seen = networks.landmarks(pixels, square)
    better = seen.better
    near = _near(square, better) and abs(math.remainder(better.angle - square.angle, math.tau)) < 0.35
    if seen.person < 0.05 or better.side < 16 or (not twice and near and seen.person >= SURE):
        return seen
    again = networks.landmarks(pixels, better)
    if twice:
        return replace(again, person=min(seen.person, again.person))
    return again if again.person >= min(seen.person, SURE) else seen


def _near(one: Square, other: Square) -> bool:
    """Whether two squares lie about one body: centres a tenth of their size apart, sizes within a quarter."""
    size = min(one.side, other.side)
    return math.hypot(one.x - other.x, one.y - other.y) < 0.1 * size and max(one.side, other.side) < 1.25 * size


def _one_body(one: Landmarks, other: Landmarks) -> bool:
    """Whether two finds are one person: one face, or one amid the mask of one twice as large."""
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


def _found_person(score: float, seen: Landmarks, factor: float, shape: tuple[int, ...], margin: float) -> FoundPerson:
    """The answer for one square of the shrunk picture, in pixels of the photograph."""
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


def _second_look(seen: Landmarks, factor: float) -> NDArray[np.float32]:
    """(33, 7) landmarks in pixels of the photograph, and world landmarks."""
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
