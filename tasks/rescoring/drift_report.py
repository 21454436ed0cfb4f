"""What a newer version of a critic changes, as numbers and as a page: `rescored/<critic>/` in the run's folder.

The page needs no other file and no network. Comments of critics come from outside: the template escapes them.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from math import isfinite
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, StrictUndefined

from critique.critic import Sight
from critique.drift import Drift, DriftSum, GroupDrift, group_drift
from hmr.detection.photograph import PhotographError
from storage.finished_file import write_text
from storage.group_store import GroupStore
from storage.records import Verdict
from tasks.groups.overlays import drawn_groups, save_pictures
from tasks.report.embedded_picture import picture
from tasks.run.settings import OverlaySection
from tasks.run.shard_task import task

log = logging.getLogger(__name__)

FOLDER = "rescored"
PAGE, NUMBERS = "report.html", "drift.json"
SIDE = 300  # px of a picture in the page


@dataclass(frozen=True)
class Disagreement:
    """A group about which two versions disagree, with the pictures of both first choices."""

    gen: str
    shard: str
    drift: GroupDrift
    older: Verdict
    newer: Verdict
    pictures: tuple[Path, Path, Path] | None = None  # photograph, older and newer first choice; None = not drawn


@dataclass(frozen=True)
class DriftReport:
    """All that the page shows."""

    critic: str
    against: str
    whole: Drift
    gens: dict[str, Drift]
    worst: tuple[Disagreement, ...]
    controls: Mapping[str, float] = field(default_factory=dict)
    retrained: Mapping[str, Any] = field(default_factory=dict)

    def numbers(self) -> dict[str, Any]:
        """The report as JSON can hold it; numbers that are not finite are null."""
        return {
            "critic": self.critic,
            "against": self.against,
            "all": _finite(self.whole._asdict()),
            "generations": {gen: _finite(found._asdict()) for gen, found in self.gens.items()},
            "worst": [{"gen": one.gen, "shard": one.shard, **_finite(one.drift._asdict())} for one in self.worst],
            "controls": _finite(self.controls),
            "retrained": dict(self.retrained),
        }


def folder_of(run: Path, critic: str) -> Path:
    """Where the report of a critic lies."""
    return run / FOLDER / quote(critic, safe="@")


def compare_versions(store: GroupStore, critic: str, against: str, worst: int) -> DriftReport | None:
    """Hold all verdicts of a critic against those of another one; None if no group was judged by both.

    One shard is in memory at a time. worst: how many groups with the largest loss are named.
    """
    all_, gens, largest = DriftSum(), dict[str, DriftSum](), list[Disagreement]()
    order = {gen: place for place, gen in enumerate(store.gens())}
    for gen in store.gens():
        for shard in sorted({*store.verdict_shards(gen, critic)} & {*store.verdict_shards(gen, against)}):
            before = {verdict.group_id: verdict for verdict in store.read_verdicts(gen, against, shard)}
            for newer in store.read_verdicts(gen, critic, shard):
                if (older := before.get(newer.group_id)) is None:
                    continue
                found = group_drift(older, newer)
                for sum_ in (all_, gens.setdefault(gen, DriftSum())):
                    sum_.add(older, newer, found)
                if found and found.changed:
                    largest.append(Disagreement(gen, shard, found, older, newer))
            largest = sorted(largest, key=lambda one: (-one.drift.loss, order[one.gen], one.drift.group_id))[:worst]
    if not gens:
        return None
    return DriftReport(
        critic=critic,
        against=against,
        whole=all_.whole(),
        gens={gen: sum_.whole() for gen, sum_ in gens.items()},
        worst=tuple(largest),
    )


@task(task_run_name="draw disagreements: {critic}")
def draw_disagreements(
    critic: str, worst: Sequence[Disagreement], store_root: Path, body_path: Path | None, overlay: OverlaySection,
    folder: Path,
) -> list[tuple[Path, Path, Path] | None]:  # fmt: skip
    """Draw each group with both first choices; returns the pictures of each: photograph, older and newer choice.

    None where the photograph is gone or has changed since, which is logged.
    """
    store = GroupStore(store_root)
    found: list[tuple[Path, Path, Path] | None] = []
    for one in worst:
        group = store.read_group(one.gen, one.shard, one.drift.group_id)
        try:
            (drawn,) = drawn_groups([group], body_path, overlay, sight=Sight())
        except PhotographError as error:
            log.warning("not drawn: %s", error)
            found.append(None)
            continue
        photograph, *others = save_pictures(drawn, folder / one.gen / one.drift.group_id)
        found.append((photograph, others[one.drift.before], others[one.drift.after]))
    return found


def write_report(folder: Path, report: DriftReport) -> Path:
    """Write the page and the numbers; returns the page."""
    write_text(folder / NUMBERS, json.dumps(report.numbers(), indent=1) + "\n")
    source = resources.files("tasks.rescoring").joinpath("drift_template.html.j2").read_text(encoding="utf-8")
    page = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    text = page.from_string(source).render(
        report=report,
        sentence=sentence(report),
        rows=drift_rows(report),
        worst=[_shown(one) for one in report.worst],
        number=_number,
    )
    write_text(folder / PAGE, text)
    return folder / PAGE


def sentence(report: DriftReport) -> str:
    """What changed, in one sentence."""
    whole = report.whole
    return (
        f"{report.critic} ranks the hypotheses of {whole.groups:,} groups like {report.against} with a rank "
        f"correlation of {_number(whole.correlation, 2)}; {_number(100 * whole.changed)} % have another first choice "
        f"(by chance {_number(100 * whole.changed_by_chance)} %)."
    )


def drift_rows(report: DriftReport) -> list[dict[str, Any]]:
    """A row for each generation, then one for all."""
    return [
        {
            "groups of": gen,
            "groups": f"{found.groups:,}",
            "rank correlation": _number(found.correlation, 2),
            "lowest": _number(found.lowest_correlation, 2),
            "other first choice": f"{_number(100 * found.changed)} %",
            "points off the old first choice": _number(found.loss, 1),
            "change of scores": _number(found.shift, 1, sign=True),
            "without a score before": f"{found.abstained_before:,}",
            "now": f"{found.abstained_after:,}",
        }
        for gen, found in [*report.gens.items(), *([("all", report.whole)] if len(report.gens) > 1 else [])]
    ]


def _shown(one: Disagreement) -> dict[str, Any]:
    """A disagreement as the template shows it."""
    choices = [(which, place) for which, place in (("older", one.drift.before), ("newer", one.drift.after))]
    return {
        "group": one.drift.group_id,
        "gen": one.gen,
        "loss": _number(one.drift.loss),
        "correlation": _number(one.drift.correlation, 2),
        "photograph": picture(one.pictures[0], SIDE) if one.pictures else None,
        "choices": [
            {
                "which": which,
                "picture": picture(one.pictures[k], SIDE) if one.pictures else None,
                "said": [
                    (name, _number(float(verdict.scores[place])), verdict.comments[place])
                    for name, verdict in (("older", one.older), ("newer", one.newer))
                ],
            }
            for k, (which, place) in enumerate(choices, 1)
        ],
    }


def _finite(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: None if isinstance(v, float) and not isfinite(v) else v for key, v in values.items()}


def _number(value: float, digits: int = 0, sign: bool = False) -> str:
    return "–" if not isfinite(value) else f"{value:{'+' if sign else ''}.{digits}f}"
