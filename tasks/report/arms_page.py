"""The page of the study of objectives: a table of its arms and the curves of best-of-M, with the data beside them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib.figure import Figure

from storage.finished_file import finished_file, write_text

COLUMNS = {"zero_noise": "zero-noise", "best20": "best of 20", "best100": "best of 100",
           "zero_noise.pa": "PA, zero-noise", "best20.pa": "PA, best of 20", "diversity": "diversity"}  # fmt: skip
"""Measurements of an arm that the page shows, by their name after the arm's; %."""

STYLE: dict[Any, Any] = {"svg.fonttype": "none", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False,
         "legend.frameon": False, "axes.grid": True, "grid.color": "#edf0f3"}  # fmt: skip


def write_arms_page(
    folder: Path, rows: Sequence[Mapping[str, Any]], curves: Mapping[str, Float[np.ndarray, " m"]], split: str
) -> Path:
    """Write `table2.md`, the plots as SVG and PDF, and their data as CSV; returns the page's path.

    rows: measurements of the study. curves: by arm, mean MPJPE of the best of the first 1, 2, ... hypotheses, mm.
    """
    folder.mkdir(parents=True, exist_ok=True)
    gains = table_of(rows)
    gains.to_csv(folder / "gains.csv")
    best = pd.DataFrame(curves, index=pd.RangeIndex(1, len(next(iter(curves.values()))) + 1, name="hypotheses"))
    best.to_csv(folder / "best_of_m.csv")
    with matplotlib.rc_context(STYLE):
        _save(_bars(gains, split), folder / "gains")
        _save(_curves(best, split), folder / "best_of_m")
    path = folder / "table2.md"
    write_text(path, page(gains, split))
    return path


def table_of(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Gains by arm and column of `COLUMNS`, %, from measurements called `table2.<arm>.<column>`."""
    cells: dict[str, dict[str, float]] = {}
    for row in rows:
        name = row["metric"].removeprefix("table2.")
        for column in COLUMNS:
            arm, found, rest = name.partition(f".{column}")
            if found and not rest and not arm.startswith(("search.", "base")):
                cells.setdefault(arm, {})[column] = row["value"]
    return pd.DataFrame.from_dict(cells, orient="index").reindex(columns=list(COLUMNS))


def page(gains: pd.DataFrame, split: str) -> str:
    """The page as markdown."""
    head = ["| arm | " + " | ".join(COLUMNS.values()) + " |", "|---" * (1 + len(COLUMNS)) + "|"]
    rows = [
        [arm, *("" if np.isnan(value) else f"{value:.1f}" for value in row)]
        for arm, row in zip(gains.index, gains.values)
    ]
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([
        "# Objectives on the same groups and verdicts", "",
        f"How much lower errors on `{split}` are than the base's, %; the last column: diversity left, % of the base's. "
        "`.own`: with the rate and strength that were best for the arm on `val`.", "",
        *head, *lines, "", "![gains](gains.svg)", "", "![best of M](best_of_m.svg)", "",
    ])  # fmt: skip


def _bars(gains: pd.DataFrame, split: str) -> Figure:
    figure = Figure(figsize=(7, 0.32 * len(gains) + 1.2), layout="constrained")
    axes = figure.add_subplot()
    places = np.arange(len(gains))
    axes.barh(places - 0.2, gains["zero_noise"], 0.38, label="zero-noise", color="#1f6f8b")
    axes.barh(places + 0.2, gains["best20"], 0.38, label="best of 20", color="#d9822b")
    axes.set_yticks(places, list(gains.index))
    axes.invert_yaxis()
    axes.axvline(0, color="#8a94a1", linewidth=0.8)
    axes.set_xlabel(f"less MPJPE on {split} than the base, %")
    axes.legend()
    return figure


def _curves(best: pd.DataFrame, split: str) -> Figure:
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot()
    for name in best.columns:
        axes.plot(best.index, best[name], label=name, linewidth=2.4 if name in ("base", "group") else 1.0)
    axes.set_xscale("log")
    axes.set_xlabel("hypotheses, M")
    axes.set_ylabel(f"MPJPE of the best on {split}, mm")
    axes.legend(fontsize=7, ncols=2)
    return figure


def _save(figure: Figure, stem: Path) -> None:
    for ending in ("svg", "pdf"):
        with finished_file(stem.with_suffix(f".{ending}")) as unfinished:
            figure.savefig(unfinished, format=ending)
