"""Curves of the study of objectives, all on `val`: gain over the number of verdicts, and what critics say by step.

Arms are those of `table2`, and finished rounds of it are read back. For the first curve the arms of the headline learn
from the first 1/8, 1/4 and 1/2 of the groups in a random order that each seed has its own of, for the same steps. For
the second every arm of a known critic is trained once more while another critic watches, which stops nothing.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from prefect import flow

from critique.judge.asking import at_random
from flows.cli.measurements import cells
from flows.experiments.alignment import take_over
from flows.experiments.distill import GROUPS
from flows.experiments.rounds import changed
from flows.experiments.table2 import ARMS, COUNTS, judged, kept_gain, looks_of, section_of
from flows.record.run_labels import labelled
from flows.stages.find_people import find_people
from flows.stages.sample_groups import sample_groups
from flows.stages.score_groups import score_groups
from storage.group_store import GroupStore
from tasks.benchmarking import look_at
from tasks.report.study_curves import write_curves_page
from tasks.run.artifacts import leave_table
from tasks.run.plan import Plan
from tasks.run.settings import Settings, SettingsError, Train
from tasks.training import Trained, train_round

COMPARED = ("group", "dpo_5")
"""Arms whose gain is measured over the number of verdicts."""

PARTS = (8, 4, 2)
"""One group in so many is judged; all of them are the arm of `table2`."""

MONITORS = {"evidence": "scorer", "scorer": "evidence"}
"""Who watches an arm, by the critic that it is trained on."""

STOPS_NOTHING = {"max_critic_drop": 100.0}


@flow(name="experiment-table2-curves", **labelled("experiment table2 curves", critic=True))
def table2_curves(settings: Settings, seeds: int = 3, arms: Sequence[str] = tuple(ARMS)) -> list[dict[str, Any]]:
    """Train what the curves need; finished rounds are read back. Returns measurement rows; writes a page with plots.

    seeds: of the curve over verdicts; one seed is watched. Raises SettingsError for an unknown arm.
    """
    for name in arms:
        if name not in ARMS:
            raise SettingsError(f"there is no arm '{name}'; there are {', '.join(ARMS)}")
    plan = Plan(changed(settings, "groups", {"benchmark": {"hypotheses": max(COUNTS)}}))
    plan.check()
    with plan.held():
        plan.claim()
        find_people(plan.settings)
        sample_groups(plan.settings, 0, find=False)
        watched = {name: judged(plan, ARMS[name].critic).settings.critic.name for name in arms}
        watched = {name: MONITORS[critic] for name, critic in watched.items() if critic in MONITORS}
        for critic in dict.fromkeys(ARMS[name].critic for name in arms if name in watched or name in COMPARED):
            score_groups(judged(plan, critic).settings, [plan.gen(0)])
        look_at(plan.people("val"))
        rows = [row for name in COMPARED if name in arms for row in _over_verdicts(plan, name, seeds)]
        for name, monitor in watched.items():
            rows += steps_of(name, plan.settings.critic.name, monitor, _watched(plan, name, monitor))
    write_curves_page(plan.folder / "table2", rows)
    leave_table("experiment table2 curves", list(map(cells, rows)), "over verdicts and steps, on val")
    return rows


def _over_verdicts(plan: Plan, name: str, seeds: int) -> list[dict[str, Any]]:
    """Gains of an arm by the number of groups that were judged."""
    gen = plan.gen(0)
    groups = [one for shard in plan.store.group_shards(gen) for one in plan.store.hypotheses_of(gen, shard)]
    gains = {len(groups): [looks_of(plan, name, seed, (1.0, 1.0)) for seed in range(seeds)]}
    for part in PARTS:
        count = max(len(groups) // part, 1)
        gains[count] = [
            kept_gain(_from_some(plan, name, at_random(groups, count, seed, gen), seed)) for seed in range(seeds)
        ]
    size = plan.settings.sample.hypotheses
    return [row for count in sorted(gains) for row in gain_rows(name, count, size, gains[count])]


def gain_rows(name: str, groups: int, size: int, gains: Sequence[tuple[float, float]]) -> list[dict[str, Any]]:
    """Rows of one number of judged groups, from each seed's gain in zero-noise and best of 20, %."""
    return [
        _row(f"table2.verdicts.{name}.{groups}.{what}", float(np.mean(values)), "% less MPJPE on val")
        | {"arm": name, "what": what, "groups": groups, "verdicts": groups * size, "of_seeds": list(values)}
        for what, values in zip(("zero_noise", "best20"), zip(*gains))
    ]


