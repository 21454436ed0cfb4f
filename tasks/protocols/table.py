"""One table of ours beside reference numbers, for the terminal, Markdown, LaTeX and Parquet.

The protocol's line stands under it in each form, and every row says what its number is: measured here, published, of
somebody's re-run, or second-hand.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from storage.finished_file import finished_file, write_text
from tasks.protocols.protocol import METRICS, NamedProtocol
from tasks.protocols.published import MARKS, Reference
from tasks.protocols.results import CHOICES, CORRELATIONS, Mean

NOTHING = ""


@dataclass(frozen=True)
class Row:
    """One method: its numbers by metric, what they are, and where they are from."""

    method: str
    values: dict[str, float]
    mark: str  # a key of MARKS
    source: str = ""
    note: str = ""
    people: int | None = None
    means: dict[str, Mean] = field(default_factory=dict)  # of ours: with intervals


@dataclass(frozen=True)
class Table:
    """Rows of a protocol, and what stands under them."""

    protocol: NamedProtocol
    line: str  # what was measured, by which rules
    rows: tuple[Row, ...]
    remarks: tuple[str, ...] = ()

    @property
    def metrics(self) -> list[str]:
        """The metrics that any row has, the protocol's in its order first."""
        order = [*self.protocol.rules.metrics, *METRICS, *(f"{c}_{m}" for c in CORRELATIONS for m in METRICS)]
        return [name for name in dict.fromkeys(order) if any(name in row.values for row in self.rows)]


def our_rows(name: str, found: dict[str, dict[str, Mean]], hypotheses: tuple[int, int], chooser: str) -> list[Row]:
    """A row for each way to choose; with one hypothesis there is only one. chooser: whose scores choose."""
    rows = []
    for choice, by_metric in found.items():
        words = name if hypotheses[1] == 1 else f"{name}, {CHOICES[choice].format(chooser=chooser)}"
        values = {metric: mean.value for metric, mean in by_metric.items()}
        rows.append(Row(words, values, "here", people=max(m.people for m in by_metric.values()), means=by_metric))
    return rows


def score_rows(name: str, found: dict[str, tuple[float, int]]) -> list[Row]:
    """A row of correlations of scores with minus the error; none if there were no scores."""
    if not found:
        return []
    fewest = min(groups for _, groups in found.values())
    values = {column: value for column, (value, _) in found.items()}
    return [Row(name, values, "here", note=f"mean over {fewest:,} groups", people=fewest)]


def ranks_text(found: dict[str, tuple[float, int]]) -> str:
    """The same in one sentence."""
    return ", ".join(f"{head(column)} {value:.3f}" for column, (value, _) in found.items())


def reference_rows(found: Sequence[Reference]) -> list[Row]:
    """The rows of others."""
    return [Row(one.label, one.values, one.mark, one.source, one.note) for one in found]


def head(metric: str) -> str:
    """A metric's name with its unit; arrows are not needed: the unit says which way is better."""
    for name in CORRELATIONS:
        if metric.startswith(f"{name}_"):
            return f"{name.upper()} of {METRICS[metric.removeprefix(f'{name}_')]}"
    unit = {"mm": "mm", "px": "px", "percent": "%"}[metric.rpartition("_")[2]]
    return f"{METRICS[metric]}, {'mm/frame²' if metric == 'accel_mm' else unit}"


def cells(table: Table, *, intervals: bool = False) -> tuple[list[str], list[list[str]]]:
    """Heads and rows as text: method, metrics, people, mark, source."""
    metrics = table.metrics
    heads = ["method", *map(head, metrics), "people", "number", "source"]
    rows = []
    for row in table.rows:
        numbers = [_number(row, metric, intervals) for metric in metrics]
        source = "; ".join(part for part in (row.source, row.note) if part)
        rows.append([row.method, *numbers, NOTHING if row.people is None else f"{row.people:,}", row.mark, source])
    return heads, rows


