"""The report of a run: one HTML file that needs no other file and no network.

`report_template.html.j2` is the page, `report_figures` makes its pictures, `report_tables` its numbers and texts.
Comments, file names and settings come from outside: the template escapes everything except our own SVG.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from math import isnan
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined

from storage.finished_file import write_text
from tasks.critics.monitoring import drift
from tasks.report import report_tables as tables
from tasks.report.photograph_agreement import Agreement
from tasks.report.report_figures import Box, RoundRecord, improvement_figure, learning_curves, photograph_box, picture
from tasks.report.report_tables import Summary, benchmark_rows, summary_table_markdown

__all__ = [
    "PhotographPerson",
    "RoundRecord",
    "ShownBody",
    "ShownGroup",
    "ShownHypothesis",
    "ShownPerson",
    "benchmark_rows",
    "summary_table_markdown",
    "write_report",
]

LARGE, MIDDLE = 420, 256  # px of the large pictures, and of those for comparison
GRID = (200, 168, 144, 120, 96, 80, 64)  # px of an overlay in the grid of a group: the largest that fits
GRID_BYTES = 5_000_000
BODY, SMALL_BODY = 384, 224  # px of the photographs that the page begins with: of the first, and of the others
LARGE_BODIES = 8  # the first
BYTES_PER_PIXEL = 0.36  # of an overlay and its side view in the page, measured on photographs


@dataclass(frozen=True)
class ShownHypothesis:
    """One hypothesis with the critic's verdict."""

    overlay: Path
    side: Path
    score: float  # 0-100, NaN = abstained
    status: str  # of `storage.records.STATUSES`
    comment: str
    rank: int | None  # 1 = the critic's first choice; None = abstained
    advantage: float
    zero_start: bool


@dataclass(frozen=True)
class ShownGroup:
    """A person's hypotheses by one model, and the photograph without a mesh."""

    photograph: Path
    hypotheses: tuple[ShownHypothesis, ...]


@dataclass(frozen=True)
class ShownPerson:
    """One person's groups before and after alignment."""

    group_id: str
    photo: str  # file name
    before: ShownGroup
    after: ShownGroup | None


@dataclass(frozen=True)
class ShownBody:
    """The zero-noise body of one model on a person of a photograph."""

    photograph: Path
    overlay: Path
    score: float  # 0-100, NaN = none
    status: str  # of `storage.records.STATUSES`, or why the critic was not asked
    agreement: Agreement


@dataclass(frozen=True)
class PhotographPerson:
    """One person of a real photograph, with the zero-noise body before and after alignment."""

    group_id: str
    photo: str  # file name
    moved_px: float  # how far the body moved in the picture, px of a 256 px crop
    before: ShownBody
    after: ShownBody


def write_report(
    folder: Path,
    summary: Summary,
    shown: Sequence[ShownPerson],
    rounds: Sequence[RoundRecord],
    skipped: Sequence[tuple[str, str]],
    photographs: Sequence[PhotographPerson] = (),
) -> Path:
    """Write `folder/report.html`. It begins with `photographs` in their order; the first of `shown` is shown large.

    skipped: (photograph, reason) pairs.
    """
    source = resources.files("tasks.report").joinpath("report_template.html.j2").read_text(encoding="utf-8")
    page = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True).from_string(
        source
    )
    text = page.render(
        summary=summary,
        headline=tables.headline(summary),
        bodies=[_bodies(one, BODY if k < LARGE_BODIES else SMALL_BODY) for k, one in enumerate(photographs)],
        large_bodies=LARGE_BODIES,
        on_photographs=tables.photograph_rows(summary),
        photographs_text=tables.photographs_text(summary),
        benchmark=_benchmark(summary),
        chooser=tables.chooser(summary),
        people=_people(shown),
        first=_first(shown[0]) if shown else None,
        curves=learning_curves(rounds),
        protocol=tables.PROTOCOLS[summary.get("protocol", "fit")],
        unsure=tables.unsure_joints(summary),
        unsure_rows=tables.uncertainty_text(summary),
        intervals=improvement_figure(summary, tables.estimate_names(tables.chooser(summary))),
        rounds=rounds,
        apart=drift(watched) if (watched := summary.get("monitor")) else None,
        leakage=tables.leakage_text(summary),
        stages=_stages(summary),
        skipped=skipped,
        number=tables.number,
        percent=tables.percent,
        kind_of_change=tables.kind_of_change,
        duration=tables.duration,
    )
    path = folder / "report.html"
    write_text(path, text)
    return path


def _benchmark(summary: Summary) -> dict[str, Any]:
    """Rows of the benchmark table: estimate, then (before, after, improvement, kind) for each metric."""
    before, after = (summary.get("benchmark", {}).get(when, {}) for when in ("before", "after"))
    improvement = summary.get("improvement_percent", {})
    rows = [
        {
            "name": name,
            "oracle": estimate == "best_of_g",
            "cells": [
                (
                    tables.number(before.get(estimate, {}).get(metric)),
                    tables.number(after.get(estimate, {}).get(metric)),
                    tables.percent(found := improvement.get(estimate, {}).get(metric), unit=""),
                    tables.kind_of_change(found),
                )
                for metric in tables.METRICS
            ],
        }
        for estimate, name in tables.estimate_names(tables.chooser(summary)).items()
    ]
    lifting, headroom = summary.get("lifting") or {}, summary.get("headroom") or {}
    share = summary.get("share_of_headroom") or {}
    return {
        "metrics": list(tables.METRICS.values()),
        "rows": rows,
        "lifting": [(name, tables.number(lifting[key])) for key, name in tables.LIFTINGS.items() if key in lifting],
        "headroom": [
            (name, tables.percent(headroom[key]), tables.share_of(share.get(key)))
            for key, name in tables.HEADROOM.items()
            if key in headroom
        ],
    }


