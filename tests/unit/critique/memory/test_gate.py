"""The gate: agreement with the truth, the paired test by photographs, what is admitted."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from critique.memory.gate import Lift, agreement, decide, paired_lift, shared_confidence

NAN = math.nan


def test_agreement_by_hand():  # ranks 1 2 3 4 against 2 1 3 4: 1 - 6 * 2 / (4 * 15)
    assert agreement(np.array([10.0, 20.0, 30.0, 40.0]), np.array([0.2, 0.1, 0.3, 0.4])) == pytest.approx(0.8)


def test_the_unjudged_have_no_part_and_a_tie_of_all_is_no_ranking():
    quality = np.array([0.1, 0.9, 0.2, 0.3])
    assert agreement(np.array([1.0, NAN, 2.0, 3.0]), quality) == pytest.approx(1)
    assert agreement(np.full(4, 50.0), quality) == 0
    assert math.isnan(agreement(np.array([1.0, NAN, NAN, 3.0]), quality))
    assert math.isnan(agreement(np.arange(4.0), np.full(4, 0.5)))


@given(st.permutations(range(6)), st.floats(0.1, 10))
def test_only_ranks_count(order, power):
    scores, quality = np.array(order, float), np.arange(6.0)
    assert agreement(scores, quality) == pytest.approx(agreement(np.exp(power * scores / 6), quality))


def test_a_lift_by_hand():
    """Two photographs of mean gain .3 and .1: a resample has mean .3, .2 or .1, each bound is one of the ends."""
    lift = paired_lift([0.0, 0.1, 0.5], [0.2, 0.5, 0.6], ["a", "a", "b"], confidence=0.95)
    assert lift.mean == pytest.approx((0.2 + 0.4 + 0.1) / 3)
    assert (lift.low, lift.high, lift.groups) == (pytest.approx(0.1), pytest.approx(0.3), 3)


def test_pairs_with_an_abstention_have_no_part():
    lift = paired_lift([NAN, 0.1, 0.5, 0.2], [0.9, NAN, 0.6, 0.4], ["a", "b", "c", "d"])
    assert lift.mean == pytest.approx(0.15) and lift.groups == 2


def test_one_photograph_proves_nothing():
    lift = paired_lift([0.0] * 9, [1.0] * 9, ["a"] * 9)
    assert lift.low == -math.inf and decide(lift) == "undecided"
    assert paired_lift([], [], []) == Lift(0.0, -math.inf, math.inf, 0)


@pytest.mark.parametrize(
    ("gain", "outcome"), [((0.02, 0.01), "admitted"), ((0.02, 0.3), "undecided"), ((-0.02, 0.01), "refused")]
)
def test_the_decision(gain, outcome):
    gains = np.random.default_rng(0).normal(*gain, 40)
    gains += gain[0] - gains.mean()
    photographs = [str(k) for k in range(40)]
    assert decide(paired_lift(np.zeros(40), gains, photographs)) == outcome


def test_no_gain_is_refused():
    assert decide(paired_lift([0.5] * 10, [0.5] * 10, list("abcdefghij"))) == "refused"
    assert decide(paired_lift([NAN] * 10, [0.5] * 10, list("abcdefghij"))) == "undecided"  # nothing was tested


def test_false_rules_are_rarely_admitted():
    """Gains of pure noise pass at the rate that the confidence promises, or nearly so for a bootstrap of 40."""
    rng, photographs = np.random.default_rng(0), [str(k) for k in range(40)]
    passed = [
        decide(paired_lift(np.zeros(40), rng.normal(0, 0.2, 40), photographs, resamples=400)) == "admitted"
        for _ in range(400)
    ]
    assert np.mean(passed) < 0.09


def test_several_tests_share_the_confidence():
    assert shared_confidence(0.95, 1) == shared_confidence(0.95, 0) == pytest.approx(0.95)
    assert shared_confidence(0.95, 5) == pytest.approx(0.99)
