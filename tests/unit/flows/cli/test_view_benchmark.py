"""`bench view` measures a real server and a real browser, over few groups."""

import pytest

from flows.cli.viewer.view_benchmark import BrowserError, browser_path, measure_viewer

pytestmark = pytest.mark.slow


def test_the_viewer_is_measured(tmp_path):
    pytest.importorskip("playwright.sync_api", reason="playwright drives the browser: it is not installed")
    try:
        browser_path()
    except BrowserError as error:
        pytest.skip(str(error))
    rows = {row["metric"]: row["value"] for row in measure_viewer(100, tmp_path / "made-up")}
    assert rows.keys() == {
        f"view.{name}"
        for name in (
            "index_seconds", "start_seconds", "first_page_seconds", "first_meshes_seconds", "filter_seconds",
            "sort_seconds", "browser_mb",
        )
    }  # fmt: skip
    assert (
        all(value > 0 for value in rows.values())
        and rows["view.first_page_seconds"] < rows["view.first_meshes_seconds"]
    )