def _from_some(plan: Plan, name: str, some: Sequence[str], seed: int) -> Trained:
    """The arm's round on the verdicts of some groups, in a folder of its own that shares the groups."""
    own = Plan(changed(plan.settings, f"{len(some)}-{seed}", {}))
    take_over(plan.folder, own.folder, (*GROUPS, "prepared"))
    gen, critic = plan.gen(0), plan.critic_name
    with own.held():
        give_verdicts(plan.store, own.store, gen, critic, frozenset(some), own.settings.run.name)
        section = section_of(plan.settings.train, name, (1.0, 1.0)).model_copy(update={"unjudged": "skip"})
        return train_round(
            gen, critic, own.store_root, plan.base, plan.body_path, own.folder / "arms" / name, section,
            plan.settings.sample, plan.people("val"), seed, plan.settings.critic,
        )  # fmt: skip


def give_verdicts(
    source: GroupStore, target: GroupStore, gen: str, critic: str, some: frozenset[str], run: str
) -> None:
    """Copy a critic's verdicts on some groups into another store of the same groups, if it has none of that critic."""
    if critic in target.critics(gen):
        return
    for shard in source.verdict_shards(gen, critic):
        if chosen := [one for one in source.read_verdicts(gen, critic, shard) if one.group_id in some]:
            target.add_verdicts(gen, critic, run, shard, chosen)


def _watched(plan: Plan, name: str, monitor: str) -> Path:
    """The arm's round with seed 0 while another critic looks on; returns its looks at `val`."""
    judge = judged(plan, ARMS[name].critic)
    section = section_of(plan.settings.train, name, (1.0, 1.0))
    section = Train.model_validate(
        {**section.model_dump(), "second_critic": monitor, "guard": section.guard | STOPS_NOTHING}
    )
    trained = train_round(
        plan.gen(0), judge.critic_name, plan.store_root, plan.base, plan.body_path,
        plan.folder / "arms" / name / f"seed0-{monitor}-watches", section, plan.settings.sample, plan.people("val"), 0,
        judge.settings.critic,
    )  # fmt: skip
    return trained.checkpoint.parent / "evaluations.parquet"


def steps_of(name: str, critic: str, monitor: str, path: Path) -> list[dict[str, Any]]:
    """Rows of one arm: at each look at `val` how often its critic and the monitor prefer the policy to the base."""
    looks: list[dict[Any, Any]] = pd.read_parquet(path).to_dict("records")
    base = looks[0]
    return [
        _row(f"table2.watched.{name}.step{int(look['step'])}", float(look["critic_score"]),
             "% of pairs in which the monitor prefers the policy")
        | {"arm": name, "step": int(look["step"]), "critic": ARMS[name].critic or critic, "monitor": monitor,
           "own": float(look["own_score"]), "zero_noise": 100 * (1 - look["zero_noise_mm"] / base["zero_noise_mm"]),
           "best20": 100 * (1 - look["best_of_g_mm"] / base["best_of_g_mm"])}
        for look in looks
    ]  # fmt: skip


def _row(metric: str, value: float, unit: str) -> dict[str, Any]:
    return {"metric": metric, "value": value, "unit": unit, "baseline": "the base before", "ratio": None}
