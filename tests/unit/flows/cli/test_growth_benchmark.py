import pytest

from flows.cli.measuring.growth_benchmark import exponent


def test_the_exponent_of_what_is_known():
    assert exponent({50: 1.0, 100: 2.0, 400: 8.0}) == pytest.approx(1)
    assert exponent({50: 3.0, 400: 3.0}) == pytest.approx(0, abs=1e-9)
    assert exponent({10: 2.0, 100: 200.0}) == pytest.approx(2)
