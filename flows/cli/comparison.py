"""Two files of measurements side by side: what became slower or larger since the older one."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

TOLERANCE = 0.2
"""A ratio against a baseline of the same run may fall by this share before it counts: machines are noisy."""


class ComparisonError(ValueError):
    """A file that holds no measurements; the message says which and what is expected."""


class Compared(NamedTuple):
    """One metric of both files."""

    metric: str
    before: str  # value with unit, and ratio where there is one
    after: str
    change: float | None  # of the ratio, a share: below 0 is worse; None without ratios or where one file lacks it
    worse: bool


def compared(old: Path, new: Path, tolerance: float = TOLERANCE) -> list[Compared]:
    """Every metric of either file, in the order of the newer one.

    Only ratios are compared: they are measured against a baseline in the same run, and so mean
    the same on another machine. Raises ComparisonError for a file that is no file of measurements.
    """
    before, after = _results(old), _results(new)
    return [_compared(name, before.get(name), after.get(name), tolerance) for name in {**after, **before}]


def _compared(
    name: str, before: Mapping[str, Any] | None, after: Mapping[str, Any] | None, tolerance: float
) -> Compared:
    change = None
    if before and after and before["ratio"] and after["ratio"]:
        change = after["ratio"] / before["ratio"] - 1
    return Compared(name, _shown(before), _shown(after), change, change is not None and change < -tolerance)


def _shown(row: Mapping[str, Any] | None) -> str:
    if row is None:
        return "not measured"
    ratio = "" if row["ratio"] is None else f", {row['ratio']:.3g}x"
    return f"{row['value']:.4g} {row['unit']}".strip() + ratio


def _results(path: Path) -> dict[str, dict[str, Any]]:
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))["results"]
        return {row["metric"]: {key: row[key] for key in ("value", "unit", "ratio")} for row in rows}
    except OSError as error:
        raise ComparisonError(
            f"{path}: {error.strerror}. Give a file that `hmr-align bench ... --json` wrote"
        ) from None
    except (ValueError, KeyError, TypeError) as error:
        raise ComparisonError(
            f"{path}: holds no measurements ({error}). Give a file that `hmr-align bench ... --json` wrote"
        ) from None
