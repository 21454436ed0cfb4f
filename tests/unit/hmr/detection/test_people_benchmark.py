"""The search and its baseline find the same people; each row says what it is compared with."""

from importlib import resources

import pytest

from hmr.detection.people_benchmark import measure_people, measure_quick


@pytest.mark.slow
def test_every_row_is_compared_and_nobody_is_lost():
    folder = resources.files("tasks") / "assets" / "photographs"
    with resources.as_file(folder / "worker_standing_at_furnace.jpg") as path:
        results = measure_people([path], rounds=1, processes=1)
    assert [row["metric"] for row in results] == [
        f"people.{one}" for one in ("photographs", "processes", "squares", "found")
    ]
    assert all(row["value"] > 0 and row["ratio"] > 0 and row["baseline"] for row in results)
    assert results[3]["value"] == 1 and results[3]["ratio"] == 1


@pytest.mark.slow
def test_the_quick_search_finds_who_fills_a_picture_in_less_time():
    folder = resources.files("tasks") / "assets" / "photographs"
    with resources.as_file(folder / "worker_standing_at_furnace.jpg") as path:
        quick, found = measure_quick([path], rounds=1)
    assert quick["metric"] == "people.quick_ms" and quick["value"] > 0
    assert f"{quick['ratio'] * quick['value']:.0f} ms" in quick["baseline"]
    assert found["value"] == 1 and found["ratio"] == 1
