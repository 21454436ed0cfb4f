"""Speed of `hmr-align view` over many made-up groups, in a real browser: first page, filters, memory."""

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

GROUPS = 10_000
_FILTERS = ("wrist", "shin 4", "feet float", "street_0012", "degrees 77")
_SORTS = ("-mean", "distance", "-disagreement", "best_error")

_SHOWN = """() => {
  const seen = (one) => one.getBoundingClientRect().top < innerHeight;
  const cards = [...document.querySelectorAll('.slot img')].filter(seen);
  return cards.length > 3 && cards.every((one) => one.complete && one.naturalWidth > 0);
}"""
_LAST_PICTURE = """() => Math.max(...performance.getEntriesByType('resource')
  .filter((one) => one.name.includes('/api/crop/')).map((one) => one.responseEnd)) / 1000"""
_FILTERED = """(words) => new Promise((done, failed) => {
  const search = document.querySelector('input[type=search]'), list = document.querySelector('.cards');
  const before = list.dataset.answers, start = performance.now();
  setTimeout(() => failed(new Error(`no answer to ${words}`)), 60000);
  new MutationObserver((_, observer) => {
    if (list.dataset.answers === before || !list.querySelector('.slot, .none')) return;
    observer.disconnect();
    done((performance.now() - start) / 1000);
  }).observe(list, { childList: true, attributes: true });
  search.value = words;
  search.dispatchEvent(new Event('input'));
})"""
"""Both by the page's own clock, until everything is there to be painted: without a GPU painting is slow itself."""


class BrowserError(Exception):
    """There is no browser to measure with; the message says what to install."""


def measure_viewer(groups: int = GROUPS, folder: Path | None = None) -> list[dict[str, Any]]:
    """All measurements, each with metric, value and unit.

    folder: of the made-up run, which is made if it is not there; a temporary one if none is given.
    """
    from storage.group_store import GroupStore
    from tasks.viewer.gallery import gallery
    from tasks.viewer.made_up_run import make_run

    with TemporaryDirectory() as made:
        root = folder or Path(made)
        if not (root / "store").exists():
            make_run(root, groups)
        start = time.perf_counter()
        found = len(gallery(GroupStore(root / "store")))
        index = time.perf_counter() - start
        with serving(root) as (address, started):
            seen = _in_browser(address)
    unit = f"of {found:,} groups"
    rows = {
        "index_seconds": (index, f"s {unit}, from the store to the columns that are searched"),
        "start_seconds": (started, "s from the command to its address"),
        "first_page_seconds": (seen["first"], "s from the address to the last photograph of the cards in the window"),
        "first_meshes_seconds": (
            seen["meshes"],
            "s until meshes can be drawn over them: torch and the body are loaded",
        ),
        "filter_seconds": (seen["filter"], f"s from a key to the groups that fit, median of {len(_FILTERS)}"),
        "sort_seconds": (seen["sort"], f"s of an answer of the server, sorted, median of {len(_SORTS)}"),
        "browser_mb": (
            seen["memory"],
            "MB of the page's own process after 40 screens of cards, a group and its meshes",
        ),
    }
    return [
        {"metric": f"view.{name}", "value": value, "unit": said, "baseline": None, "ratio": None}
        for name, (value, said) in rows.items()
    ]


@contextmanager
def serving(run: Path, *more: str) -> Iterator[tuple[str, float]]:
    """`hmr-align view` in a process of its own: its address, and how many seconds it took to say it."""
    command = [sys.executable, "-m", "flows.cli.command_line", "view", str(run), "--port", "0", "--no-browser", *more]
    start = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            said = re.search(r"http://\S+", process.stdout.readline())
            if said is None:
                raise BrowserError(f"{run}: the viewer did not start; `hmr-align view {run}` says why")
            yield said[0], time.perf_counter() - start
        finally:
            process.terminate()


def browser_path() -> str:
    """The browser that is installed here. Raises BrowserError if there is none."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    found = os.environ.get("HMR_ALIGN_BROWSER") or next((path for name in names if (path := shutil.which(name))), None)
    if found is None:
        raise BrowserError(
            "no Chromium was found to measure with: install one (apt-get install chromium), or name its program in "
            "HMR_ALIGN_BROWSER"
        )
    return found


def browser_flags() -> list[str]:
    """Without a GPU meshes are drawn by the processor; root has no sandbox."""
    return ["--use-angle=swiftshader", "--enable-unsafe-swiftshader", *(["--no-sandbox"] if os.geteuid() == 0 else [])]


@contextmanager
def opened_browser() -> Iterator[Any]:
    """A browser without a window. Raises BrowserError if there is none, or nothing to drive it with."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        raise BrowserError("playwright drives the browser: pip install playwright") from None
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path(), args=browser_flags())
        yield browser
        browser.close()


def _in_browser(address: str) -> dict[str, float]:
    with opened_browser() as browser:
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.set_default_timeout(180_000)  # ms; a busy machine may need a minute to import torch
        start = time.perf_counter()
        page.goto(address)
        page.wait_for_function(_SHOWN)
        first = page.evaluate(_LAST_PICTURE)
        page.wait_for_selector("[data-meshes]")
        meshes = time.perf_counter() - start
        filtered = [page.evaluate(_FILTERED, words) for words in _FILTERS]
        sorts = [
            page.evaluate(
                "async (sort) => { const start = performance.now(); "
                "await (await fetch(`/api/groups?critic=evidence%402&sort=${sort}`)).json(); "
                "return (performance.now() - start) / 1000; }",
                sort,
            )
            for sort in _SORTS
        ]
        page.goto(f"{address}/#groups")
        page.reload()
        for screen in range(40):
            page.evaluate("(screen) => scrollTo(0, screen * innerHeight)", screen)
            page.wait_for_function(_SHOWN)
        page.click(".slot a >> nth=3")
        page.wait_for_selector(".tile")
        page.keyboard.press("m")
        page.wait_for_selector("canvas[data-drawn]")
        memory = _page_process(os.getpid())
    return {"first": first, "meshes": meshes, "filter": median(filtered), "sort": median(sorts), "memory": memory}


def _page_process(root: int) -> float:
    """Memory of its own, MB, of the largest process among those below `root` that shows a page."""
    import psutil

    pages = [
        one for one in psutil.Process(root).children(recursive=True) if "--type=renderer" in " ".join(one.cmdline())
    ]
    return max(one.memory_full_info().uss for one in pages) / 1e6
