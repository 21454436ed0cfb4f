"""The browser that tests drive."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from flows.cli.viewer.view_benchmark import BrowserError, browser_flags, browser_path


@contextmanager
def driven_browser() -> Iterator[Any]:
    """Chromium, driven by playwright; the test is skipped where one of them is not installed."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright drives the browser: it is not installed")
    try:
        path = browser_path()
    except BrowserError as error:
        pytest.skip(str(error))
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=path, args=browser_flags())
        yield browser
        browser.close()
