"""How well a critic judges people whose truth is known: the embedded studio's, or those of a dataset."""

import logging
from collections.abc import Iterator
from itertools import chain
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray
from prefect import flow

from critique.critic import Critic
from flows.cli.measurements import cells
from flows.record.progress import tracked
from flows.record.run_labels import labelled
from flows.stages.run_benchmark import SPLITS
from hmr.studio.studio import Split
from storage.records import Group
from tasks.benchmarking import known as known_people_of
from tasks.benchmarks.critic_benchmark import (
    KINDS,
    Judged,
    Kind,
    KnownGroups,
    ablated,
    can_be_perturbed,
    judge_drawn,
    measure,
    model_groups,
    model_instances,
    perturbed_groups,
    perturbed_instances,
    photographed,
    stacked,
)
from tasks.data.imported_people import ImportedPeople
from tasks.groups.instances import SeenInstances, details, find_instances, instance_store, place, seen_instances, shards
from tasks.run.artifacts import leave_table
from tasks.run.plan import Plan
from tasks.run.settings import Settings, SettingsError
from tasks.sampling import body, model
from tasks.scoring import judge_all, make_critic

log = logging.getLogger(__name__)

KEPT = (".srcc", "_srcc", ".krcc", "_krcc", ".plcc", "_plcc", "top1_regret_mm")
"""Endings of the metrics that are reported for an ablation."""

PART = 32
"""Number of groups between two updates of the progress bar."""


class _Made(NamedTuple):
    """Groups of one kind, and what each result row says about them."""

    kind: Kind
    known: KnownGroups
    about: dict[str, Any]


@flow(name="critic-benchmark", **labelled("critic benchmark", critic=True))
def critic_benchmark(
    settings: Settings,
    kind: str | None = None,
    split: str = "test",
    temperature: float = 1.0,
    ablations: bool = False,
    people: int | None = None,
) -> list[dict[str, Any]]:
    """Judge `perturbed` groups, `model` groups or both (`kind` None) and measure the critic; returns measurement rows.

    The people are those of [instances] if it names a file, else of [data] if it names that split, else of a split of
    the studio. A critic that looks at
    pictures is shown their photographs; paid answers of a remote one are stored in the run's folder. ablations: also
    without each kind of evidence, as `critic.without_<what>.srcc` and the like. people: only the first so many groups;
    they are the same groups as without it.

    Raises SettingsError for an unknown kind or split, or fewer than two people.
    """
    if kind is not None and kind not in KINDS:
        raise SettingsError(f"there are no '{kind}' groups; there are {' and '.join(KINDS)}")
    if split not in SPLITS:
        raise SettingsError(f"the benchmark has no split '{split}'; it has {', '.join(SPLITS)}")
    if people is not None and people < 2:
        raise SettingsError(f"{people} people are too few: calibration takes two at least; give --people more")
    kinds = KINDS if kind is None else (cast(Kind, kind),)
    sections = {"": settings.critic, **(ablated(settings.critic) if ablations else {})}
    plan = Plan(settings)
    truth: dict[str, NDArray[np.float64]] = {}  # errors of the current groups, for the oracle
    critics = {
        name: make_critic(section, 0, lambda group: truth[group.person.group_id], plan.folder)
        for name, section in sections.items()
    }
    body_model = body(plan.body_path)
    brought = settings.instances.file is not None or settings.instances.photos is not None
    if brought:
        made = _of_instances(plan, kinds, temperature)
    else:
        made = _of_split(plan, kinds, kind is None, cast(Split, split), temperature)
    drawn = not brought and not isinstance(plan.people(cast(Split, split)), ImportedPeople)
    rows: list[dict[str, Any]] = []
    for each, all_known, about in made:
        known = all_known.first(people)
        truth.update(known.by_person())
        if critics[""].needs_pictures:  # it has no parts to leave out, so it is the only one
            if drawn:
                known = photographed(known, cast(Split, split), plan.folder / "critic-benchmark" / split)
            judged = {"": _judged_by_sight(plan, each, known.groups, critics[""])}
        else:
            parts = [known.groups[k : k + PART] for k in range(0, len(known.groups), PART)]
            judged = judge_drawn(body_model, chain.from_iterable(tracked(parts, f"judge {each} groups")), critics)
        for name, verdicts in judged.items():
            found = measure(verdicts, known.errors, each, settings.benchmark.bootstrap, name, known.others)
            rows += [row | about for row in found if not name or row["metric"].endswith(KEPT)]
    leave_table("critic benchmark", list(map(cells, rows)), f"how well {critics[''].name} ranks hypotheses")
    return rows


