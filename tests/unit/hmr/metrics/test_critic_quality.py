import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hmr.metrics.critic_quality import GAPS_MM, calibrated, pair_accuracy, pooled_correlation, top_regret

NAN = np.nan
ERRORS = np.array([[100.0, 103.0, 130.0]])  # gaps 3, 30 and 27 mm


def test_pairs_by_hand():
    right = pair_accuracy(np.array([[3.0, 2.0, 1.0]]), ERRORS)
    assert right.accuracy.tolist() == [1] and GAPS_MM[:4] == (0, 5, 10, 20)
    np.testing.assert_array_equal(right.by_gap, [[1, NAN, NAN, 1, NAN, NAN]])
    swapped = pair_accuracy(np.array([[2.0, 3.0, 1.0]]), ERRORS)  # the two that are 3 mm apart
    assert swapped.accuracy == pytest.approx([2 / 3])
    np.testing.assert_array_equal(swapped.by_gap, [[0, NAN, NAN, 1, NAN, NAN]])


def test_ties_count_a_half_and_abstentions_not_at_all():
    assert pair_accuracy(np.array([[5.0, 5.0, 5.0]]), ERRORS).accuracy.tolist() == [0.5]
    assert pair_accuracy(np.array([[NAN, 5.0, 4.0]]), ERRORS).accuracy.tolist() == [1]
    assert np.isnan(pair_accuracy(np.array([[NAN, NAN, 4.0]]), ERRORS).accuracy).all()


def test_regret_by_hand():
    scores = np.array([[1.0, 5.0, 2.0], [NAN, 1.0, 1.0], [NAN, NAN, NAN]])
    found = top_regret(scores, np.repeat(ERRORS, 3, 0))
    np.testing.assert_allclose(found.chosen, [3, 16.5, NAN])
    np.testing.assert_allclose(found.random, [11, 11, 11])


def test_the_oracle_has_no_regret():
    errors = np.random.default_rng(0).uniform(50, 300, (9, 6))
    assert (top_regret(-errors, errors).chosen == 0).all()


def test_calibration_undoes_any_rising_map():
    errors = np.random.default_rng(0).uniform(50, 300, (60, 10))
    found = calibrated(100 * np.exp(-errors / 40), errors)
    assert np.corrcoef(found.ravel(), errors.ravel())[0, 1] > 0.9999
    assert np.median(np.abs(found - errors)) < 1


def test_a_group_has_no_part_in_its_own_calibration():
    random = np.random.default_rng(1)
    scores, errors = random.uniform(0, 100, (12, 5)), random.uniform(50, 300, (12, 5))
    other = errors.copy()
    other[3] = random.uniform(0, 999, 5)
    np.testing.assert_array_equal(calibrated(scores, errors)[3], calibrated(scores, other)[3])
    assert not np.array_equal(calibrated(scores, errors), calibrated(scores, other))


def test_calibration_keeps_abstentions_and_needs_other_groups():
    scores = np.array([[1.0, NAN], [2.0, 1.0], [3.0, 0.0]])
    found = calibrated(scores, np.array([[9.0, 9.0], [5.0, 9.0], [1.0, 9.0]]))
    np.testing.assert_array_equal(np.isnan(found), np.isnan(scores))
    with pytest.raises(ValueError, match="two at least"):
        calibrated(scores[:1], ERRORS[:, :2])


def test_pooled_correlation_is_pearson_over_all_that_were_judged():
    random = np.random.default_rng(2)
    errors = random.normal(100, 20, (30, 4))
    expected = errors + random.normal(0, 10, errors.shape)
    expected[5], expected[0, 1] = NAN, NAN
    kept = ~np.isnan(expected)
    found = pooled_correlation(expected, errors, 0, resamples=300)
    assert found.estimate == pytest.approx(np.corrcoef(expected[kept], errors[kept])[0, 1])
    assert found.low < found.estimate < found.high and found.images == 29


@given(factor=st.floats(0.1, 10), shift=st.floats(-100, 100))
def test_pooled_correlation_knows_no_unit(factor, shift):
    errors = np.random.default_rng(3).normal(100, 20, (6, 4))
    expected = errors + np.random.default_rng(4).normal(0, 10, errors.shape)
    moved = pooled_correlation(factor * expected + shift, errors, 0, resamples=0)
    assert moved.estimate == pytest.approx(pooled_correlation(expected, errors, 0, resamples=0).estimate, abs=1e-6)


def test_constant_scores_have_no_correlation():
    assert np.isnan(pooled_correlation(np.ones((3, 3)), np.arange(9.0).reshape(3, 3), 0, resamples=5).estimate)
