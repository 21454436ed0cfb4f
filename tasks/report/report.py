"""The report of a run: `report.html`, and beside it the folder `report` with more people and all pictures. No network.

    report.html               results, some people, plots; of constant size
    report/people-2.html ...  more people, PEOPLE_A_PAGE each
    report/<group id>.html    all hypotheses of one person
    report/pictures/          thumbnails, which pages load when they come into view
    report/plots/             plots for papers, see `paper_plots`
    report/strips.json        pictures of people before and after in one, by what they show; the viewer lists them

`report_template.html.j2` is the first page, `report_people.html.j2` the others; `report_figures` makes plots,
`report_tables` numbers and texts, `thumbnails` the pictures. Paths are relative: the two can be moved or sent together.
Comments, file names and settings come from outside: the template escapes everything except our own SVG.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import isnan
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from storage.finished_file import write_text
from tasks.critics.monitoring import drift
from tasks.report import report_tables as tables
from tasks.report.photograph_agreement import Agreement
from tasks.report.report_figures import RoundRecord, improvement_figure, learning_curves
from tasks.report.report_tables import Summary, benchmark_rows, summary_table_markdown
from tasks.report.thumbnails import (
    FOLDER,
    GRID,
    GRID_SIDE,
    MIDDLE,
    STRIPS,
    Box,
    Labelled,
    Thumbnails,
    photograph_box,
    put,
)

__all__ = [
    "PhotographPerson",
    "RoundRecord",
    "ShownBody",
    "ShownGroup",
    "ShownHypothesis",
    "ShownPerson",
    "Told",
    "benchmark_rows",
    "summary_table_markdown",
    "write_report",
]

LARGE = 420  # px of the large pictures
PEOPLE_A_PAGE = 12
BODY, SMALL_BODY = 384, 224  # px of the photographs that the page begins with: of the first, and of the others
LARGE_BODIES = 8  # the first


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
class Told:
    """What a vision-language critic was sent about a group, and what it answered."""

    requests: tuple[str, ...]  # words of each, with a name in the place of each picture
    answers: tuple[str, ...]  # as they came


@dataclass(frozen=True)
class ShownGroup:
    """A person's hypotheses by one model, and the photograph without a mesh."""

    photograph: Path
    hypotheses: tuple[ShownHypothesis, ...]
    told: Told | None = None


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
    plots: Mapping[str, str] | None = None,
) -> Path:
    """Write `folder/report.html` and the folder `report` beside it.

    It begins with `photographs` in their order; the first of `shown` is shown large. skipped: (photograph, reason)
    pairs. plots: file names, without ending, in `report/plots`, and their titles.
    """
    small = Thumbnails(folder)
    bodies = [_bodies(one, BODY if k < LARGE_BODIES else SMALL_BODY, small) for k, one in enumerate(photographs)]
    first = _first(shown[0], small) if shown else None
    _write_people(folder, summary, shown, small)
    text = _page("report_template.html.j2").render(
        pictures=f"{FOLDER}/pictures",
        pages=f"{FOLDER}/",
        summary=summary,
        headline=tables.headline(summary),
        bodies=bodies,
        large_bodies=LARGE_BODIES,
        on_photographs=tables.photograph_rows(summary),
        photographs_text=tables.photographs_text(summary),
        benchmark=_benchmark(summary),
        chooser=tables.chooser(summary),
        count=len(shown),
        people=[_person(person, small) for person in shown[:PEOPLE_A_PAGE]],
        turns=_turns(len(shown), 1),
        first=first,
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
        plots=plots or {},
        number=tables.number,
        percent=tables.percent,
        kind_of_change=tables.kind_of_change,
        duration=tables.duration,
    )
    path = folder / "report.html"
    write_text(path, text)
    small.sweep()
    return path


@lru_cache(maxsize=2)
def _page(name: str) -> Template:
    """A template of this folder."""
    loader = PackageLoader("tasks.report", "")
    whole = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return whole.get_template(name)


def _write_people(folder: Path, summary: Summary, shown: Sequence[ShownPerson], small: Thumbnails) -> None:
    """The pages beside the first: one for each person, and further lists of people. Others' pages are removed."""
    page, known = _page("report_people.html.j2"), {"run": summary["run"], "critic": summary["critic"]}
    written = set()
    people = [_person(person, small) for person in shown]
    strips = [
        {"group_id": one["group_id"], "photo": one["photo"], "label": pair["label"], "file": pair["strip"]}
        for one in people
        for pair in one["pairs"]
        if pair["strip"]
    ]
    put(folder / FOLDER / STRIPS, json.dumps(strips, indent=1).encode())

    def write(name: str, **given: Any) -> None:
        put(folder / FOLDER / name, page.render(pictures="pictures", **known, **given).encode())
        written.add(name)

    for person in people:
        write(person["page"], person=person, title=person["photo"], back="#people")
    for number in range(2, len(_turns(len(people), 1)) + 1):
        part = people[(number - 1) * PEOPLE_A_PAGE : number * PEOPLE_A_PAGE]
        turns = _turns(len(people), number)
        write(f"people-{number}.html", person=None, people=part, title=f"people {number}", turns=turns, back="#people")
    for path in (folder / FOLDER).glob("*.html"):
        if path.name not in written:
            path.unlink()


