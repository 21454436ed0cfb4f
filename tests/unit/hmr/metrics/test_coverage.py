import numpy as np
import pytest
from numpy.testing import assert_allclose

from hmr.metrics.coverage import LEVELS, coverage, ranks


def test_ranks_of_a_group_worked_by_hand():
    # Of 1, 2, 3, 4: 2.5 lies above two of them, 0 above none, 9 above all, and 3 above two and level with one.
    hypotheses = np.tile(np.array([1.0, 2.0, 3.0, 4.0])[None, :, None], (4, 1, 1))
    assert_allclose(ranks(hypotheses, np.array([[2.5], [0.0], [9.0], [3.0]]))[:, 0], [2, 0, 4, 2.5])


def test_interval_worked_by_hand():
    # Four hypotheses make five places; the middle three of them are 60 %.
    hypotheses = np.tile(np.array([1.0, 2.0, 3.0, 4.0])[None, :, None, None], (5, 1, 1, 3))
    true = np.tile(np.array([0.5, 1.5, 2.5, 3.5, 4.5])[:, None, None], (1, 1, 3))
    assert_allclose(coverage(hypotheses, true, 0.6), [[0.6] * 3])
    # 80 % cuts the outer places in half, so that truths at either end count half.
    assert_allclose(coverage(hypotheses, true, 0.8), [[0.8] * 3])


@pytest.mark.parametrize("size", [7, 20, 100])
def test_a_calibrated_group_gets_the_nominal_share(size):
    random = np.random.default_rng(0)
    hypotheses, true = random.standard_normal((4000, size, 1, 3)), random.standard_normal((4000, 1, 3))
    for level in LEVELS:
        assert_allclose(coverage(hypotheses, true, level).mean(), level, atol=0.015)


def test_groups_that_are_too_sure_cover_less_and_doubtful_ones_more():
    random = np.random.default_rng(1)
    true = random.standard_normal((2000, 1, 3))
    narrow, wide = (factor * random.standard_normal((2000, 50, 1, 3)) for factor in (0.5, 2.0))
    assert coverage(narrow, true, 0.8).mean() < 0.6 < 0.95 < coverage(wide, true, 0.8).mean()
