"""The thorough search: squares that cover a picture, which of them are worth a look, and who is one person."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from skimage import data

from hmr.detection.pose_networks import Landmarks, PoseNetworks, Square
from hmr.detection.tile_search import (
    LONG_SIDE,
    MOST_FINE_TILES,
    Find,
    Level,
    TileSearch,
    explained,
    fine_tiles,
    same_person,
    scales,
    surely_same,
    tiles,
)


@given(height=st.integers(32, 3000), width=st.integers(32, 3000))
def test_tiles_cover_the_picture_and_overlap_by_half(height, width):
    squares = list(tiles(height, width))
    assert squares[0] == (width / 2, height / 2, max(height, width))
    for size in {side for _, _, side in squares}:
        for axis, length in ((0, width), (1, height)):
            centres = sorted({square[axis] for square in squares if square[2] == size})
            assert centres[0] - size / 2 <= 1e-6 and centres[-1] + size / 2 >= length - 1e-6
            assert all(after - before <= size / 2 + 1e-6 for before, after in pairwise(centres))


@given(height=st.integers(32, 30000), width=st.integers(32, 30000))
def test_fine_tiles_are_bounded_and_cover_every_scale(height, width):
    squares = list(fine_tiles(height, width))
    assert len(squares) <= MOST_FINE_TILES and all(side >= LONG_SIDE / 3 for _, _, side in squares)
    for size in {side for _, _, side in squares}:
        for axis, length in ((0, width), (1, height)):
            centres = sorted({square[axis] for square in squares if square[2] == size})
            assert centres[0] - size / 2 <= 1e-6 and centres[-1] + size / 2 >= length - 1e-6


def seen_at(x: float, y: float, side: float, turn: float = 0.0) -> Landmarks:
    """A find with a mask of a third of its square's width, a face at its top and the rest of the body below."""
    square = Square(float(x), float(y), float(side), turn)
    mask = np.zeros((64, 64, 1), np.float32)
    mask[8:56, 22:42] = 1
    grid = np.column_stack([np.full(33, 32.0), np.linspace(10, 54, 33)])
    matrix = square.to_photograph(64)
    places = grid @ matrix[:, :2].T + matrix[:, 2]
    points = np.column_stack([places, np.zeros(33), np.ones(33)]).astype(np.float32)
    return Landmarks(0.9, points, np.zeros((33, 3), np.float32), mask, square, square)


def test_one_person_by_mask_though_upside_down_and_two_side_by_side():
    one = seen_at(100, 100, 200)
    assert same_person(one, seen_at(104, 102, 210))
    assert same_person(one, seen_at(100, 100, 200, math.pi))  # the legs taken for a head
    assert same_person(one, seen_at(100, 60, 60))  # an arm or a head amid the body
    assert not same_person(one, seen_at(170, 100, 200))  # a neighbour
    assert not same_person(one, seen_at(180, 140, 90))  # a child beside


def test_faces_together_are_two_people_where_bodies_and_masks_are_not():
    one = seen_at(100, 100, 200)
    leaning = seen_at(200, 31, 200, -math.pi / 2)  # its face at the face of the other, the body to the right
    leaning.points[:11, :2] = one.points[:11, :2]
    assert not same_person(one, leaning)


def test_surely_the_same_needs_face_and_limbs():
    one = seen_at(100, 100, 200)
    assert surely_same(one, seen_at(104, 102, 200))  # 0.02 of the side
    assert not surely_same(one, seen_at(120, 100, 200))  # 0.1: another look tells
    turned = seen_at(100, 100, 200)
    turned.points[11:29, 0] += 60  # the face of one who leans over
    assert not surely_same(one, turned)


def test_a_head_is_explained_by_a_face_or_within_the_mask():
    """The mask spans x 68-131 and y 25-175, the face lies about (100, 53); 0.15 of the side are 30 px."""
    heads = np.array([(100, 53), (125, 40), (128, 150), (140, 60), (100, 20), (60, 100)], float)
    assert explained(seen_at(100, 100, 200), heads).tolist() == [True, True, True, False, False, False]
    assert explained(seen_at(100, 100, 200), heads[:0]).tolist() == []


