"""Plots that papers show, as SVG and PDF, each with its numbers as CSV beside it: from the benchmark's files of a run.

| plot | what |
|---|---|
| `best_of_m` | error of the best of M hypotheses, on average over draws of M of the group |
| `error_cdf` | share of people with an error up to a limit, zero noise and best of the group |
| `spread_reliability` | how far joints are off where the group says how unsure it is |
| `critic_scatter` | score of each hypothesis and its true error |

All errors are MPJPE in mm on the studio's test people.
"""

import io
from collections.abc import Mapping
from math import comb
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from storage.finished_file import write_bytes, write_text
from tasks.report.report_figures import STYLE

PLOTS = {
    "best_of_m": "Error of the best of M",
    "error_cdf": "Distribution of errors",
    "spread_reliability": "Reliability of the spread",
    "critic_scatter": "Score and true error",
}
"""Names of the files, and titles."""

_COLOURS = {"before": "#0072b2", "after": "#d55e00"}  # told apart with any colour vision (Okabe and Ito 2008)
_BINS = 10

Result = Mapping[str, NDArray]


def write_plots(folder: Path, results: Mapping[str, Path]) -> list[str]:
    """Write every plot as `folder`/<name>.svg, .pdf and .csv; returns their names.

    results: the benchmark's .npz of each model, by what it is called: "before", "after".
    """
    read = {name: _read(path) for name, path in results.items()}
    tables = {
        "best_of_m": best_of_m_table(read),
        "error_cdf": cdf_table(read),
        "spread_reliability": reliability_table(read),
        "critic_scatter": scatter_table(read),
    }
    draw = {
        "best_of_m": _draw_best_of_m,
        "error_cdf": _draw_cdf,
        "spread_reliability": _draw_reliability,
        "critic_scatter": _draw_scatter,
    }
    for name, table in tables.items():
        write_text(folder / f"{name}.csv", table.to_csv(index=False, float_format="%.4f"))
        for kind, content in _drawn(name, table, draw[name]).items():
            write_bytes(folder / f"{name}.{kind}", content)
    return list(tables)


def best_of_m(errors: Float[np.ndarray, "person hypothesis"]) -> Float[np.ndarray, " m"]:
    """Mean over people of the smallest error among M of G hypotheses, for M = 1 ... G; the unit of `errors`.

        E_M = sum_k e_(k) C(G - k, M - 1) / C(G, M)        e_(1) <= e_(2) <= ... the sorted errors of a group

    the mean over all choices of M without repetition. The choice needs the truth: it is an oracle's.
    """
    size = errors.shape[1]
    ordered = np.sort(errors, axis=1).mean(0)
    return np.array(
        [sum(ordered[k] * comb(size - 1 - k, m - 1) for k in range(size)) / comb(size, m) for m in range(1, size + 1)]
    )


def best_of_m_table(results: Mapping[str, Result]) -> pd.DataFrame:
    """Columns m, and for each model its error in mm."""
    curves = {f"{name}_mm": best_of_m(found["group_mpjpe_mm"]) for name, found in results.items()}
    size = min(len(curve) for curve in curves.values())
    return pd.DataFrame({"m": np.arange(1, size + 1)} | {name: curve[:size] for name, curve in curves.items()})


def cdf_table(results: Mapping[str, Result]) -> pd.DataFrame:
    """Columns model, estimate, error_mm and share: of the people whose error is at most that."""
    parts = []
    for name, found in results.items():
        for estimate in ("zero_noise", "best_of_g"):
            errors = np.sort(found[f"{estimate}/mpjpe_mm"])
            share = np.arange(1, len(errors) + 1) / len(errors)
            parts.append(pd.DataFrame({"model": name, "estimate": estimate, "error_mm": errors, "share": share}))
    return pd.concat(parts, ignore_index=True)


