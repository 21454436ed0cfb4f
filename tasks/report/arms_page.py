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

LINES = {
    "base": "#39424e", "sft_best": "#8a6d3b", "dpo_best_worst": "#f0a860", "dpo_all": "#d9822b", "dpo_5": "#b5521b",
    "group_dgpo": "#9b6bb3", "group_nft": "#5fa8c4", "group": "#0f5f7d", "group_oracle": "#3f8f5a",
}  # fmt: skip
"""Colours of the arms that the curves tell apart: pairs in orange, groups in blue."""

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
        save_figure(_bars(gains, split), folder / "gains")
        save_figure(_curves(best, split), folder / "best_of_m")
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
    """The arms of LINES by colour, named at their ends; the others thin and grey: 19 colours tell nobody apart."""
    figure = Figure(figsize=(7, 4.6), layout="constrained")
    axes = figure.add_subplot()
    for name in best.columns.difference(list(LINES), sort=False):
        axes.plot(best.index, best[name], color="#c9d0d8", linewidth=0.7)
    shown = [name for name in LINES if name in best.columns]
    for name in shown:
        axes.plot(best.index, best[name], color=LINES[name], linewidth=2.2 if name in ("base", "group") else 1.3)
    low, high = best[shown].iloc[-1].min(), best[shown].max().max()
    gap = 0.035 * (high - low)
    height = -np.inf
    for name in best[shown].iloc[-1].sort_values().index:  # from below; a label that would hide another moves up
        height = max(float(best[name].iloc[-1]), height + gap)
        axes.annotate(name, (best.index[-1], height), xytext=(5, 0), textcoords="offset points", fontsize=7.5,
                      color=LINES[name], va="center", annotation_clip=False)  # fmt: skip
    axes.set_xscale("log")
    ticks = [count for count in (1, 2, 5, 10, 20, 50, 100) if count <= best.index[-1]]
    axes.set_xticks(ticks, [str(count) for count in ticks])
    axes.minorticks_off()
    axes.set_xlabel("hypotheses, M")
    axes.set_ylabel(f"MPJPE of the best on {split}, mm")
    return figure


def save_figure(figure: Figure, stem: Path) -> None:
    """Write a figure as `stem`.svg and `stem`.pdf."""
    for ending in ("svg", "pdf"):
        with finished_file(stem.with_suffix(f".{ending}")) as unfinished:
            figure.savefig(unfinished, format=ending)