def level(height: int, width: int) -> Level:
    return Level(np.zeros((height, width, 3), np.uint8), 1.0)


def found(x: float, y: float, side: float) -> Find:
    return Find(0.9, seen_at(x, y, side), level(600, 600))


WHOLE = found(310, 350, 700)


def test_scales_are_all_squares_coarse_to_fine():
    whole, half, third = scales(level(480, 640), level(480, 640))
    assert {one[2] for one in whole.squares} == {640, 480} and half.side == 320 and third.side == 640 / 3
    assert [*whole.squares, *half.squares, *third.squares] == list(tiles(480, 640))


@pytest.mark.parametrize(
    ("hints", "people", "squares"),
    [
        ([], [], "all"),  # nobody yet
        ([], [WHOLE], []),
        ([(50.0, 310.0, 200.0, 0.05)], [WHOLE], [(150, 300, 300)]),  # faint: the square about it
        ([(50.0, 310.0, 200.0, 0.05), (60.0, 300.0, 90.0, 0.04)], [WHOLE], [(150, 300, 300)]),
        ([(50.0, 310.0, 200.0, 0.5)], [WHOLE], "all"),  # clear
        ([(50.0, 310.0, 400.0, 0.5)], [WHOLE], []),  # too large for squares of 300 px
        ([(310.0, 310.0, 200.0, 0.5)], [WHOLE], []),  # a part of somebody found
        ([], [found(310, 350, 500)], "all"),  # company of that size would not fill the picture
    ],
)
def test_which_squares_are_worth_a_look(hints, people, squares):
    whole, half, _ = scales(level(600, 600), level(600, 600))
    search = TileSearch(kept=people, _hints=hints)
    assert search._worthwhile(whole) == whole.squares
    assert search._worthwhile(half) == (half.squares if squares == "all" else squares)


def test_company_counts_for_the_second_scale_alone():
    *_, third = scales(level(600, 600), level(600, 600))
    assert TileSearch(kept=[found(310, 350, 300)])._worthwhile(third) == []


def test_a_portrait_takes_few_squares_and_small_people_many():
    portrait = TileSearch().through(data.astronaut())
    assert len(portrait.kept) == 1 and portrait.squares < 10
    field = np.full((800, 1200, 3), 90, np.uint8)
    field[300:440, 100:240] = np.asarray(Image.fromarray(data.astronaut()).resize((140, 140)))
    small = TileSearch().through(field)
    assert len(small.kept) == 1 and small.squares > portrait.squares


def test_the_networks_compute_the_same_without_a_mask():
    square = Square(230.0, 260.0, 600.0, 0.1)
    for networks in (PoseNetworks(), PoseNetworks(heavy=True)):
        whole, part = (networks.landmarks(data.astronaut(), square, mask=mask) for mask in (True, False))
        assert part.person == whole.person and part.better == whole.better
        np.testing.assert_array_equal(part.points, whole.points)
        np.testing.assert_array_equal(part.world, whole.world)
        assert whole.mask.shape == (256, 256, 1) and part.mask.size == 0


def test_heads_come_in_bands_of_their_scores():
    networks, crop = PoseNetworks(), (256.0, 256.0, 512.0)
    sure, weak, faint = networks.heads(data.astronaut(), crop, 0.4, 0.17, 0.01)
    (alone,) = networks.heads(data.astronaut(), crop, 0.4)
    np.testing.assert_array_equal(sure.points, alone.points)
    assert len(sure.scores) == 1 and sure.scores[0] >= 0.4
    assert ((weak.scores < 0.4) & (weak.scores >= 0.17)).all() and len(faint.scores)
    assert ((faint.scores < 0.17) & (faint.scores >= 0.01)).all()