def _turns(people: int, here: int) -> list[dict[str, Any]]:
    """The lists of people: name, address in the folder `report`, and whether it is the one that is shown."""
    count = -(-people // PEOPLE_A_PAGE)
    names = [f"{k * PEOPLE_A_PAGE + 1}–{min((k + 1) * PEOPLE_A_PAGE, people)}" for k in range(count)]
    addresses = ["../report.html#people", *(f"people-{k}.html" for k in range(2, count + 1))]
    return [
        {"name": name, "href": address, "here": k == here} for k, (name, address) in enumerate(zip(names, addresses), 1)
    ]


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


def _bodies(person: PhotographPerson, size: int, small: Thumbnails) -> dict[str, Any]:
    """A photograph with the body before and after, as the template shows them."""
    box = photograph_box(person.before.photograph)
    return {
        "photo": person.photo,
        "whole": person.before.agreement.whole,
        "moved": tables.number(person.moved_px),
        "photograph": small.of(person.before.photograph, size, box=box),
        "sides": [
            {
                "when": when,
                "overlay": small.of(one.overlay, size, box=box),
                "score": one.status.replace("_", " ") if isnan(one.score) else tables.number(one.score),
                "scored": not isnan(one.score),
                "distance": tables.number(one.agreement.second_px),
                "read": tables.number(one.agreement.keypoints_px),
                "iou": tables.number(one.agreement.mask_iou, 2),
            }
            for when, one in (("before", person.before), ("after", person.after))
        ],
    }


def _first(person: ShownPerson, small: Thumbnails) -> dict[str, Any]:
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
        "photograph": small.of(person.before.photograph, LARGE, 86, box),
        "picks": [
            {"label": " and ".join(said), **_hypothesis(group[k], box, LARGE, LARGE // 2, small, 86)}
            for k, said in labels.items()
        ],
    }


def _person(person: ShownPerson, small: Thumbnails) -> dict[str, Any]:
    box = photograph_box(person.before.photograph)
    return {
        "group_id": person.group_id,
        "page": f"{person.group_id}.html",
        "photo": person.photo,
        "photograph": small.of(person.before.photograph, MIDDLE, box=box),
        "before": _group(person.before, box, small),
        "after": _group(person.after, box, small) if person.after else None,
        "pairs": _pairs(person, box, small),
    }


def _group(group: ShownGroup, box: Box, small: Thumbnails) -> dict[str, Any]:
    scores = [one.score for one in group.hypotheses if not isnan(one.score)]
    return {
        "size": len(group.hypotheses),
        "mean": tables.number(sum(scores) / len(scores) if scores else None),
        "abstained": len(group.hypotheses) - len(scores),
        "told": group.told,
        "hypotheses": [
            _hypothesis(group.hypotheses[k], box, GRID, GRID_SIDE, small) for k in _in_order(group.hypotheses)
        ],
    }


def _pairs(person: ShownPerson, box: Box, small: Thumbnails) -> list[dict[str, Any]]:
    """The zero-noise hypothesis and the critic's first, each before and after alignment."""
    groups = {"before": person.before, **({"after": person.after} if person.after else {})}
    chosen = {name: (_zero_noise(group), _favourite(group)) for name, group in groups.items()}
    return [
        {
            "label": label,
            "strip": _strip(person, [(when, picks[place]) for when, picks in chosen.items()], box, small),
            "sides": [
                (name, _hypothesis(one, box, MIDDLE, 0, small))
                for name, picks in chosen.items()
                if (one := picks[place]) is not None
            ],
        }
        for place, label in enumerate(("zero noise", "the critic’s first"))
    ]


def _strip(
    person: ShownPerson, sides: Sequence[tuple[str, ShownHypothesis | None]], box: Box, small: Thumbnails
) -> str:
    """File of one picture: the photograph, then each hypothesis from the front and from the side; "" if one lacks."""
    pictures = [Labelled(person.before.photograph, "photograph", box)]
    for when, one in sides:
        if one is None:
            return ""
        pictures += [Labelled(one.overlay, when, box), Labelled(one.side, f"{when}, side")]
    return small.strip(pictures) if len(sides) > 1 else ""


def _zero_noise(group: ShownGroup) -> ShownHypothesis | None:
    return next((one for one in group.hypotheses if one.zero_start), None)


def _favourite(group: ShownGroup) -> ShownHypothesis | None:
    first = _in_order(group.hypotheses)[0]
    return group.hypotheses[first] if group.hypotheses[first].rank is not None else None


def _in_order(group: Sequence[ShownHypothesis]) -> list[int]:
    """Places of a group's hypotheses by rank; those without a score come last."""
    return sorted(range(len(group)), key=lambda k: (group[k].rank is None, group[k].rank or 0, k))


def _hypothesis(
    one: ShownHypothesis, box: Box, size: int, side: int, small: Thumbnails, quality: int = 80
) -> dict[str, Any]:
    """A hypothesis as the template shows it, its overlay cut to `box`; side = 0 leaves its side view out."""
    scored = not isnan(one.score)
    return {
        "overlay": small.of(one.overlay, size, quality, box),
        "side": small.of(one.side, side, quality) if side else "",
        "bar": one.score if scored else None,
        "score": tables.number(one.score) if scored else one.status.replace("_", " "),
        "rank": f"#{one.rank}" if one.rank is not None else "unranked",
        "advantage": tables.number(one.advantage, 2, signed=True) if scored else "",
        "comment": one.comment,
        "zero_start": one.zero_start,
    }
