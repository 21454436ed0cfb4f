"""The thorough search of a picture: squares of several scales, the finer ones only where someone may still be.

The landmark network looks at each possible person twice and the heavy one once; each of them may refuse. People who
were found explain the heads seen on them at finer scales, so a finer square is searched only where something else
shows that would fit into it.
"""

import functools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hmr.detection.photograph import shrink
from hmr.detection.pose_networks import Heads, Landmarks, Square, body_square, pose_networks

LONG_SIDE = 1600  # px; larger pictures are shrunk to this before the search
FACE = slice(0, 11)  # nose, eyes, ears, mouth among the landmarks
LIMBS = (11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28)  # shoulders to wrists, hips to ankles
SURE = 0.9  # person score that counts as certain
LEAST_HEAD = 0.4  # detector score below which a head is ignored
LEAST_HEAD_IN_TILE = 0.6  # the same in small tiles, where parts of a body pass for bodies
LEAST_PERSON = 0.5  # landmark network's score below which it is no person
MOST_CANDIDATES = 80  # bodies whose landmarks are looked at in one picture
MOST_FINE_TILES = 48  # squares beside those of the shrunk picture, 11 ms each
# Thresholds from 321 candidates in 32 photographs that were marked by eye (deploy/experiments/people_marked_*.json):
LEAST_SECOND = 0.5  # heavy network's score below which it is no person
APART = 0.15  # of the square's side: the two networks' landmarks, beyond which it is no person
WEAKEST_HEAD = 0.17  # detector score from which a head is tried that must then be sure in every other way:
MOST_WEAK = 12  # how many of these are looked at
SURE_OF_WEAK = 0.7  # landmark network's score, both times; or
HALF_SURE_OF_WEAK = 0.3  # at first, and SURE when it looks where that pointed
LEAST_SECOND_OF_WEAK = 0.98
APART_OF_WEAK = 0.04
# The detector may report bodies larger than its square; how much larger is trusted, by kind of square:
MOST_OF_WIDE_TILE = 4.0  # the whole picture, or a square of its short side: a bust
MOST_OF_TILE = 1.2  # a smaller tile, which mostly shows a part of a large body

PLAIN = 0.8  # detector score from which a finer square adds nothing
# When a finer scale is searched (32 photographs, and mosaics of them, where people are many and small):
HINT = 0.03  # detector score from which one finer square is searched
CLEAR_HINT = 0.1  # the same, for all finer squares: there may be more people
COMPANY = 2.0  # times the side of a finer square: near a smaller person there may be others of that size


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
        """The landmarks in pixels of the photograph."""
        return self.seen.scaled(self.level.factor)


class Refused(NamedTuple):
    """Something that looked like a person at first, and why it is none."""

    x: float  # centre, px of the photograph
    y: float
    side: float  # px
    why: str


@dataclass(frozen=True)
class Scale:
    """Squares (centre x, centre y, side) of a level, of one size; the coarsest scale has two sizes."""

    level: Level
    squares: list[tuple[float, float, float]]
    rank: int  # 0 is the coarsest

    @property
    def side(self) -> float:
        """Side of the squares, px of the photograph."""
        return self.squares[-1][2] * self.level.factor


