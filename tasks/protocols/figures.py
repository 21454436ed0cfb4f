"""Plots of an evaluation: each as SVG and PDF, with its data as CSV beside it."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from storage.finished_file import finished_file, write_text
from tasks.protocols.protocol import JOINTS, NamedProtocol
from tasks.protocols.results import CHOICES, HIDDEN, VIEWS, Results, by_class
from tasks.protocols.table import head
from tasks.report.report_figures import STYLE

SHOWN = ("first", "medoid", "selected", "best")
COLOURS = {"first": "#1f6f8b", "medoid": "#8a94a1", "selected": "#d9822b", "best": "#1a7f4b"}
POINTS = 400
"""Points of a curve at most."""


class Drawn(NamedTuple):
    """One plot: its title, what was drawn, and how."""

    name: str
    title: str
    data: pd.DataFrame
    draw: Callable[[Axes], None]


def figures(results: Results, protocol: NamedProtocol, chooser: str) -> list[Drawn]:
    """The plots that the results allow, all of the protocol's first metric (by joint: the first hypothesis' error).

    chooser: whose scores choose a hypothesis.
    """
    metric = protocol.rules.metrics[0]
    made = [_distribution(results, metric, chooser)]
    if results.hypotheses[0] > 1:
        made.append(_best_of(results, metric))
    names = JOINTS[protocol.rules.joints].names
    if np.isfinite(results.joints).all() and len(results.joints) == len(names):
        made.append(_by_joint(results, names))
    for column, classes, title in (("hidden", HIDDEN, "by occlusion: share of points that the picture does not show"),
                                   ("turned", VIEWS, "by view: which side of the person the camera sees")):  # fmt: skip
        data = by_class(results, metric, column, classes)
        if len(data):
            made.append(_bars(f"by_{'occlusion' if column == 'hidden' else 'view'}", f"{head(metric)}, {title}", data))
    return made


def write_figures(drawn: list[Drawn], folder: Path, line: str) -> dict[str, str]:
    """Write each plot as `NAME.svg`, `NAME.pdf` and `NAME.csv`; returns the SVGs by title. The line goes into each."""
    svgs = {}
    for one in drawn:
        with matplotlib.rc_context(STYLE):
            figure = Figure(figsize=(6.4, 3.4), layout="constrained")
            axes = figure.subplots()
            axes.set_title(one.title)
            one.draw(axes)
            for ending in ("svg", "pdf"):
                about = {"Title": one.title, "Description" if ending == "svg" else "Subject": line}
                dates = {"Date": None} if ending == "svg" else {"CreationDate": None}
                with finished_file(folder / f"{one.name}.{ending}") as unfinished:
                    figure.savefig(unfinished, format=ending, metadata={**about, **dates})
        write_text(folder / f"{one.name}.csv", one.data.to_csv(index=False))
        svgs[one.title] = (folder / f"{one.name}.svg").read_text()
    return svgs


def _distribution(results: Results, metric: str, chooser: str) -> Drawn:
    """Share of people whose error is below a value."""
    parts = []
    for choice in SHOWN:
        if (name := f"{choice}/{metric}") in results.people:
            values = np.sort(results.people[name].dropna().to_numpy(float))
            shares = np.arange(1, len(values) + 1) / max(len(values), 1)
            some = np.unique(np.linspace(0, len(values) - 1, min(POINTS, len(values))).astype(int))
            parts.append(pd.DataFrame({"choice": choice, "error": values[some], "share": shares[some]}))
    data = pd.concat(parts, ignore_index=True)

    def draw(axes: Axes) -> None:
        for choice, part in data.groupby("choice", sort=False):
            label = CHOICES[str(choice)].format(chooser=chooser) if len(data["choice"].unique()) > 1 else None
            axes.step(part["error"], 100 * part["share"], where="post", color=COLOURS[str(choice)], label=label)
        axes.set_xlabel(head(metric))
        axes.set_ylabel("% of people at most")
        axes.set_ylim(0, 101)
        if axes.get_legend_handles_labels()[1]:
            axes.legend(loc="lower right")

    return Drawn("error_cdf", f"{head(metric)}: distribution over people", data, draw)


def _best_of(results: Results, metric: str) -> Drawn:
    data = results.curve

    def draw(axes: Axes) -> None:
        axes.plot(data["m"], data["error"], "o-", color=COLOURS["best"], markersize=4)
        axes.set_xscale("log")
        axes.set_xticks(data["m"], [str(m) for m in data["m"]])
        axes.minorticks_off()
        axes.set_xlabel("M")
        axes.set_ylabel(head(metric))

    return Drawn("best_of_m", f"{head(metric)}: expected best of M drawn at random (oracle)", data, draw)


def _by_joint(results: Results, names: tuple[str, ...]) -> Drawn:
    data = pd.DataFrame({"class": [name.replace("_", " ") for name in names], "error": results.joints})
    return _bars("by_joint", "Error by joint, mm, first hypothesis", data)


def _bars(name: str, title: str, data: pd.DataFrame) -> Drawn:
    def draw(axes: Axes) -> None:
        places = np.arange(len(data))
        axes.barh(places, data["error"], color=COLOURS["first"], height=0.7)
        counts = [f" ({n:,})" for n in data["people"]] if "people" in data else [""] * len(data)
        axes.set_yticks(places, [f"{one}{count}" for one, count in zip(data["class"], counts)])
        axes.invert_yaxis()
        axes.grid(axis="y", visible=False)

    return Drawn(name, title, data, draw)
