import numpy as np
import pytest

from critique.controls import control_rates
from tests.factories import make_group, make_verdict


def test_by_hand():
    group = make_group(np.random.default_rng(0), 3)
    verdicts = [
        make_verdict(group, scores)
        for scores in ([90, 50, 10], [50, 90, 10], [90, 90, 90], [90, 50, np.nan], [10, 50, 90])
    ]
    found = control_rates(verdicts, [0] * 5, [2] * 5)
    assert found["truth_wins"] == pytest.approx((1 + 0 + 1 / 3 + 0) / 4)
    assert found["corrupted_loses"] == pytest.approx((1 + 1 + 1 / 3 + 0) / 4)
    assert found["truth_beats_corrupted"] == pytest.approx((1 + 1 + 0.5 + 0) / 4)
    assert found["unjudged"] == pytest.approx(1 / 5)


def test_nobody_judged():
    found = control_rates([make_verdict(make_group(np.random.default_rng(0), 2), [np.nan, 5])], [0], [1])
    assert np.isnan(found["truth_wins"]) and found["unjudged"] == 1
