"""Finds the people in a photograph: box, landmarks in the picture and in metres, mask, square crop.

The landmarks are evidence, no ground truth: those of hidden limbs are guesses (their visibility says so), and
a person seen from behind may come back with left and right swapped.
"""

import functools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hmr.detection.keypoint_file import KeypointFileError, read_keypoints
from hmr.detection.photograph import shrink
from hmr.detection.pose_networks import Heads, Landmarks, PoseNetworks, Square, body_square, pose_networks
from hmr.detection.resampling import resample_affine

__all__ = ["FoundPerson", "KeypointFileError", "PersonFinder", "person_crop", "read_keypoints", "tiles"]

MASK_SIDE = 64  # px
SMALLEST_CROP = 32.0  # px
CROP_MARGIN = 1.25  # side of the model crop over the longer side of the landmarks' box
LONG_SIDE = 1600  # px; larger pictures are shrunk to this before the search
FACE = slice(0, 11)  # nose, eyes, ears, mouth among the landmarks
SURE = 0.9  # person score at and above which the first look is kept
LIMBS = (11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28)  # shoulders to wrists, hips to ankles
MOST_CANDIDATES = 40  # bodies whose landmarks are looked at in one picture
MOST_FINE_TILES = 48  # squares beside those of the shrunk picture, 12 ms each
# Thresholds from 321 candidates in 32 photographs that were marked by eye (deploy/experiments/people_marked_*.json):
LEAST_SECOND = 0.5  # heavy network's score below which it is no person
APART = 0.15  # of the square's side: the two networks' landmarks, beyond which it is no person
WEAKEST_HEAD = 0.17  # detector score from which one is looked for who must then be sure in every other way:
MOST_WEAK = 12  # of them are looked at
SURE_OF_WEAK = 0.7  # landmark network's score, both times; or
HALF_SURE_OF_WEAK = 0.3  # at first, and SURE when it looks where that pointed
LEAST_SECOND_OF_WEAK = 0.98
APART_OF_WEAK = 0.04
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


@dataclass(frozen=True, eq=False)
class Level:
    """The picture at one size."""

    pixels: NDArray[np.uint8]  # (h, w, 3)
    factor: float  # from its pixels to those of the photograph


@dataclass(frozen=True, eq=False)
class Find:
    """One person as the networks saw them, in pixels of a level."""

    score: float
    seen: Landmarks
    level: Level
    second: Landmarks | None = None  # by the heavy network

    @functools.cached_property
    def seen_at(self) -> Landmarks:
        """The same in pixels of the photograph."""
        return self.seen.scaled(self.level.factor)


class Refused(NamedTuple):
    """Something that passed for a person at first."""

    x: float  # centre, px of the photograph
    y: float
    side: float  # px
    why: str


class Search(NamedTuple):
    """What a picture was found to hold."""

    people: list[FoundPerson]
    refused: list[Refused]
    squares: int  # that the detector looked at, 12 ms each


