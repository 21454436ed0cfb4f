"""The format in which every measuring command writes its numbers (`--json FILE`)."""

import json
import os
import platform
import subprocess
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from storage.finished_file import write_text

KEYS = ("metric", "value", "unit", "baseline", "ratio")


def write_measurements(path: Path, results: Iterable[Mapping[str, Any]]) -> None:
    """Write device, commit and results; each result has the five KEYS, and may have more.

    A ratio compares our value with the baseline measured in the same run, above 1 = better; None without a baseline.
    """
    rows = [{**{key: result[key] for key in KEYS}, **result} for result in results]
    report = {"device": device(), "commit": commit(), "results": rows}
    write_text(path, json.dumps(report, indent=2) + "\n")


def measured(metric: str, value: float) -> dict[str, Any]:
    """A result without baseline, with the unit from the end of its name."""
    units = {"mm": "mm", "px": "px", "percent": "%"}
    unit = units.get(metric.rpartition("_")[2], "")
    return {"metric": metric, "value": value, "unit": unit, "baseline": None, "ratio": None}


def cells(result: Mapping[str, Any]) -> dict[str, str]:
    """A result as the cells of a table row, for the terminal and the dashboard."""
    return {
        "metric": result["metric"],
        "value": f"{result['value']:.4g} {result['unit']}".strip(),
        "compared with": result["baseline"] or (f"chosen by {result['critic']}" if "critic" in result else ""),
        "ratio": "" if result["ratio"] is None else f"{result['ratio']:.3g}x",
    }


def device() -> str:
    """The accelerator that torch sees, else the processor, and the number of usable cores."""
    import torch

    cores = len(os.sched_getaffinity(0))
    if torch.cuda.is_available():
        return f"{torch.cuda.get_device_name(0)}, {cores} CPU cores"
    return f"{_processor()}, {cores} cores"


def commit() -> str:
    """The commit of the checkout, with "+changes" if files differ from it; else the installed version."""
    here = Path(__file__).parents[2]
    try:
        text = _git(here, "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty=+changes")
    except (OSError, subprocess.SubprocessError):
        return f"hmr-align {version('hmr-align')}"
    return text


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, timeout=30, check=True)
    return done.stdout.strip()


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.machine()
