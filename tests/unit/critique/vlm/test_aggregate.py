"""Linking calls: levels and slopes of calls fall out, odd calls too, and the standard errors are true."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from critique.vlm.aggregate import link
from critique.vlm.blocks import blocks, pairs, whole_lists

TRUE = np.linspace(30, 70, 20)


def details(shown, noise=0.0, levels=None, slopes=None, first=0.0, rng=None):
    """Scores in the order shown, of a judge with these faults."""
    rng = rng or np.random.default_rng(0)
    levels = np.zeros(len(shown)) if levels is None else levels
    slopes = np.ones(len(shown)) if slopes is None else slopes
    scores = []
    for order, level, slope in zip(shown, levels, slopes):
        score = 50 + level + slope * (TRUE[list(order)] - 50) + noise * rng.standard_normal(len(order))
        score[0] += first
        scores.append(score)
    return scores


def centred(scores):
    return scores - scores.mean()


def test_by_hand():  # the second call lies 10 higher; hypothesis 2 was told apart by one call alone
    shown = [(0, 1, 2), (1, 0)]
    linked = link(3, shown, [np.array([10.0, 20.0, 40.0]), np.array([30.0, 20.0])], "median")
    assert linked.scores == pytest.approx([15, 25, 45])
    assert linked.uncertainty == pytest.approx([0, 0, 0])


@pytest.mark.parametrize("how", ["mean", "median", "affine"])
def test_one_call_is_taken_as_it_is(how):
    linked = link(3, [(2, 0, 1)], [np.array([9.0, 5.0, np.nan])], how)
    assert np.array_equal(linked.scores, [5, np.nan, 9], equal_nan=True) and linked.uncertainty is None


def test_nothing_judged_is_nothing_known():
    linked = link(2, [(0, 1)], [np.array([np.nan, np.nan])], "mean")
    assert np.isnan(linked.scores).all() and linked.uncertainty is None


@pytest.mark.parametrize("how", ["mean", "median", "affine", "bradley_terry"])
def test_who_was_never_judged_stays_unjudged(how):
    shown = [(0, 1, 2), (2, 0, 1)]
    linked = link(3, shown, [np.array([10.0, np.nan, 40.0]), np.array([40.0, 10.0, np.nan])], how)
    assert np.isnan(linked.scores).tolist() == [False, True, False]
    if how != "affine":  # two levels and two slopes leave nothing to tell errors by
        assert np.isnan(linked.uncertainty).tolist() == [False, True, False]
    assert linked.scores[2] > linked.scores[0]


@pytest.mark.parametrize("how", ["mean", "median"])
def test_levels_of_whole_lists_fall_out(how):
    shown = whole_lists(20, 4, np.random.default_rng(1))
    linked = link(20, shown, details(shown, levels=[-9, 0, 4, 5]), how)
    assert linked.scores == pytest.approx(TRUE, abs=0.01)
    assert linked.uncertainty == pytest.approx(np.zeros(20), abs=0.1)


def test_blocks_are_linked_through_their_anchors():
    shown = blocks(20, 2, 7, 3, np.random.default_rng(2))
    rng = np.random.default_rng(3)
    levels, slopes = rng.normal(0, 6, len(shown)), rng.uniform(0.7, 1.3, len(shown))
    scores = details(shown, levels=levels - levels.mean(), slopes=slopes)
    raw = np.zeros(20)
    for order, score in zip(shown, scores):
        raw[list(order)] = score  # unlinked: the last call that showed a hypothesis counts
    linked = link(20, shown, scores, "affine").scores
    assert np.abs(centred(linked) - centred(TRUE)).mean() < 2 < 4 < np.abs(centred(raw) - centred(TRUE)).mean()


def test_a_bias_for_the_first_place():
    """+15 for the picture shown first: bias of a score within its group, worst hypothesis, in points."""

    def bias(repeats, how):
        shown = whole_lists(20, repeats, np.random.default_rng(0))
        return np.abs(centred(link(20, shown, details(shown, first=15), how).scores) - centred(TRUE)).max()

    assert bias(1, "mean") == pytest.approx(15 * 19 / 20)
    assert bias(2, "mean") < 2 and bias(3, "mean") < 1
    assert bias(3, "median") < 0.5


@pytest.mark.parametrize(
    ("shown", "how"),
    [
        (blocks(20, 2, 7, 3, np.random.default_rng(5)), "affine"),
        (pairs(20, 2, np.random.default_rng(6)), "mean"),
        (whole_lists(20, 3, np.random.default_rng(7)), "median"),
    ],
)
def test_what_a_place_earns_is_taken_off_in_every_mode(shown, how):
    """+15 for the first place, in a judge with noise: the scores it would have given without are found again."""
    fair = details(shown, noise=3)
    favoured = details(shown, noise=3, first=15)
    moved = centred(link(20, shown, favoured, how).scores) - centred(link(20, shown, fair, how).scores)
    naive = np.mean([np.abs(one - other).max() for one, other in zip(favoured, fair)])
    assert naive == pytest.approx(15) and np.abs(moved).mean() < 1 and np.abs(moved).max() < 2


def test_places_that_earn_nothing_cost_little():
    shown = whole_lists(20, 3, np.random.default_rng(8))
    linked = link(20, shown, details(shown, noise=3), "mean").scores
    assert np.sqrt(np.mean((centred(linked) - centred(TRUE)) ** 2)) < 1.3 * 3 / 3**0.5


@pytest.mark.parametrize("how", ["mean", "median", "affine"])
def test_standard_errors_are_about_the_true_errors(how):
    errors, said = [], []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        shown = whole_lists(20, 4, rng)
        linked = link(20, shown, details(shown, noise=6, rng=rng), how)
        errors.append(centred(linked.scores) - centred(TRUE))
        said.append(linked.uncertainty)
    assert np.sqrt(np.mean(np.square(said))) == pytest.approx(np.std(errors), rel=0.2)


def test_a_tournament_ranks_and_its_errors_shrink_with_play():
    errors = []
    for repeats in (2, 8):
        shown = pairs(20, repeats, np.random.default_rng(4))
        linked = link(20, shown, details(shown, noise=4), "bradley_terry")
        ranks = linked.scores.argsort().argsort()
        assert np.corrcoef(ranks, np.arange(20))[0, 1] > (0.8 if repeats == 2 else 0.9)
        assert (linked.scores >= 0).all() and (linked.scores <= 100).all()
        errors.append(linked.uncertainty.mean())
    assert 0 < errors[1] < errors[0]


def test_a_tie_is_half_a_win():
    linked = link(2, [(0, 1)], [np.array([70.0, 70.0])], "bradley_terry")
    assert linked.scores == pytest.approx([50, 50])


@given(st.integers(2, 8), st.integers(2, 4), st.sampled_from(["mean", "median", "affine"]), st.floats(-20, 20))
def test_a_higher_level_of_all_calls_raises_all_scores(size, repeats, how, by):
    rng = np.random.default_rng(size * repeats)
    shown = whole_lists(size, repeats, rng)
    scores = [rng.uniform(35, 65, size) for _ in shown]
    low, high = (link(size, shown, [score + more for score in scores], how).scores for more in (0.0, by))
    assert high == pytest.approx(low + by, abs=0.3)