def _number(row: Row, metric: str, intervals: bool) -> str:
    value = row.values.get(metric)
    if value is None or not math.isfinite(value):
        return NOTHING
    digits = 3 if metric.startswith(CORRELATIONS) else 1
    text = f"{value:.{digits}f}"
    mean = row.means.get(metric)
    if intervals and mean is not None:
        low, high = mean.by_sequence or mean.by_image
        text += f" [{low:.{digits}f}, {high:.{digits}f}]"
    return text


def legend(table: Table) -> list[str]:
    """What the marks that occur mean, and which intervals are shown."""
    used = [mark for mark in MARKS if any(row.mark == mark for row in table.rows)]
    said = "; ".join(f"{mark}: {MARKS[mark]}" for mark in used)
    means = [mean for row in table.rows for mean in row.means.values()]
    if not means:
        return [said]
    by = "whole sequences" if any(mean.by_sequence for mean in means) else "images"
    return [said, f"Intervals: 95 % percentile bootstrap, {by} drawn with replacement."]


def markdown(table: Table) -> str:
    """A page with the table and all that belongs under it."""
    heads, rows = cells(table, intervals=True)
    right = ["---", *["---:"] * (len(heads) - 3), "---", "---"]
    lines = [" | ".join(map(_plain, line)) for line in ([*heads], right, *rows)]
    under = [table.line, *table.remarks, *legend(table)]
    return "\n".join([*(f"| {line} |" for line in lines), "", *(f"{text}\n" for text in under)])


def _plain(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")


_TEX = {"&": r"\&", "%": r"\%", "#": r"\#", "_": r"\_", "$": r"\$", "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}", "\\": r"\textbackslash{}", "²": r"\textsuperscript{2}", "<": r"\textless{}",
        ">": r"\textgreater{}"}  # fmt: skip


def latex(table: Table) -> str:
    """A `table` environment (booktabs) whose caption is the protocol's line."""
    heads, rows = cells(table)
    heads, rows = heads[:-1], [row[:-1] for row in rows]
    shape = "l" + "r" * (len(heads) - 2) + "l"
    body = [" & ".join(map(_tex, row)) + r" \\" for row in rows]
    sources = "; ".join(dict.fromkeys(f"{row.method}: {row.source}" for row in table.rows if row.source))
    under = " ".join([table.line, *table.remarks, *legend(table), *([f"Sources: {sources}."] if sources else [])])
    return "\n".join([
        r"\begin{table}", r"\centering", rf"\begin{{tabular}}{{{shape}}}", r"\toprule",
        " & ".join(map(_tex, heads)) + r" \\", r"\midrule", *body, r"\bottomrule", r"\end{tabular}",
        rf"\caption{{{_tex(under)}}}", r"\end{table}", "",
    ])  # fmt: skip


def _tex(text: str) -> str:
    return "".join(_TEX.get(letter, letter) for letter in text)


def long_table(table: Table) -> pd.DataFrame:
    """A row for each number; the protocol's line goes with every one."""
    rows = []
    for row in table.rows:
        for metric, value in row.values.items():
            mean = row.means.get(metric)
            low, high = mean.by_image if mean else (math.nan, math.nan)
            low_sequence, high_sequence = (mean and mean.by_sequence) or (math.nan, math.nan)
            rows.append({
                "protocol": table.protocol.name, "method": row.method, "metric": metric, "value": value,
                "low_by_image": low, "high_by_image": high, "low_by_sequence": low_sequence,
                "high_by_sequence": high_sequence, "people": mean.people if mean else row.people,
                "protocol_people": table.protocol.rules.n, "stride": table.protocol.rules.stride, "mark": row.mark,
                "source": row.source, "note": row.note, "line": table.line,
            })  # fmt: skip
    frame = pd.DataFrame(rows)
    return frame.astype({"people": "Int64", "protocol_people": "Int64"})


def write_table(table: Table, folder: Path) -> list[Path]:
    """`table.md`, `table.tex` and `table.parquet` in the folder; returns their paths."""
    paths = [folder / f"table.{ending}" for ending in ("md", "tex", "parquet")]
    write_text(paths[0], markdown(table))
    write_text(paths[1], latex(table))
    with finished_file(paths[2]) as unfinished:
        long_table(table).to_parquet(unfinished, index=False)
    return paths