@dataclass
class TileSearch:
    """The search of one picture and what it has found so far."""

    kept: list[Find] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    squares: int = 0  # that the detector looked at
    _tried: list[Square] = field(default_factory=list)  # px of the photograph
    _sure: list[tuple[Level, float, Square]] = field(default_factory=list)
    _weak: list[tuple[Level, float, Square]] = field(default_factory=list)
    # what may be a head: centre x, y, side of the square about its body, score
    _hints: list[tuple[float, float, float, float]] = field(default_factory=list)

    def through(self, pixels: NDArray[np.uint8]) -> "TileSearch":
        """Search a (h, w, 3) RGB picture, pixels of 0-255; returns itself, with what was kept and refused."""
        small, factor = shrink(pixels, LONG_SIDE)
        shrunk = Level(small, factor)
        for scale in scales(shrunk, Level(pixels, 1.0)):
            self._look_through(scale)
            self._consider_all(PLAIN)
        if not self._tried and not any(level is shrunk for level, *_ in self._sure):
            self._whole(shrunk)
        self._consider_all(0.0)
        self._look_at_weak()
        return self

    def _whole(self, level: Level) -> None:
        """If no head was found, try the whole picture as one body."""
        height, width = level.pixels.shape[:2]
        self._consider(level, 1.0, Square(width / 2, height / 2, float(max(width, height)), 0.0))

    def _look_through(self, scale: Scale) -> None:
        level = scale.level
        short = min(level.pixels.shape[:2])
        for crop in self._worthwhile(scale):
            wide = crop[2] >= short
            fits = (MOST_OF_WIDE_TILE if wide else MOST_OF_TILE) * crop[2]
            least = LEAST_HEAD if wide else LEAST_HEAD_IN_TILE
            sure, weak, faint = pose_networks().heads(level.pixels, crop, least, WEAKEST_HEAD, HINT)
            self.squares += 1
            self._sure += [(level, *one) for one in squares_about(sure, fits)]
            self._weak += [(level, *one) for one in squares_about(weak, fits)]
            self._hints += [hint for heads in (sure, weak, faint) for hint in hints_of(heads, level.factor)]

    def _worthwhile(self, scale: Scale) -> list[tuple[float, float, float]]:
        """The squares that may show a new person.

        All of the coarsest scale, and of every scale as long as nobody was found. All of a finer scale if something
        shows clearly that is small enough for it and not part of a found person; and all of the second scale if someone
        found is smaller than the picture, since the people of one picture often have similar sizes. Otherwise, for each
        faint head, the square that contains it best.
        """
        company = scale.rank == 1 and any(one.seen_at.square.side < COMPANY * scale.side for one in self.kept)
        if scale.rank == 0 or company or not (self.kept or self._sure):
            return scale.squares
        hints = np.array(self._hints).reshape(-1, 4)
        hints = hints[hints[:, 2] < MOST_OF_TILE * scale.side]
        for one in self.kept:
            hints = hints[~explained(one.seen_at, hints[:, :2])]
        if (hints[:, 3] >= CLEAR_HINT).any():
            return scale.squares
        middles = np.array(scale.squares)[:, :2] * scale.level.factor
        best = np.abs(middles - hints[:, None, :2]).max(-1).argmin(1) if len(hints) else []
        return [scale.squares[k] for k in sorted(set(map(int, best)))]

    def _consider_all(self, least: float) -> None:
        """Look at bodies, best first, down to the last one whose head has a score of `least`."""
        ranked = self._distinct(self._sure)
        last = max((k for k, (_, score, _) in enumerate(ranked) if score >= least), default=-1)
        for level, score, square in ranked[: min(last + 1, MOST_CANDIDATES - len(self._tried))]:
            self._consider(level, score, square)

    def _consider(self, level: Level, score: float, square: Square) -> None:
        """Look at one square: keep the person in it, or record why not, unless that person was found already."""
        self._tried.append(square.scaled(level.factor))
        if self._taken(self._tried[-1]):
            return
        first = self._glance(level, square)
        if first.person < LEAST_PERSON or first.better.side < 16:
            return
        placed = first.scaled(level.factor)
        if self._taken(placed.better, placed):
            return
        seen = pose_networks().landmarks(level.pixels, first.better)
        seen = replace(seen, person=min(first.person, seen.person))
        if seen.person < LEAST_PERSON or self._found(level, seen):
            return
        second = self._second(level, seen)
        why = _why_nobody(seen, second)
        if why:
            middle = seen.scaled(level.factor).square
            self.refused.append(Refused(middle.x, middle.y, middle.side, why))
        else:
            self.kept.append(Find(min(score, seen.person), seen, level, second))

    def _taken(self, square: Square, seen: Landmarks | None = None) -> bool:
        """Whether a square, or what a first look at it shows, certainly belongs to someone who was found."""
        found = [one.seen_at for one in self.kept]
        return any(near(square, one.square) or (seen is not None and surely_same(seen, one)) for one in found)

    def _glance(self, level: Level, square: Square) -> Landmarks:
        return pose_networks().landmarks(level.pixels, square, mask=False)

    def _second(self, level: Level, seen: Landmarks) -> Landmarks:
        return second_look(level, seen)

    def _found(self, level: Level, seen: Landmarks) -> bool:
        """Whether this is one of those who were found already."""
        placed = seen.scaled(level.factor)
        return any(same_person(placed, one.seen_at) for one in self.kept)

    def _look_at_weak(self) -> None:
        """Keep a person who shows only faintly if both networks are sure and agree; tries at most MOST_WEAK squares."""
        tried = 0
        for level, score, square in sorted(self._distinct(self._weak), key=lambda one: -one[1]):
            here = square.scaled(level.factor)
            if any(_about(here, one.seen_at) for one in self.kept):
                continue
            if tried == MOST_WEAK:
                break
            tried += 1
            first = self._glance(level, square)
            if first.person < HALF_SURE_OF_WEAK or first.better.side < 16:
                continue
            seen = pose_networks().landmarks(level.pixels, first.better)
            sure = first.person >= SURE_OF_WEAK
            if seen.person < (SURE_OF_WEAK if sure else SURE) or self._found(level, seen):
                continue
            second = self._second(level, seen)
            if second.person >= LEAST_SECOND_OF_WEAK and landmarks_apart(seen, second) <= (
                APART_OF_WEAK if sure else 0.75 * APART_OF_WEAK
            ):
                self.kept.append(Find(score, seen, level, second))

    def _distinct(self, heads: list[tuple[Level, float, Square]]) -> list[tuple[Level, float, Square]]:
        """One head for each body, none of a body that was looked at; level by level, best first."""
        kept: list[tuple[Level, float, Square]] = []
        for level in dict.fromkeys(level for level, *_ in heads):
            known = [*self._tried, *(square.scaled(where.factor) for where, _, square in kept)]
            mine = [(score, square) for where, score, square in heads if where is level]
            kept += [(level, *one) for one in distinct(mine, [square.scaled(1 / level.factor) for square in known])]
        return kept


