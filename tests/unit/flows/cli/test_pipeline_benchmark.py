"""Rows of `bench pipeline` from made-up seconds, worked out by hand."""

import pytest

from flows.cli.measuring.pipeline_benchmark import STAGES, pipeline_rows


def rows(**find: float) -> dict[str, tuple[float, float | None]]:
    """Value and ratio by metric, if finding takes so many seconds, sampling one, and judging one."""
    taken = {name.replace("_", ", "): [dict(zip(STAGES, (seconds, 1.0, 1.0)))] for name, seconds in find.items()}
    return {row["metric"].removeprefix("pipeline."): (row["value"], row["ratio"])
            for row in pipeline_rows(taken, photographs=102, free=12)}  # fmt: skip


def test_rates_with_the_start_and_without():
    found = rows(plain=20, recorded=22.2, one=30, two=18, free=9, idle=0, one_begun=6, two_begun=6, free_begun=6)
    assert found["photos_per_second"] == pytest.approx((102 / 20, 32 / 20))
    assert found["going_photos_per_second"] == pytest.approx((100 / 12, 24 / 12))  # two photographs were in the start
    assert found["scaling"] == pytest.approx((31 / 19, 31 / 19)) and found["scaling_going"][0] == pytest.approx(2)
    assert found["going_free_photos_per_second"] == (pytest.approx(10 / 3), None)
    assert found["prefect_percent"] == pytest.approx((10, 22 / 24.2)) and found["nothing_to_do"] == (2, None)
    assert found["share_find_people"][0] == 90


def test_where_all_was_over_with_the_start_no_rate_without_it_is_told():
    found = rows(plain=2, recorded=2, one=6.5, two=5, free=5, idle=0, one_begun=6, two_begun=6, free_begun=6)
    assert "photos_per_second" in found and not [name for name in found if "going" in name]
