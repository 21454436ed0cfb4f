"""Plots of the report as inline SVG."""

import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from markupsafe import Markup, escape
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tasks.report.report_tables import known

STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text: small, sharp, and searchable in the page
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#b8c0ca",
    "axes.labelcolor": "#5b6675",
    "xtick.color": "#5b6675",
    "ytick.color": "#5b6675",
    "axes.grid": True,
    "grid.color": "#edf0f3",
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "lines.linewidth": 1.6,
}
"""How all plots look."""

_BLUE, _ORANGE, _GREEN, _RED, _GREY = "#1f6f8b", "#d9822b", "#1a7f4b", "#b3372f", "#8a94a1"


@dataclass(frozen=True)
class RoundRecord:
    """One round of training: its files, and what the guard decided."""

    number: int
    curves: Path  # parquet: step, loss, gradient_norm, S/<head>, winner_change/<head>, ...
    evaluations: Path  # parquet: step, zero_noise_mm, best_of_g_mm, diversity_mm, ...
    best_step: int
    reason: str

    @property
    def page(self) -> str | None:
        """Path, relative to the run's folder, of the page that says why the round stopped; None if there is none."""
        path = self.curves.with_name("why_it_stopped.html")
        return "/".join(path.parts[-3:]) if path.exists() else None


def improvement_figure(summary: Mapping[str, Any], estimates: Mapping[str, str]) -> Markup | None:
    """Improvement of MPJPE, percent, by estimate with its interval, next to the headroom; None if nothing was measured.

    estimates: name of each estimate, by its key.
    """
    improvement, headroom = summary.get("improvement_percent") or {}, summary.get("headroom") or {}
    found = {name: improvement.get(name, {}).get("mpjpe_mm") or {} for name in estimates}
    names = [name for name in estimates if known(found[name].get("value"))]
    if not names:
        return None
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7.6, 0.42 * len(names) + 0.95), layout="constrained")
        axes = figure.subplots()
        for y, name in enumerate(names):
            value = found[name]["value"]
            low, high = found[name].get("low"), found[name].get("high")
            colour = _GREY
            if known(low) and known(high):
                colour = _GREEN if low > 0 else _RED if high < 0 else _GREY
                axes.plot([low, high], [y, y], color=colour, linewidth=2.4, solid_capstyle="butt")
            axes.plot([value], [y], "o", color=colour, markersize=6)
            gain = (headroom.get(name) or {}).get("value")
            if known(gain):
                label = "headroom H" if not axes.get_legend_handles_labels()[1] else None
                axes.plot(
                    [gain], [y], "D", markerfacecolor="white", color=_BLUE, markersize=6, linestyle="", label=label
                )
        axes.axvline(0, color="#5b6675", linewidth=1)
        axes.set_yticks(range(len(names)), [estimates[name] for name in names])
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.set_xlabel("improvement of MPJPE, %  (right of 0 = smaller error)")
        if axes.get_legend_handles_labels()[1]:
            axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
        return _svg(figure, "Improvement of MPJPE by estimate, in percent")