def second_look(level: Level, seen: Landmarks) -> Landmarks:
    """What the heavy network sees in the square to which the light one points; px of the level."""
    return pose_networks(heavy=True).landmarks(level.pixels, seen.better, mask=False)


def scales(shrunk: Level, full: Level) -> list[Scale]:
    """The squares of a picture, coarse to fine: of the shrunk one, then, if it was shrunk, of the picture itself.

    The coarsest are the whole picture and squares of its short side.
    """
    height, width = shrunk.pixels.shape[:2]
    short = min(height, width)
    squares = list(tiles(height, width))
    groups = [(shrunk, [one for one in squares if one[2] >= short])]
    finer = [(shrunk, [one for one in squares if one[2] < short])]
    if shrunk.factor > 1:
        finer.append((full, list(fine_tiles(*full.pixels.shape[:2]))))
    for level, squares in finer:
        for side in sorted({side for *_, side in squares}, reverse=True):
            groups.append((level, [one for one in squares if one[2] == side]))
    return [Scale(level, squares, rank) for rank, (level, squares) in enumerate(groups)]


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
    two thirds of a side apart: a person who fills more than that shows at the coarser scale. It ends where squares
    would be finer than those of a picture of LONG_SIDE, or more than MOST_FINE_TILES in all.
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


def near(one: Square, other: Square) -> bool:
    """Whether two squares show one body: centres less than a tenth of their side apart, sides within a quarter."""
    size = min(one.side, other.side)
    return math.hypot(one.x - other.x, one.y - other.y) < 0.1 * size and max(one.side, other.side) < 1.25 * size


def hints_of(heads: Heads, factor: float) -> Iterator[tuple[float, float, float, float]]:
    """Centre x, y of each head and side of its body's square, px times `factor`, and its score, 0-1."""
    middles = (heads.boxes[:, :2] + heads.boxes[:, 2:]) / 2 * factor
    for (x, y), (hip, top), score in zip(middles.tolist(), heads.points[:, :2], heads.scores.tolist()):
        yield x, y, body_square(hip, top).side * factor, score


def explained(body: Landmarks, heads: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which of (n, 2) heads, px, are the head of a person who was found, or a part of that body mistaken for a head."""
    apart = np.linalg.norm(heads - body.points[FACE, :2].mean(0), axis=1)
    return (apart < 0.15 * body.square.side) | _masked(body, heads)


def surely_same(one: Landmarks, other: Landmarks) -> bool:
    """Whether two finds, in the same pixels, are certainly one person, by face and limbs alone, without masks."""
    small, large = sorted((one, other), key=lambda seen: seen.square.side)
    return _faces_apart(small, large) < 0.06 and _bodies_apart(small, large) < 0.2


def squares_about(heads: Heads, largest: float) -> list[tuple[float, Square]]:
    """(score, square about the body) of each head whose square is over 8 px and under `largest` px wide."""
    squares = [body_square(hip, top) for hip, top in heads.points[:, :2]]
    return [(score, square) for score, square in zip(heads.scores.tolist(), squares) if 8 < square.side < largest]


def distinct(scored: list[tuple[float, Square]], known: Sequence[Square]) -> list[tuple[float, Square]]:
    """Best first, one for each body, without those already known; of similar scores the larger square comes first."""
    kept: list[tuple[float, Square]] = []
    for score, square in sorted(scored, key=lambda pair: -pair[0] - 0.2 * math.log2(pair[1].side)):
        if not any(near(square, other) for other in (*known, *(other for _, other in kept))):
            kept.append((score, square))
    return kept


def _about(square: Square, body: Landmarks) -> bool:
    """Whether a square roughly shows a body already found, or a part of it, and need not be looked at."""
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
    """Why the second network does not accept a person that the first one found; empty = it does."""
    if second.person < LEAST_SECOND:
        return f"the heavier network takes it for no person ({second.person:.2f})"
    apart = landmarks_apart(seen, second)
    return f"two networks place its limbs {apart:.0%} of its size apart" if apart > APART else ""


def same_person(one: Landmarks, other: Landmarks) -> bool:
    """Whether two finds, in the same pixels, are one person: by face and body, by masks, or as a part within a whole.

    Two people may have their faces close together (one behind the other), so faces alone do not decide: they are two
    if neither their bodies nor their masks agree. One person may also be found upside down, with the face at the feet:
    then the masks agree.
    """
    small, large = sorted((one, other), key=lambda seen: seen.square.side)
    shared, inside = _masks_shared(small, large)
    if _faces_apart(small, large) < 0.08:
        return inside >= 0.5 or _bodies_apart(small, large) < 0.35
    ratio = small.square.side / large.square.side
    return shared > 0.62 or (ratio < 0.5 and inside > 0.6) or (ratio < 0.7 and inside > 0.85)


def _faces_apart(small: Landmarks, large: Landmarks) -> float:
    """Mean distance of the face's landmarks, in sides of the smaller square."""
    return float(np.linalg.norm(small.points[FACE, :2] - large.points[FACE, :2], axis=1).mean()) / small.square.side


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
    """(1024, 2) places over a find's square, px, and the area that each stands for, px squared."""
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