def _judged_by_sight(plan: Plan, kind: Kind, groups: list[Group], critic: Critic) -> Judged:
    """Verdicts of a critic that looks at pictures, many in progress at once; in parts, but a batch is sent whole."""
    settings = plan.settings
    size = len(groups) if settings.critic.vlm.get("batch") else settings.run.shard_size
    parts = [groups[k : k + size] for k in range(0, len(groups), size)]
    shown = tracked(parts, f"judge {kind} groups")
    drawn_by = settings.run.processes
    return stacked([v for part in shown for v in judge_all(part, critic, plan.body_path, settings.overlay, drawn_by)])


def _of_split(plan: Plan, kinds: tuple[Kind, ...], any_kind: bool, split: Split, temperature: float) -> Iterator[_Made]:
    """Groups of the people of a split, kind by kind; of the user's own people the kinds that their truth allows."""
    body_model, people, size = body(plan.body_path), plan.people(split), plan.settings.benchmark.hypotheses
    about: dict[str, Any] = {"split": split, "hypotheses": size}
    if isinstance(people, ImportedPeople):
        data = known_people_of(body_model, people)
        about |= {"people": people.name, **data.about}
        if any_kind and not can_be_perturbed(data):
            log.warning("%s: only joints are known, so there are no perturbed groups", people.name)
            kinds = ("model",)
    for kind in kinds:
        if kind == "perturbed":
            yield _Made(kind, perturbed_groups(body_model, people, hypotheses=size), about)
        else:
            groups = model_groups(model(plan.base), body_model, people, hypotheses=size, temperature=temperature)
            yield _Made(kind, groups, about | {"base": plan.base, "temperature": temperature})


def _of_instances(plan: Plan, kinds: tuple[Kind, ...], temperature: float) -> Iterator[_Made]:
    """Groups of the people of a dataset, kind by kind; the base is the one for photographs unless one is named."""
    body_model, chosen = body(plan.body_path), plan.settings.instances
    seen, about = _look_at_instances(plan)
    about["hypotheses"] = chosen.hypotheses
    for kind in kinds:
        if kind == "perturbed":
            level = None if chosen.level == "mixed" else float(chosen.level)
            groups = perturbed_instances(body_model, seen, hypotheses=chosen.hypotheses, level=level)
            yield _Made(kind, groups, about | {"level": chosen.level})
        else:
            base = str(plan.settings.base.checkpoint or "default")
            drawn = {"hypotheses": chosen.hypotheses, "temperature": temperature}
            groups = model_instances(model(base), body_model, seen, plan.settings.sample.model_copy(update=drawn))
            yield _Made(kind, groups, about | {"level": None, "base": base, "temperature": temperature})


def _look_at_instances(plan: Plan) -> tuple[SeenInstances, dict[str, Any]]:
    """The people of the chosen rows, and what every result row says about them. Resumes an interrupted call."""
    settings = plan.settings
    placed = place(body(plan.body_path), settings.instances)
    margin, focal = settings.photographs.crop_margin, settings.photographs.focal_px
    store = instance_store(plan.folder, placed, margin, focal)
    for name, places in tracked(shards(placed, settings.run.shard_size), "find people"):
        find_instances(placed, name, places, store, margin, focal, settings.run.processes)
    seen = seen_instances(placed, store)
    about: dict[str, Any] = {
        "instances": placed.data.name,
        "dataset": settings.instances.dataset,
        "selection": placed.data.selection,
        "chosen": placed.data.chosen,
        "n": len(seen.people),
        "skipped": seen.skipped,
        "off_box_percent": round(100 * placed.off_box, 2),
        "genders": placed.genders(),
    }
    log.info(
        "%s: %d of %d rows (%s), %d measured; left out: %s. %g %% of the true bodies project off their annotated boxes",
        placed.data.name, placed.data.chosen, placed.data.rows, placed.data.selection, len(seen.people),
        details(seen.skipped), about["off_box_percent"],
    )  # fmt: skip
    if len(placed.genders()) > 1:
        counts = ", ".join(f"{count} {gender}" for gender, count in placed.genders().items())
        why = "and one body file stands for all; [instances] gender measures one kind alone"
        log.warning("%s: its bodies are %s, %s", placed.data.name, counts, why)
    return seen, about
