"""Curves of the study of objectives: gain over the number of verdicts, critics' favour by step, gain over rounds."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import pandas as pd
from matplotlib.figure import Figure

from storage.finished_file import write_text
from tasks.report.arms_page import LINES, STYLE, save_figure

GAINS = {"zero_noise": "zero-noise", "best20": "best of 20"}
NAMES = {"group": "group, ours", "dpo_5": "DPO on five pairs"}

Rows = Sequence[Mapping[str, Any]]


def write_curves_page(folder: Path, rows: Rows) -> Path:
    """Write `curves.md`, its plots as SVG and PDF, and their data as CSV; returns the page's path."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["# Curves of the study of objectives", "", "All on `val`.", ""]
    for name, (table, figure, says) in figures(rows).items():
        table.to_csv(folder / f"{name}.csv", index=False)
        save_figure(figure, folder / name)
        lines += [f"![{says}]({name}.svg)", "", f"{says}.", ""]
    path = folder / "curves.md"
    write_text(path, "\n".join(lines))
    return path


def figures(rows: Rows) -> dict[str, tuple[pd.DataFrame, Figure, str]]:
    """The plots that these measurements allow: data, picture and what it shows, by the name of the file."""
    found = {}
    verdicts = table_of(rows, "table2.verdicts.", ["arm", "what", "groups", "verdicts", "value", "of_seeds"])
    watched = table_of(rows, "table2.watched.", ["arm", "step", "critic", "monitor", "own", "value", "zero_noise",
                                                 "best20"])  # fmt: skip
    with matplotlib.rc_context(STYLE):
        if len(verdicts):
            found["verdicts"] = verdicts, over_verdicts(verdicts), "Gain over the number of judged groups"
        if len(watched):
            found["monitor"] = watched, against_monitor(watched), "What the critic and a monitor say, step by step"
    return found


def table_of(rows: Rows, prefix: str, columns: Sequence[str]) -> pd.DataFrame:
    """The measurements whose name starts with `prefix`, as a table of some of their values."""
    chosen = [{name: row[name] for name in columns} for row in rows if row["metric"].startswith(prefix)]
    return pd.DataFrame(chosen, columns=list(columns))


def over_verdicts(table: pd.DataFrame) -> Figure:
    """Gain on `val` over the number of judged groups: a line through the means, and a point for each seed."""
    figure = Figure(figsize=(7.4, 3.2), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    counts = sorted(table["groups"].unique())
    for axes, (what, title) in zip(panels, GAINS.items()):
        for arm in dict.fromkeys(table["arm"]):
            own = table.query(f"arm == '{arm}' and what == '{what}'").sort_values(by="groups")
            axes.plot(own["groups"], own["value"], color=LINES[arm], linewidth=1.8, label=NAMES.get(arm, arm))
            for groups, seeds in zip(own["groups"], own["of_seeds"]):
                axes.plot([groups] * len(seeds), seeds, "o", color=LINES[arm], markersize=3.2, alpha=0.6)
        axes.axhline(0, color="#8a94a1", linewidth=0.8)
        axes.set_xscale("log")
        axes.set_xticks(counts, [f"{count:,}" for count in counts])
        axes.minorticks_off()
        axes.set_title(title, fontsize=9.5)
        axes.set_xlabel("groups judged")
    panels[0].set_ylabel("less MPJPE on val than the base, %")
    panels[0].legend(loc="upper left")
    return figure


def against_monitor(table: pd.DataFrame) -> Figure:
    """Each arm's way from the base (50, 50): how often its critic prefers the policy, and how often the monitor does.

    One panel for each critic that was trained on. On the diagonal both say the same; below it the critic is pleased
    more than the one whom training never saw.
    """
    critics = list(dict.fromkeys(table["critic"]))
    figure = Figure(figsize=(4.2 * len(critics), 3.9), layout="constrained")
    both = table[["own", "value"]].to_numpy()
    low, high = float(both.min()) - 1.5, float(both.max()) + 1.5
    for place, critic in enumerate(critics):
        axes = figure.add_subplot(1, len(critics), place + 1)
        axes.plot([low, high], [low, high], color="#b8c0ca", linewidth=0.9, linestyle="--")
        here = table.query(f"critic == '{critic}'")
        for arm, own in here.groupby("arm", sort=False):
            colour = LINES.get(str(arm)) or LINES.get(str(arm).rsplit("_", 1)[0], "#39424e")
            axes.plot(own["own"], own["value"], color=colour, linewidth=1.5, marker="o", markersize=3, label=arm)
        axes.set_xlim(low, high)
        axes.set_ylim(low, high)
        axes.set_aspect("equal")
        axes.set_title(f"trained on {critic}", fontsize=9.5)
        axes.set_xlabel(f"pairs in which {critic} prefers the policy, %")
        axes.set_ylabel(f"{here['monitor'].iloc[0]} does, % (not trained on)")
        axes.legend(loc="upper left", fontsize=7.5)
    return figure


def over_rounds(rounds: Sequence[Mapping[str, Any]]) -> Figure:
    """Gain on `val` over the steps of several rounds, one after another; dots are the steps that were kept.

    rounds: those of a run's summary.json, with their looks at `val`.
    """
    figure = Figure(figsize=(7.0, 3.2), layout="constrained")
    axes = figure.add_subplot()
    colours, start = {"zero_noise_mm": "#1f6f8b", "best_of_g_mm": "#d9822b"}, rounds[0]["val"][0]
    for name, label in (("zero_noise_mm", "zero-noise"), ("best_of_g_mm", "best of 20")):
        offset = 0
        for number, one in enumerate(rounds):
            steps = [offset + look["step"] for look in one["val"]]
            gains = [100 * (1 - look[name] / start[name]) for look in one["val"]]
            axes.plot(steps, gains, color=colours[name], linewidth=1.5, label=label if number == 0 else None)
            kept = [look["step"] for look in one["val"]].index(one["best_step"])
            axes.plot(steps[kept], gains[kept], "o", color=colours[name], markersize=6)
            offset = steps[-1]
    offset = 0
    for number, one in enumerate(rounds):
        end = offset + one["val"][-1]["step"]
        axes.text((offset + end) / 2, 0.02, f"round {number + 1}", transform=axes.get_xaxis_transform(), ha="center",
                  fontsize=8, color="#5b6675")  # fmt: skip
        if number:
            axes.axvline(offset, color="#b8c0ca", linewidth=0.9, linestyle=":")
        offset = end
    axes.set_xlabel("training step, rounds one after another")
    axes.set_ylabel("less MPJPE on val than the base, %")
    axes.legend(loc="upper left")
    return figure