def _stages(summary: Summary) -> list[dict[str, Any]]:
    """Stages with their share of the longest one, for the bars."""
    stages = summary.get("stages") or {}
    longest = max([one["seconds"] for one in stages.values()], default=0) or 1
    return [{"name": name, **one, "percent": 100 * one["seconds"] / longest} for name, one in stages.items()]


def _bodies(person: PhotographPerson, size: int) -> dict[str, Any]:
    """A photograph with the body before and after, as the template shows them."""
    box = photograph_box(person.before.photograph)
    return {
        "photo": person.photo,
        "whole": person.before.agreement.whole,
        "moved": tables.number(person.moved_px),
        "photograph": picture(person.before.photograph, size, box=box),
        "sides": [
            {
                "when": when,
                "overlay": picture(one.overlay, size, box=box),
                "score": one.status.replace("_", " ") if isnan(one.score) else tables.number(one.score),
                "scored": not isnan(one.score),
                "distance": tables.number(one.agreement.second_px),
                "read": tables.number(one.agreement.keypoints_px),
                "iou": tables.number(one.agreement.mask_iou, 2),
            }
            for when, one in (("before", person.before), ("after", person.after))
        ],
    }


def _first(person: ShownPerson) -> dict[str, Any]:
    """The large photograph, with the critic's first, the zero-noise and the critic's last hypothesis."""
    labels: dict[int, list[str]] = {}
    group = person.before.hypotheses
    scored = [k for k in _in_order(group) if group[k].rank is not None]
    for k, label in (
        *((k, "the critic’s first") for k in scored[:1]),
        *((k, "zero noise") for k, one in enumerate(group) if one.zero_start),
        *((k, "the critic’s last") for k in scored[1:][-1:]),
    ):
        labels.setdefault(k, []).append(label)
    box = photograph_box(person.before.photograph)
    return {
        "photo": person.photo,
        "photograph": picture(person.before.photograph, LARGE, 86, box),
        "picks": [
            {"label": " and ".join(said), **_hypothesis(group[k], box, LARGE, LARGE // 2, 86)}
            for k, said in labels.items()
        ],
    }


def _people(shown: Sequence[ShownPerson]) -> list[dict[str, Any]]:
    groups = [group for person in shown for group in (person.before, person.after) if group]
    size = _grid_size(sum(len(group.hypotheses) for group in groups))
    return [_person(person, photograph_box(person.before.photograph), size) for person in shown]


def _person(person: ShownPerson, box: Box, size: int) -> dict[str, Any]:
    return {
        "group_id": person.group_id,
        "photo": person.photo,
        "photograph": picture(person.before.photograph, MIDDLE, box=box),
        "before": _group(person.before, box, size),
        "after": _group(person.after, box, size) if person.after else None,
        "pairs": _pairs(person, box),
    }


def _grid_size(count: int) -> int:
    """The largest picture size, px, of the grids with which the page stays small enough to send by e-mail."""
    return next((size for size in GRID if count * size**2 * BYTES_PER_PIXEL < GRID_BYTES), GRID[-1])


def _group(group: ShownGroup, box: Box, size: int) -> dict[str, Any]:
    scores = [one.score for one in group.hypotheses if not isnan(one.score)]
    return {
        "size": len(group.hypotheses),
        "mean": tables.number(sum(scores) / len(scores) if scores else None),
        "abstained": len(group.hypotheses) - len(scores),
        "hypotheses": [_hypothesis(group.hypotheses[k], box, size, size * 2 // 3) for k in _in_order(group.hypotheses)],
    }


def _pairs(person: ShownPerson, box: Box) -> list[dict[str, Any]]:
    """The zero-noise hypothesis and the critic's first, each before and after alignment."""
    groups = {"before": person.before, **({"after": person.after} if person.after else {})}
    chosen = {name: (_zero_noise(group), _favourite(group)) for name, group in groups.items()}
    return [
        {
            "label": label,
            "sides": [
                (name, _hypothesis(one, box, MIDDLE, 0))
                for name, picks in chosen.items()
                if (one := picks[place]) is not None
            ],
        }
        for place, label in enumerate(("zero noise", "the critic’s first"))
    ]


def _zero_noise(group: ShownGroup) -> ShownHypothesis | None:
    return next((one for one in group.hypotheses if one.zero_start), None)


def _favourite(group: ShownGroup) -> ShownHypothesis | None:
    first = _in_order(group.hypotheses)[0]
    return group.hypotheses[first] if group.hypotheses[first].rank is not None else None


def _in_order(group: Sequence[ShownHypothesis]) -> list[int]:
    """Places of a group's hypotheses by rank; those without a score come last."""
    return sorted(range(len(group)), key=lambda k: (group[k].rank is None, group[k].rank or 0, k))


def _hypothesis(one: ShownHypothesis, box: Box, size: int, side: int, quality: int = 78) -> dict[str, Any]:
    """A hypothesis as the template shows it, its overlay cut to `box`; side = 0 leaves its side view out."""
    scored = not isnan(one.score)
    return {
        "overlay": picture(one.overlay, size, quality, box),
        "side": picture(one.side, side, quality) if side else "",
        "bar": one.score if scored else None,
        "score": tables.number(one.score) if scored else one.status.replace("_", " "),
        "rank": f"#{one.rank}" if one.rank is not None else "unranked",
        "advantage": tables.number(one.advantage, 2, signed=True) if scored else "",
        "comment": one.comment,
        "zero_start": one.zero_start,
    }
