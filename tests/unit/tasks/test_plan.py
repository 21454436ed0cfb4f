"""Which groups, models and temperatures each round works with."""

import pytest

from tasks.plan import Plan
from tasks.settings import Align, Sample, Settings


def plan(**align) -> Plan:
    return Plan(Settings(align=Align(**align), sample=Sample(temperature=4.0)))


@pytest.mark.parametrize(
    ("told", "wanted"), [((), [4.0, 4.0, 4.0]), ((5.0,), [5.0, 5.0, 5.0]), ((3.0, 2.0), [3.0, 2.0, 2.0])]
)
def test_the_last_temperature_holds_on(told, wanted):
    assert [plan(temperatures=told).temperature(k) for k in range(3)] == wanted


@pytest.mark.parametrize(
    ("age", "number", "wanted"),
    [(0, 3, ()), (1, 1, ()), (1, 3, ("round1",)), (5, 3, ("round0", "round1"))],
)
def test_groups_of_earlier_rounds_are_used_up_to_an_age(age, number, wanted):
    assert plan(max_age=age).older_gens(number) == wanted