@dataclass(frozen=True)
class PersonFinder:
    """Finds people with BlazePose.

    Thorough: the whole picture, then overlapping tiles of several scales, for many people and small ones;
    each is looked at twice, and by the heavy network too, which refuses what it takes for no person. Otherwise, for
    pictures known to show somebody: the whole picture and, only if nobody shows there, its middle 70 %.
    """

    thorough: bool = True
    least_head: float = 0.4  # detector score below which nobody is looked for
    least_head_in_tile: float = 0.6  # the same in small tiles, where parts of a body pass for bodies
    least_person: float = 0.5  # landmark network's score below which it is no person
    crop_margin: float = CROP_MARGIN
    second_look: bool = False  # keep what the heavy network sees: independent evidence, 50 ms a person

    def find(self, pixels: NDArray[np.uint8]) -> list[FoundPerson]:
        """The people in a (h, w, 3) RGB picture, surest first; an empty list if there are none."""
        return self.search(pixels).people

    def search(self, pixels: NDArray[np.uint8]) -> Search:
        """The same, and what was refused. Squares are bounded in number, so time is bounded whatever the picture."""
        pixels = np.ascontiguousarray(pixels)
        small, factor = shrink(pixels, LONG_SIDE)
        networks = pose_networks()
        level = Level(small, factor)
        sure, weak, squares = self._candidates(level, networks)
        kept: list[Find] = []
        refused: list[Refused] = []
        if self.thorough:
            fine, faint, more = self._fine_candidates(Level(pixels, 1.0), level, networks, sure)
            candidates = [*((level, one) for one in sure), *((Level(pixels, 1.0), one) for one in fine)]
            for where, (score, square) in candidates:
                self._consider(where, score, square, kept, refused)
            weak = [*((level, one) for one in weak), *((Level(pixels, 1.0), one) for one in faint)]
            self._look_at_weak(weak, kept)
            squares += more
        else:
            for score, square in sure:
                seen = _look(small, square, networks, twice=False)
                if seen.person >= self.least_person and not any(_one_face(seen, other.seen) for other in kept):
                    kept.append(Find(min(score, seen.person), seen, level))
        kept.sort(key=lambda find: -find.score)
        people = [found_person(one.score, one.seen, one.level.factor, pixels.shape, self.crop_margin) for one in kept]
        if self.second_look:
            heavy = pose_networks(heavy=True)
            looks = [one.second or heavy.landmarks(one.level.pixels, one.seen.better) for one in kept]
            people = [
                replace(person, second_look=placed_look(look, one.level.factor))
                for person, look, one in zip(people, looks, kept)
            ]
        return Search(people, refused, squares)

    def _consider(self, level: Level, score: float, square: Square, kept: list[Find], refused: list[Refused]) -> None:
        """Look at one square: keep the person in it, or say why not, unless it is one who was found already."""
        seen = _look(level.pixels, square, pose_networks(), twice=True)
        if seen.person < self.least_person or any(same_person(seen.scaled(level.factor), one.seen_at) for one in kept):
            return
        second = pose_networks(heavy=True).landmarks(level.pixels, seen.better)
        why = _why_nobody(seen, second)
        if why:
            middle = seen.scaled(level.factor).square
            refused.append(Refused(middle.x, middle.y, middle.side, why))
        else:
            kept.append(Find(min(score, seen.person), seen, level, second))

    def _look_at_weak(self, weak: list[tuple[Level, tuple[float, Square]]], kept: list[Find]) -> None:
        """Who only shows faintly is kept if both networks are sure and agree; at most MOST_WEAK squares are tried."""
        networks, heavy = pose_networks(), pose_networks(heavy=True)
        tried = 0
        for level, (score, square) in sorted(weak, key=lambda pair: -pair[1][0]):
            if any(_about(square.scaled(level.factor), one.seen_at) for one in kept):
                continue
            if tried == MOST_WEAK:
                break
            tried += 1
            first = networks.landmarks(level.pixels, square)
            if first.person < HALF_SURE_OF_WEAK or first.better.side < 16:
                continue
            seen = networks.landmarks(level.pixels, first.better)
            sure = first.person >= SURE_OF_WEAK
            if seen.person < (SURE_OF_WEAK if sure else SURE) or any(
                same_person(seen.scaled(level.factor), o.seen_at) for o in kept
            ):
                continue
            second = heavy.landmarks(level.pixels, seen.better)
            if second.person >= LEAST_SECOND_OF_WEAK and landmarks_apart(seen, second) <= (
                APART_OF_WEAK if sure else 0.75 * APART_OF_WEAK
            ):
                kept.append(Find(score, seen, level, second))

    def _candidates(
        self, level: Level, networks: PoseNetworks
    ) -> tuple[list[tuple[float, Square]], list[tuple[float, Square]], int]:
        """Squares about bodies, one for each, best first, the whole picture where none shows; weak ones; tiles seen.

        Large bodies go before small ones of a like score: a hand may look like a small person, a person does
        not look like a hand.
        """
        pixels = level.pixels
        height, width = pixels.shape[:2]
        scored: list[tuple[float, Square]] = []
        faint: list[tuple[float, Square]] = []
        count = 0
        for crop in tiles(height, width) if self.thorough else _quick_tiles(height, width):
            wide = crop[2] >= min(height, width)
            least = self.least_head if wide else self.least_head_in_tile
            sure, weak = networks.sure_and_weak(pixels, crop, least, WEAKEST_HEAD if self.thorough else least)
            fits = (MOST_OF_WIDE_TILE if wide else MOST_OF_TILE) * crop[2]
            scored += _squares(sure, fits)
            faint += _squares(weak, fits)
            count += 1
            if scored and not self.thorough:
                break
        kept = _distinct(scored, [])[:MOST_CANDIDATES]
        whole = Square(width / 2, height / 2, float(max(width, height)), 0.0)
        return kept or [(1.0, whole)], _distinct(faint, [square for _, square in kept]), count

    def _fine_candidates(
        self, full: Level, shrunk: Level, networks: PoseNetworks, sure: list[tuple[float, Square]]
    ) -> tuple[list[tuple[float, Square]], list[tuple[float, Square]], int]:
        """The same in tiles of the picture at its own size, finer than the shrunk one could show."""
        scored: list[tuple[float, Square]] = []
        faint: list[tuple[float, Square]] = []
        fine = list(fine_tiles(*full.pixels.shape[:2])) if shrunk.factor > 1 else []
        for crop in fine:
            heads, weak = networks.sure_and_weak(full.pixels, crop, self.least_head_in_tile, WEAKEST_HEAD)
            scored += _squares(heads, MOST_OF_TILE * crop[2])
            faint += _squares(weak, MOST_OF_TILE * crop[2])
        known = [square.scaled(shrunk.factor) for _, square in sure]
        kept = _distinct(scored, known)[:MOST_CANDIDATES]
        return kept, _distinct(faint, [*known, *(square for _, square in kept)]), len(fine)


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