def reliability_table(results: Mapping[str, Result]) -> pd.DataFrame:
    """Columns model, spread_mm, error_mm, joints: means over equally many joints, the least spread first.

    spread: mean distance of a joint to its mean over the group; error: of the zero-noise hypothesis. The pelvis, where
    both are 0, is left out.
    """
    parts = []
    for name, found in results.items():
        spread, error = found["joint_spread_mm"][:, 1:].ravel(), found["joint_error_mm"][:, 1:].ravel()
        order = np.argsort(spread, kind="stable")
        for chosen in np.array_split(order, min(_BINS, len(order))):
            parts.append((name, spread[chosen].mean(), error[chosen].mean(), len(chosen)))
    return pd.DataFrame(parts, columns=pd.Index(["model", "spread_mm", "error_mm", "joints"]))


def scatter_table(results: Mapping[str, Result]) -> pd.DataFrame:
    """Columns model, person, hypothesis, score and error_mm, without those that the choosing critic did not score."""
    parts = []
    for name, found in results.items():
        scores, errors = found["scores"], found["group_mpjpe_mm"]
        person, hypothesis = np.nonzero(~np.isnan(scores))
        row = {"model": name, "person": found["index"][person], "hypothesis": hypothesis}
        parts.append(pd.DataFrame(row | {"score": scores[person, hypothesis], "error_mm": errors[person, hypothesis]}))
    return pd.concat(parts, ignore_index=True)


def _read(path: Path) -> Result:
    with np.load(path) as kept:
        return {name: kept[name] for name in kept.files}


def _drawn(name: str, table: pd.DataFrame, draw) -> dict[str, bytes]:
    """The plot as SVG and PDF; equal numbers give equal bytes."""
    files = {}
    with matplotlib.rc_context({**STYLE, "svg.hashsalt": name, "pdf.fonttype": 42}):
        figure = Figure(figsize=(4.2, 3.2), layout="constrained")
        axes = figure.subplots()
        draw(axes, table)
        for kind, metadata in (("svg", {"Date": None}), ("pdf", {"CreationDate": None})):
            sink = io.BytesIO()
            figure.savefig(sink, format=kind, metadata=metadata)
            files[kind] = sink.getvalue()
    return files


def _draw_best_of_m(axes: Axes, table: pd.DataFrame) -> None:
    for name in table.columns[1:]:
        model = name.removesuffix("_mm")
        axes.plot(table["m"], table[name], marker="o", markersize=3, color=_COLOURS.get(model), label=model)
    axes.set_xlabel("M hypotheses")
    axes.set_ylabel("MPJPE of the best, mm")
    axes.legend()


def _draw_cdf(axes: Axes, table: pd.DataFrame) -> None:
    for model, estimate in table[["model", "estimate"]].drop_duplicates().itertuples(index=False):
        rows = table[(table["model"] == model) & (table["estimate"] == estimate)]
        style, said = ("-", "zero noise") if estimate == "zero_noise" else ("--", "best of the group")
        axes.step(
            rows["error_mm"], rows["share"], style, where="post", color=_COLOURS.get(model), label=f"{model}, {said}"
        )
    axes.set_xlabel("MPJPE, mm")
    axes.set_ylabel("share of people")
    axes.set_ylim(0, 1)
    axes.legend()


def _draw_reliability(axes: Axes, table: pd.DataFrame) -> None:
    for model in table["model"].unique():
        rows = table[table["model"] == model]
        axes.plot(rows["spread_mm"], rows["error_mm"], marker="o", markersize=4, color=_COLOURS.get(model), label=model)
    most = float(table["spread_mm"].to_numpy().max())
    axes.plot([0, most], [0, most], ":", color="#8a94a1", label="error = spread")
    axes.set_xlabel("spread of a joint over the group, mm")
    axes.set_ylabel("error of the joint, mm")
    axes.legend()


def _draw_scatter(axes: Axes, table: pd.DataFrame) -> None:
    named = str(table["model"].iat[0]) if len(table) else None
    rows = table[table["model"] == named]
    axes.plot(
        rows["score"], rows["error_mm"], "o", markersize=2.5, alpha=0.35, markeredgewidth=0, color=_COLOURS["before"],
        rasterized=len(rows) > 5000,
    )  # fmt: skip
    axes.set_xlabel("score" if named is None else f"score ({named})")
    axes.set_ylabel("MPJPE, mm")
