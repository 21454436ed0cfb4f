"""A run as a whole, for the viewer's first line and its page "Run": what it holds, stages, learning curves, results."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from critique.memory.rules import TAG_WORDS
from storage.finished_file import read_again
from tasks.report.thumbnails import FOLDER, STRIPS
from tasks.viewer.gallery import Gallery
from tasks.viewer.selection import SORTS, WORDS

MOST_POINTS = 400
"""Points of a curve; longer ones are thinned out evenly."""


def contents(name: str, gallery: Gallery) -> dict[str, Any]:
    """What a run holds, for the choices of the page: counts, generations, datasets, critics, tags, sort keys."""
    table = gallery.table
    return {
        "name": name,
        "groups": len(gallery),
        "hypotheses": int(np.sum(table["hypotheses"].to_numpy())),
        "gens": _each(table["gen"]),
        "datasets": _each(table["dataset"]),
        "critics": {
            critic: {"statuses": _counts(judged.status), "judged": int((judged.status != "not judged").sum())}
            for critic, judged in gallery.critics.items()
        },
        "tags": list(TAG_WORDS),
        "orders": WORDS,
        "sorts": {key: title for key, title in SORTS.items() if _sortable(gallery, key)},
    }


def _sortable(gallery: Gallery, key: str) -> bool:
    if key == "order":
        return True
    critics: Sequence[str | None] = list(gallery.critics) or [None]
    return any(bool(np.isfinite(gallery.numbers(key, critic)).any()) for critic in critics)


def _each(column: pa.ChunkedArray) -> dict[str, int]:
    """How often each value occurs, in the order of their first occurrence."""
    return {one["values"]: one["counts"] for one in column.value_counts().to_pylist()}


def _counts(values: np.ndarray) -> dict[str, int]:
    names, counts = np.unique(values, return_counts=True)
    return {str(name): int(count) for name, count in zip(names, counts)}


def run_page(folder: Path) -> dict[str, Any]:
    """Stages, learning curves and results of a run, from its folder; what it does not have is empty."""
    summary = _json(folder / "summary.json") or {}
    stages = _json(folder / "stages.json") or {}
    settings = _json(folder / "settings.json") or {}
    return {
        "stages": [{"name": name, **one} for name, one in stages.items()],
        "rounds": [_round(path) for path in sorted(folder.glob("training/round*"), key=_number)],
        "benchmark": summary.get("benchmark", {}),
        "improvement": summary.get("improvement_percent", {}),
        "critic_quality": summary.get("critic_quality", {}),
        "differences": settings.get("differences", []),
        "report": (folder / "report.html").exists(),
        "strips": strips(folder),
    }


def strips(folder: Path) -> list[dict[str, str]]:
    """People before and after alignment, as pictures that the report made: who, which hypothesis, which file."""
    return _json(folder / FOLDER / STRIPS) or []


def _number(path: Path) -> int:
    digits = path.name.removeprefix("round")
    return int(digits) if digits.isdecimal() else 0


def _round(folder: Path) -> dict[str, Any]:
    result = _json(folder / "result.json") or {}
    return {
        "number": _number(folder),
        "best_step": result.get("best_step"),
        "reason": result.get("reason"),
        "curves": _curves(folder / "curves.parquet"),
        "evaluations": _curves(folder / "evaluations.parquet"),
    }


def _curves(path: Path) -> dict[str, list[float | None]]:
    """The columns of numbers of a table, thinned out; {} without a table."""
    if not path.exists():
        return {}
    table = pq.read_table(path)
    rows = np.unique(np.linspace(0, max(len(table) - 1, 0), min(MOST_POINTS, len(table))).round().astype(int))
    found = {}
    for name in table.schema.names:
        if pa.types.is_floating(table.schema.field(name).type) or pa.types.is_integer(table.schema.field(name).type):
            values = table[name].to_numpy(zero_copy_only=False).astype(float)[rows]
            found[name] = [float(value) if np.isfinite(value) else None for value in values]
    return found


def _json(path: Path) -> Any:
    return read_again(path, lambda path: json.loads(path.read_text())) if path.exists() else None
