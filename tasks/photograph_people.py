"""People of a run's real photographs: the zero-noise body of a model on each, measured, and drawn for the report."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import isnan, nan
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from critique.critic import Sight
from hmr.detection.photograph import whole_picture
from storage.group_store import GroupStore
from storage.records import Group, Verdict
from tasks.groups.overlays import save_jpeg
from tasks.rendering import drawn_groups
from tasks.report.photograph_agreement import Agreement, agreement, agreement_means, moved, only, places_in_crop
from tasks.report.report import PhotographPerson, ShownBody, ShownHypothesis
from tasks.run.kept_note import made_of, read_note, write_note
from tasks.run.plan import Plan
from tasks.run.settings import CriticSection, OverlaySection, Sample
from tasks.run.shard_task import task
from tasks.sampling import body, model, sample_hypotheses
from tasks.scoring import judge_all, make_critic

MOST_SHOWN = 40
"""Number of people shown in the report; all are measured."""
LEADING = 6
"""Number of people at the top of the report: those whose body lies on the person."""
NOT_JUDGED = "not judged"
"""Status of a body that no critic was asked about."""
LIES = 12.0
"""Largest 2-D distance, px of a 256 px crop, of people at the top of the report."""


@dataclass(frozen=True)
class Measured:
    """The zero-noise body of one model on one person."""

    group_id: str
    photo: str  # file name
    size_px: float  # longer side of the person's box inside the photograph, px
    places: tuple[tuple[float, float], ...]  # (23, 2) projected keypoints, px of a 256 px crop
    agreement: Agreement

    @property
    def distance(self) -> float:
        """Distance, px of a 256 px crop, to the second network's landmarks, which the base did not read; else to those
        it read.
        """
        second = self.agreement.second_px
        return self.agreement.keypoints_px if isnan(second) else second


@dataclass(frozen=True)
class Pictured:
    """That body drawn, and the critic's verdict on it."""

    photograph: Path
    overlay: Path
    score: float  # 0-100, NaN = none
    status: str


class OnPhotographs(NamedTuple):
    """The people of a run's real photographs, measured with the base and with the aligned policy."""

    before: list[Measured]
    after: list[Measured]


def compared_models(plan: Plan) -> dict[str, str]:
    """The models that the report compares."""
    return {"before": plan.base, "after": plan.policy(plan.settings.align.rounds)}


def as_it_is(plan: Plan) -> Sample:
    """[sample] at temperature 1, the model's own spread."""
    return plan.settings.sample.at_own_spread


