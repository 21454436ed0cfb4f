"""Who is shown beside whom: everyone, equally often, at balanced places, in showings that hang together."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from critique.vlm.blocks import blocks, calls, pairs, presentations, whole_lists


def rng(seed=0):
    return np.random.default_rng(seed)


def test_a_list_without_shuffling_is_in_order():
    assert whole_lists(4, 2, None) == [(0, 1, 2, 3), (2, 3, 0, 1)]


@given(st.integers(1, 20), st.integers(1, 8), st.integers(0, 99))
def test_repeats_show_nobody_twice_at_one_place(size, repeats, seed):
    shown = whole_lists(size, repeats, rng(seed))
    assert len(shown) == min(size, repeats)
    assert all(sorted(order) == list(range(size)) for order in shown)
    for places in zip(*shown):
        assert len(set(places)) == len(places)


@given(st.integers(2, 30), st.integers(1, 3), st.integers(3, 8), st.integers(0, 99))
def test_blocks_share_their_anchors_and_hold_each_other_once(size, repeats, block_size, seed):
    shown = blocks(size, 1, block_size, 2, rng(seed))
    assert all(len(set(order)) == len(order) <= block_size for order in shown)
    times = Counter(one for order in shown for one in order)
    anchors = {one for one, count in times.items() if count > 1}
    assert set(times) == set(range(size))
    if len(shown) > 1:
        assert len(anchors) == 2 and 0 in anchors and all(anchors <= set(order) for order in shown)
    assert len(blocks(size, repeats, block_size, 2, rng(seed))) == repeats * len(shown)


@given(st.integers(2, 20), st.integers(1, 4), st.integers(0, 99))
def test_a_ring_shows_each_once_first_and_once_second(size, repeats, seed):
    shown = pairs(size, repeats, rng(seed))
    assert all(first != second for first, second in shown)
    for place in (0, 1):
        assert Counter(pair[place] for pair in shown) == dict.fromkeys(range(size), repeats)


@pytest.mark.parametrize(
    ("mode", "repeats", "cost"),
    [("list", 1, [20]), ("list", 3, [20] * 3), ("blocks", 1, [7, 7, 6, 6, 6]), ("pairs", 2, [2] * 40)],
)
def test_what_a_mode_costs(mode, repeats, cost):
    assert sorted(calls(mode, 20, repeats, 7, 3), reverse=True) == cost


def test_one_hypothesis_is_shown_alone():
    for mode in ("list", "blocks", "pairs"):
        assert presentations(mode, 1, 3, 7, 2, rng()) == [(0,)]