def fine_tiles(height: int, width: int) -> Iterator[tuple[float, float, float]]:
    """Finer squares (centre x, centre y, side; px) for a picture larger than LONG_SIDE, largest first.

    Each scale is 1.6 times finer than the one before, beginning below the finest of the shrunk picture, with squares
    two thirds of a side apart: whoever fills more of them shows at the coarser scale. It ends where squares would be
    finer than those of a picture of LONG_SIDE, or more than MOST_FINE_TILES in all.
    """
    long, short = max(height, width), min(height, width)
    finest = LONG_SIDE / 3
    side, left = min(long / 3 / 1.6, float(short)), MOST_FINE_TILES
    while side >= finest:
        rows, columns = _centres(height, side, 2 / 3), _centres(width, side, 2 / 3)
        left -= len(rows) * len(columns)
        if left < 0:
            return
        yield from ((x, y, side) for y in rows for x in columns)
        side /= 1.6


def _centres(length: int, side: float, step: float = 0.5) -> list[float]:
    """Centres of the squares along one axis, `step` of a side or less apart, edge to edge."""
    if side >= length:
        return [length / 2]
    steps = math.ceil((length - side) / (side * step) - 1e-6)
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


def _one_face(one: Landmarks, other: Landmarks) -> bool:
    """The quicker rule of the search that is not thorough: one face, or one amid the mask of one twice as large."""
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


def _squares(heads: Heads, largest: float) -> list[tuple[float, Square]]:
    """(score, square about the body) of each head whose body is neither tiny nor larger than `largest` px."""
    squares = [body_square(hip, top) for hip, top in heads.points[:, :2]]
    return [(score, square) for score, square in zip(heads.scores.tolist(), squares) if 8 < square.side < largest]


def _distinct(scored: list[tuple[float, Square]], known: Sequence[Square]) -> list[tuple[float, Square]]:
    """Best first, one for each body, none that is known; larger ones before smaller of a like score."""
    kept: list[tuple[float, Square]] = []
    for score, square in sorted(scored, key=lambda pair: -pair[0] - 0.2 * math.log2(pair[1].side)):
        if not any(_near(square, other) for other in (*known, *(other for _, other in kept))):
            kept.append((score, square))
    return kept


def _about(square: Square, body: Landmarks) -> bool:
    """Whether a square is that of a body already found, roughly, or of a part of it: worth no further look."""
    apart = math.hypot(square.x - body.square.x, square.y - body.square.y)
    size = min(square.side, body.square.side)
    if apart < 0.15 * size and size > 0.6 * max(square.side, body.square.side):
        return True
    return square.side < 0.7 * body.square.side and bool(_masked(body, np.array([[square.x, square.y]]))[0])