def shown_groups(plan: Plan, order: list[str]) -> tuple[str, ...]:
    """Ids of the groups in the report: people of photographs in `order`, and for half of the places people of the
    studio.

    On the user's photographs, or with a critic that needs truth, only one of the two kinds is shown.
    """
    most = plan.settings.overlay.groups_shown
    if not plan.on_studio:
        return tuple(order[:most])
    store = plan.store
    real_shards = plan.photographed()
    wild = [p.group_id for shard in store.people_shards() if shard not in real_shards for p in store.read_people(shard)]
    if plan.truth is not None:  # the free photographs have no ground truth
        return tuple(wild[:most])
    real = order[: most - min(len(wild), most // 2)]
    return (*real, *wild[: most - len(real)])


@task(task_run_name="measure photographs {name}")
def measure_photographs(
    name: str,
    shards: tuple[str, ...],
    store_root: Path,
    model_path: str,
    body_path: Path | None,
    sample: Sample,
    seed: int,
    folder: Path,
) -> list[Measured]:
    """Measure one model on all people of some shards; results already on disk are read back."""
    frame, base, store = body(body_path), model(model_path), GroupStore(store_root)
    people = {shard: store.read_people(shard) for shard in shards}
    note = folder / f"{name}.json"
    of = made_of(base.digest(), sample.model_dump(), seed, [p.group_id for found in people.values() for p in found])
    if (kept := read_note(note, of, lambda rows: [_measured(row) for row in rows])) is not None:
        return kept
    small = sample.model_copy(update={"hypotheses": 2})  # hypothesis 0 does not depend on how many there are
    rows = [
        Measured(
            group.person.group_id, Path(group.person.photo).name, size_in_picture(group),
            tuple((float(x), float(y)) for x, y in places_in_crop(group)), agreement(frame, group),
        )
        for found in people.values()
        for group in sample_hypotheses(found, base, frame, small, seed=seed, draw="shown")
    ]  # fmt: skip
    write_note(note, of, [asdict(row) for row in rows])
    return rows


@task(task_run_name="show bodies {name}")
def show_bodies(
    name: str,
    group_ids: tuple[str, ...],
    store_root: Path,
    model_path: str,
    body_path: Path | None,
    sample: Sample,
    section: CriticSection,
    overlay: OverlaySection,
    seed: int,
    folder: Path,
    processes: int = 1,
) -> dict[str, Pictured]:
    """Judge and draw the zero-noise body of some people, by group id; results already on disk are read back.

    A critic that costs money, needs truth or is a cascade is not asked: the score is then taken from groups judged for
    the report.
    """
    note = folder / "bodies.json"
    of = made_of(model(model_path).digest(), sample.model_dump(), section.model_dump(), overlay.model_dump(), seed,
                 group_ids)  # fmt: skip
    if (kept := read_note(note, of, lambda rows: _pictured(rows, folder))) is not None:
        return kept
    wanted = set(group_ids)
    people = [p for p in GroupStore(store_root).read_people() if p.group_id in wanted]
    free = not (section.asks_server or section.needs_truth or section.name == "cascade")
    critic = make_critic(section, seed) if free else None
    rows: dict[str, dict[str, Any]] = {}
    groups = sample_hypotheses(people, model(model_path), body(body_path), sample, seed=seed, draw="shown")
    verdicts: list[Verdict | None] = [None] * len(groups)
    if critic is not None:
        verdicts = [*judge_all(groups, critic, body_path, overlay, processes)]
    bodies = drawn_groups(
        [only(group) for group in groups], body_path, overlay, sight=Sight(sides=False), processes=processes
    )
    for group, drawn, verdict in zip(groups, bodies, verdicts):
        place = folder / group.person.group_id
        assert drawn.photograph is not None
        save_jpeg(drawn.photograph, place / "photograph.jpg")
        save_jpeg(drawn.overlays[0], place / "overlay.jpg")
        score, status = nan, NOT_JUDGED
        if verdict is not None:
            score, status = float(verdict.scores[0]), verdict.statuses[0]
        rows[group.person.group_id] = {
            "photograph": f"{group.person.group_id}/photograph.jpg",
            "overlay": f"{group.person.group_id}/overlay.jpg",
            "score": None if isnan(score) else score,
            "status": status,
        }
    write_note(note, of, rows)
    return {key: _shown(row, folder) for key, row in rows.items()}


def size_in_picture(group: Group) -> float:
    """Longer side of the person's box inside the photograph, px."""
    person = group.person
    box = np.clip(person.box, 0, [person.width, person.height] * 2)
    return float((box[2:] - box[:2]).max())


def report_order(before: Sequence[Measured], after: Sequence[Measured]) -> list[str]:
    """Group ids in the order of the report.

    First up to LEADING fully visible people whose aligned body lies on them, the largest first; then all others by how
    far their body moved.
    """
    well = [one for one in after if one.agreement.whole and one.distance <= LIES]
    leading = [one.group_id for one in sorted(well, key=lambda one: -one.size_px)[:LEADING]]
    far = distances_moved(before, after)
    return leading + sorted((key for key in far if key not in leading), key=lambda key: -far[key])


def distances_moved(before: Sequence[Measured], after: Sequence[Measured]) -> dict[str, float]:
    """How far each person's body moved in the picture, px of a 256 px crop, by group id."""
    places = {one.group_id: one.places for one in before}
    return {one.group_id: moved(np.array(places[one.group_id]), np.array(one.places)) for one in after}


def photograph_summary(before: Sequence[Measured], after: Sequence[Measured]) -> dict[str, Any]:
    """`summary["photographs"]`: `agreement_means` of each model, and how far bodies moved; evidence, not accuracy."""
    far = distances_moved(before, after)
    return {
        "photographs": len({one.photo for one in before}),
        "before": agreement_means([one.agreement for one in before]),
        "after": agreement_means([one.agreement for one in after]),
        "moved_px": float(np.median(list(far.values()))) if far else None,
    }


def pairs(
    before: Sequence[Measured],
    after: Sequence[Measured],
    bodies: Mapping[str, Mapping[str, Pictured]],
    judged: Mapping[str, Mapping[str, ShownHypothesis]],
) -> list[PhotographPerson]:
    """The people that were drawn, in the report's order.

    bodies, judged: "before" and "after" -> group id -> picture, or the hypothesis whose score replaces a missing one.
    """
    far = distances_moved(before, after)
    measured = {"before": {one.group_id: one for one in before}, "after": {one.group_id: one for one in after}}
    return [
        PhotographPerson(
            group_id=key,
            photo=measured["before"][key].photo,
            moved_px=far[key],
            **{
                when: _body(bodies[when][key], measured[when][key].agreement, judged[when].get(key))
                for when in ("before", "after")
            },
        )
        for key in report_order(before, after)
        if key in bodies["before"] and key in bodies["after"]
    ]


def _body(drawn: Pictured, found: Agreement, judged: ShownHypothesis | None) -> ShownBody:
    score, status = drawn.score, drawn.status
    if status == NOT_JUDGED and judged is not None:
        score, status = judged.score, judged.status
    return ShownBody(drawn.photograph, drawn.overlay, score, status, found)


def _measured(row: dict[str, Any]) -> Measured:
    places = tuple((float(x), float(y)) for x, y in row["places"])
    return Measured(**{**row, "places": places, "agreement": Agreement(**row["agreement"])})


def _pictured(rows: Mapping[str, dict[str, Any]], folder: Path) -> dict[str, Pictured]:
    """The stored results of `show_bodies`, if all their pictures can be read."""
    kept = {key: _shown(row, folder) for key, row in rows.items()}
    for one in kept.values():
        whole_picture(one.photograph)
        whole_picture(one.overlay)
    return kept


def _shown(row: dict[str, Any], folder: Path) -> Pictured:
    """Paths in the note are relative to its folder, so that a run can be moved."""
    score = nan if row["score"] is None else row["score"]
    return Pictured(folder / row["photograph"], folder / row["overlay"], score, row["status"])
