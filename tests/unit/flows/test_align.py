"""Which people the report of a run shows."""

import numpy as np
import pytest

from flows.align import shown_groups
from tasks.run.plan import Plan
from tasks.run.settings import load_settings
from tests.factories import make_person


def plan_with(tmp_path, wild: int, **photographs) -> tuple[Plan, list[str], list[str]]:
    """A run that shows four groups, with three people in real photographs and some drawn ones; ids of both."""
    settings = load_settings(
        None, {"run": {"out": str(tmp_path)}, "overlay": {"groups_shown": 4}, "photographs": photographs}
    )
    plan, rng = Plan(settings), np.random.default_rng(0)
    real, drawn = ([make_person(rng, name=f"{name}-{k:06d}") for k in range(n)]
                   for name, n in (("street", 3), ("wild", wild)))  # fmt: skip
    plan.store.write_people("free-0000" if plan.on_studio else "mine-0000", real)
    plan.store.write_people("wild-0000" if plan.on_studio else "mine-0001", drawn)
    return plan, [p.group_id for p in real], [p.group_id for p in drawn]


def test_half_of_the_groups_are_people_of_photographs(tmp_path):
    plan, real, wild = plan_with(tmp_path, 5)
    assert plan.photographed() == ("free-0000",)
    assert shown_groups(plan, real[::-1]) == (real[2], real[1], wild[0], wild[1])
    assert shown_groups(plan, real[:1]) == (real[0], *wild[:3])


@pytest.mark.parametrize("count", [0, 1])
def test_and_more_where_few_were_drawn(tmp_path, count):
    plan, real, wild = plan_with(tmp_path, count)
    assert shown_groups(plan, real) == (*real, *wild)


def test_on_a_folder_of_photographs_all_are(tmp_path):
    plan, real, named_alike = plan_with(tmp_path, 2, folder=str(tmp_path))
    assert plan.photographed() == ("mine-0000", "mine-0001")
    order = [*named_alike, *real]
    assert shown_groups(plan, order) == tuple(order[:4])