def learning_curves(rounds: Sequence[RoundRecord]) -> Markup | None:
    """All rounds on one axis of steps: measurements on `val`, and curves of training; None without curves."""
    parts = _concatenated(rounds)
    panels = [panel for panel in _PANELS if any(panel.drawable(part) for part in parts)]
    if not panels:
        return None
    with matplotlib.rc_context(STYLE):
        rows = -(-len(panels) // 3)
        figure = Figure(figsize=(11.8, 2.7 * rows + 0.2), layout="constrained")
        grid = np.atleast_1d(figure.subplots(rows, min(3, len(panels)), sharex=True)).ravel()
        for axes, panel in zip(grid, panels):
            for line in panel.lines:
                line.draw(axes, parts)
            if panel.zero:
                axes.axhline(0, color="#b8c0ca", linewidth=1, zorder=1)
            for part in parts[1:]:
                axes.axvline(part.offset, color=_GREY, linewidth=0.9, linestyle=":", zorder=1)
            labels = len(axes.get_legend_handles_labels()[1])
            if labels > 1:  # between title and axes, where it covers no curve
                axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, handlelength=1.4, borderaxespad=0.2)
            axes.set_title(panel.title, pad=6 + 14 * ((labels + 1) // 2 if labels > 1 else 0))
            axes.tick_params(labelbottom=True)
        for axes in grid[len(panels) :]:
            axes.set_visible(False)
        figure.supxlabel(
            "training step, rounds one after another" if len(parts) > 1 else "training step",
            fontsize=9, color="#5b6675",
        )  # fmt: skip
        return _svg(figure, "Learning curves: " + ", ".join(panel.title for panel in panels))


@dataclass(frozen=True)
class _Part:
    """One round on the common axis of steps, starting at `offset`."""

    offset: float
    best: float
    curves: pd.DataFrame
    evaluations: pd.DataFrame


def _concatenated(rounds: Sequence[RoundRecord]) -> list[_Part]:
    parts, offset, start = [], 0.0, None
    for one in rounds:
        curves, evaluations = _read(one.curves), _read(one.evaluations)
        if start is None and len(evaluations):
            start = evaluations.iloc[0]
        for name in ("zero_noise_mm", "best_of_g_mm"):
            if start is not None and name in evaluations:
                evaluations[f"change/{name}"] = 100 * (evaluations[name] / start[name] - 1)
        parts.append(_Part(offset, offset + one.best_step, curves, evaluations))
        offset += max(
            [0.0, *(float(np.max(table["step"].to_numpy())) for table in (curves, evaluations) if len(table))]
        )
    return parts


def _read(path: Path) -> pd.DataFrame:
    """A table of curves; empty if none was stored."""
    table = pd.read_parquet(path) if path.exists() else pd.DataFrame()
    return table if "step" in table else pd.DataFrame()


@dataclass(frozen=True)
class _Line:
    """One curve of a panel, from the first of `columns` that a table has."""

    columns: tuple[str, ...]
    label: str
    colour: str
    style: str = "-"
    table: Callable[[_Part], pd.DataFrame] = lambda part: part.curves
    marked: bool = False  # draw points, and a ring at the step that was kept

    def column(self, part: _Part) -> str | None:
        """The first of `columns` that the round's table has; None if it has none."""
        table = self.table(part)
        return next(
            (name for name in self.columns if name in table and not np.isnan(table[name].to_numpy(float)).all()), None
        )

    def draw(self, axes: Axes, parts: Sequence[_Part]) -> None:
        """Draw the curve of all rounds."""
        label: str | None = self.label
        for part in parts:
            if (name := self.column(part)) is None:
                continue
            table = self.table(part)
            steps, values = part.offset + table["step"].to_numpy(), table[name]
            if self.marked:
                axes.plot(steps, values, self.style, marker="o", markersize=3, color=self.colour, label=label)
                kept = steps == part.best
                axes.plot(steps[kept], values[kept], "o", markersize=8, markerfacecolor="none", color=self.colour)
            else:
                window = max(1, len(values) // 15)
                smooth = values.rolling(window, min_periods=1, center=True).mean()
                axes.plot(steps, values, linewidth=0.6, alpha=0.3, color=self.colour)
                axes.plot(steps, smooth, self.style, color=self.colour, label=label)
            label = None


@dataclass(frozen=True)
class _Panel:
    title: str
    lines: tuple[_Line, ...]
    zero: bool = False

    def drawable(self, part: _Part) -> bool:
        """Whether a round has data for this panel."""
        return any(line.column(part) for line in self.lines)


def _seen(part: _Part) -> pd.DataFrame:
    return part.evaluations


_PANELS = (
    _Panel(
        "validation MPJPE, change from the base, %",
        (
            _Line(("change/zero_noise_mm",), "zero noise", _BLUE, table=_seen, marked=True),
            _Line(("change/best_of_g_mm",), "best of the group", _ORANGE, table=_seen, marked=True),
        ),
        zero=True,
    ),
    _Panel(
        "validation diversity of a group, mm",
        (_Line(("diversity_mm",), "diversity", _BLUE, table=_seen, marked=True),),
    ),
    _Panel(
        "group statistic S (below 0 = progress)",
        (
            _Line(("S/joints", "S/all"), "joints", _BLUE),
            _Line(("S/twists",), "twists", _ORANGE),
        ),
        zero=True,
    ),
    _Panel(
        "noise error against the reference",
        (
            _Line(("winner_change/joints", "winner_change/all"), "winners, joints", _GREEN),
            _Line(("winner_change/twists",), "winners, twists", _GREEN, "--"),
            _Line(("loser_change/joints", "loser_change/all"), "losers, joints", _RED),
            _Line(("loser_change/twists",), "losers, twists", _RED, "--"),
        ),
        zero=True,
    ),
    _Panel(
        "loss",
        (
            _Line(("loss",), "whole", _BLUE),
            _Line(("loss/preference",), "preference", _ORANGE),
            _Line(("loss/anchor",), "anchor", _GREEN),
            _Line(("loss/kappa",), "pull to the reference", _GREY),
        ),
    ),
    _Panel("gradient norm before clipping", (_Line(("gradient_norm",), "gradient norm", _BLUE),)),
)


def _svg(figure: Figure, says: str) -> Markup:
    """A figure as an SVG element that fills the available width and has a label for screen readers."""
    text = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": says}):  # equal figures give equal files; ids differ between them
        figure.savefig(text, format="svg", metadata={"Date": None})
    svg = text.getvalue()
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    head, body = svg.split(">", 1)
    head = re.sub(r' (width|height)="[^"]*"', "", head)
    return Markup(f'{head} role="img" aria-label="{escape(says)}">{body}')
