"""Every benchmark, cut down to a quarter of an hour in all on two cores: each is a command in a process of its own.

So none is slowed down by what another has imported or left in memory, and what fails keeps none of the others.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

PARTS: Mapping[str, Sequence[str]] = {
    "pipeline": ("--photographs", "64", "--rounds", "1"),
    "growth": ("--rounds", "1", "--most", "32", "--hypotheses", "40"),
    "startup": ("--rounds", "2"),
    "people": ("--rounds", "2"),
    "bodies": ("--rounds", "5"),
    "store": ("--rounds", "3", "--share", "0.02"),
    "scale": ("--share", "0.001"),
    "metrics": ("--rounds", "3", "--share", "0.02"),
    "render": ("--rounds", "5", "--views", "60"),
    "import": ("--records", "20000"),
    "sampler": ("--rounds", "3"),
    "train": ("--rounds", "20"),
    "critic": ("--seconds", "0.3", "--groups", "64"),
    "endurance": ("--groups", "500"),
    "view": ("--groups", "1000"),
}
"""The commands `hmr-align bench PART`, and what cuts each down."""

LIMIT = 600
"""Seconds that a part may take, many times what it needs: then it is ended, and the next one begins."""


class Measured(NamedTuple):
    """What came of all parts."""

    rows: list[dict[str, Any]]  # of each part, and the seconds that it took
    failed: dict[str, str]  # part -> why there are none of it


def measure_all(tell: Callable[[str], None], parts: Mapping[str, Sequence[str]] = PARTS) -> Measured:
    """Run the parts one by one. tell: says what is done as it is done."""
    rows: list[dict[str, Any]] = []
    failed: dict[str, str] = {}
    lacking = _lacking_browser()
    with tempfile.TemporaryDirectory() as folder:
        for name, cuts in parts.items():
            if name == "view" and lacking:
                tell(f"bench view: left out, {lacking}")
                continue
            file, start = Path(folder) / f"{name}.json", time.perf_counter()
            why = _run([name, *cuts, "--json", str(file)])
            took = time.perf_counter() - start
            tell(f"bench {name}: {took:.0f} s" + (f", failed: {why}" if why else ""))
            if why:
                failed[name] = why
                continue
            rows += json.loads(file.read_text())["results"]
            rows.append(_seconds(name, took))
    rows.append(_seconds("parts", sum(row["value"] for row in rows if row["metric"].startswith("all."))))
    return Measured(rows, failed)


def _seconds(part: str, value: float) -> dict[str, Any]:
    return {"metric": f"all.{part}_seconds", "value": value, "unit": "s", "baseline": None, "ratio": None}


def _run(arguments: Sequence[str]) -> str:
    """Run `hmr-align bench ...`; returns why it failed, empty if it did not."""
    command = [sys.executable, "-m", "flows.cli.command_line", "bench", *arguments]
    try:
        done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, timeout=LIMIT)
    except subprocess.TimeoutExpired:
        return f"not done after {LIMIT} s"
    lines = done.stderr.strip().splitlines()
    return (lines[-1] if lines else f"exit code {done.returncode}") if done.returncode else ""


def _lacking_browser() -> str:
    """What the viewer cannot be measured without; empty if all is here."""
    from importlib.util import find_spec

    from flows.cli.viewer.view_benchmark import BrowserError, browser_path

    if find_spec("playwright") is None:
        return "playwright drives its browser: pip install playwright"
    try:
        browser_path()
    except BrowserError as error:
        return str(error)
    return ""
