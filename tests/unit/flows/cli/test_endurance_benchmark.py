"""`bench endurance` on real processes, a real server and its viewer, over few groups."""

import pytest

from flows.cli.measuring.endurance_benchmark import measure_endurance, quarters


def test_the_largest_value_of_each_quarter():
    assert quarters([(0, 5), (1, 9), (10, 2), (25, 3), (60, 7), (100, 4)]) == [9, 3, 7, 4]
    assert quarters([(0, 5), (100, 4)]) == [5, 5, 5, 4]


@pytest.mark.long
def test_it_is_measured():
    rows = {row["metric"].removeprefix("endurance."): row["value"] for row in measure_endurance(100, 8)}
    parts = [f"{part}_mb_{k}" for part in ("write", "rescore", "view") for k in range(1, 5)]
    assert list(rows) == [*parts, "viewer_page_s", "dashboard_page_s", "report_s"]
    assert all(value > 0 for value in rows.values())
