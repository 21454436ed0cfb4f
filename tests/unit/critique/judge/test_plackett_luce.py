"""Chances of rankings, worked by hand; ties, open ends, gradients."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from critique.judge.plackett_luce import ranking, surprise


def chance(worths, scores, **how):
    return float(np.exp(-surprise(np.log([worths]), ranking(np.float64([scores]), **how))[0]))


def test_matches_hand_worked_chances():
    """Worths 3, 2, 1: the best is drawn with 3/6, the next of the rest with 2/3, the last alone."""
    assert_allclose(chance([3.0, 2.0, 1.0], [90, 50, 10]), 3 / 6 * 2 / 3)
    assert_allclose(chance([3.0, 2.0, 1.0], [10, 50, 90]), 1 / 6 * 2 / 5)
    assert_allclose(chance([3.0, 1.0], [5, 4]), 3 / 4)  # a pair: Bradley and Terry
    assert_allclose(chance([3.0, 2.0, 1.0], [90, np.nan, 10]), 3 / 4)  # who is not judged is not drawn


def test_ties_are_drawn_from_all_that_are_not_above_them():
    """Breslow: both tied ones from 3 + 2 + 1, then 1 from itself."""
    assert_allclose(chance([3.0, 2.0, 1.0], [50, 50, 10]), 3 / 6 * 2 / 6)


def test_an_open_end_is_not_ranked():
    assert_allclose(chance([3.0, 2.0, 1.0], [1, 0, 0], open_end=True), 3 / 6)  # the best of three, and no more
    assert_allclose(chance([3.0, 2.0, 1.0], [2, 1, 0], open_end=True), 3 / 6 * 2 / 3)


@pytest.mark.parametrize("open_end", [False, True])
def test_the_gradient_is_that_of_finite_differences(open_end):
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 4, (5, 6)).astype(float)
    scores[0, 2] = scores[3, 0] = scores[3, 5] = np.nan
    scores[4] = np.nan
    ranked, worths = ranking(scores, open_end), rng.normal(size=(5, 6))
    _, slope = surprise(worths, ranked)
    step = np.zeros_like(worths)
    for place in np.ndindex(*worths.shape):
        step[place] = 1e-6
        found = (surprise(worths + step, ranked)[0] - surprise(worths - step, ranked)[0]) / 2e-6
        step[place] = 0
        assert_allclose(slope[place], found, atol=1e-6)


def test_a_common_shift_and_the_order_of_hypotheses_change_nothing():
    rng = np.random.default_rng(1)
    scores, worths, order = rng.integers(0, 5, (3, 7)).astype(float), rng.normal(size=(3, 7)), rng.permutation(7)
    nats, slope = surprise(worths, ranking(scores))
    other, turned = surprise(worths[:, order] + 5, ranking(scores[:, order]))
    assert_allclose(other, nats)
    assert_allclose(turned, slope[:, order], atol=1e-12)
    assert_allclose(slope.sum(1), 0, atol=1e-12)
