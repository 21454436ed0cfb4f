import numpy as np
import pytest

from tests.factories import make_group, make_verdict

NAN = np.nan


def verdict(uncertainty):
    return make_verdict(make_group(np.random.default_rng(0), 3), [80, NAN, 20], uncertainty=np.array(uncertainty))


def test_an_uncertainty_goes_with_each_score_and_with_scores_alone():
    assert verdict([2.0, NAN, 0.0]).uncertainty.tolist()[0] == 2
    for wrong in (
        [2.0, 1.0, 0.0],
        [NAN, NAN, 1.0],
        [-1.0, NAN, 1.0],
        [np.inf, NAN, 1.0],
        [1.0, NAN],
        [2.0, np.inf, 1.0],
    ):
        with pytest.raises(ValueError, match="uncertainty"):
            verdict(wrong)