def landmarks_apart(one: Landmarks, other: Landmarks) -> float:
    """Median distance of two networks' landmarks, in sides of the square: 0.01 to 0.04 where both see one person."""
    apart = np.linalg.norm(one.points[:, :2] - other.points[:, :2], axis=1)
    return float(np.median(apart)) / one.square.side


def _why_nobody(seen: Landmarks, second: Landmarks) -> str:
    """Why what one network takes for a person is none, by the other one; empty = it is."""
    if second.person < LEAST_SECOND:
        return f"the heavier network takes it for no person ({second.person:.2f})"
    apart = landmarks_apart(seen, second)
    return f"two networks place its limbs {apart:.0%} of its size apart" if apart > APART else ""


def same_person(one: Landmarks, other: Landmarks) -> bool:
    """Whether two finds, in the same pixels, are one person: by face and body, by masks, or a part amid a whole.

    Two people may have their faces together (one behind the other), so that faces alone do not tell: they are two
    where neither their bodies nor their masks agree. And one person may be found upside down, the face where the feet
    are: then the masks are the same.
    """
    small, large = sorted((one, other), key=lambda seen: seen.square.side)
    shared, inside = _masks_shared(small, large)
    faces = float(np.linalg.norm(small.points[FACE, :2] - large.points[FACE, :2], axis=1).mean()) / small.square.side
    if faces < 0.08:
        return inside >= 0.5 or _bodies_apart(small, large) < 0.35
    ratio = small.square.side / large.square.side
    return shared > 0.62 or (ratio < 0.5 and inside > 0.6) or (ratio < 0.7 and inside > 0.85)


def _bodies_apart(small: Landmarks, large: Landmarks) -> float:
    """Median distance of limb landmarks that both see, in sides of the smaller square; 0 where there are too few."""
    both = [j for j in LIMBS if small.points[j, 3] > 0.5 and large.points[j, 3] > 0.5]
    if len(both) < 3:
        return 0.0
    return float(np.median(np.linalg.norm(small.points[both, :2] - large.points[both, :2], axis=1))) / small.square.side


def _masks_shared(small: Landmarks, large: Landmarks) -> tuple[float, float]:
    """Intersection over union of two masks, and the share of the smaller find's mask that lies in the larger's."""
    places, cell = _grid(small)
    mine, theirs = _masked(small, places), _masked(large, places)
    both, own = float((mine & theirs).sum()) * cell, float(mine.sum()) * cell
    wide, wide_cell = _grid(large)
    whole = own + float(_masked(large, wide).sum()) * wide_cell - both
    return both / max(whole, 1e-9), both / max(own, 1e-9)


def _grid(seen: Landmarks) -> tuple[NDArray[np.float64], float]:
    """(1024, 2) places over a find's square, and the area that each stands for, px and px squared."""
    steps = (np.arange(32) + 0.5) / 32 * len(seen.mask)
    x, y = np.meshgrid(steps, steps)
    matrix = seen.square.to_photograph(len(seen.mask))
    return np.stack([x.ravel(), y.ravel()], 1) @ matrix[:, :2].T + matrix[:, 2], (seen.square.side / 32) ** 2


def _masked(seen: Landmarks, places: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which (n, 2) places lie in a find's mask."""
    size = len(seen.mask)
    matrix = seen.square.to_photograph(size)
    columns, rows = np.floor(np.linalg.solve(matrix[:, :2], (places - matrix[:, 2]).T)).astype(int)
    inside = (columns >= 0) & (columns < size) & (rows >= 0) & (rows < size)
    return inside & (seen.mask[rows.clip(0, size - 1), columns.clip(0, size - 1), 0] > 0.5)


def found_person(score: float, seen: Landmarks, factor: float, shape: tuple[int, ...], margin: float) -> FoundPerson:
    """The networks' answer for one square of a picture `factor` times smaller, in pixels of the photograph."""
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


def placed_look(seen: Landmarks, factor: float) -> NDArray[np.float32]:
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
