"""The study of verdict distillation: what a tenth of a teacher's verdicts and a small judge are worth.

Each teacher's noise is known: `noisy` is the true error with noise, so that it ranks about as well as the paper's
critic (SRCC about .6); `scorer` has none; `loopback` is a judge by pixels behind real HTTP that errs anew for each
picture. Every teacher and seed has three runs on the same groups: `all` groups judged by the teacher, a `cascade` with
a tenth of them, and the same number `alone`, chosen at random and without a judge. Gains are measured on `val`.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from prefect import flow

from critique.endpoint.loopback import JudgingStyle, LoopbackVlm
from critique.judge.asking import at_random
from critique.memory.gate import agreement
from flows.align import improve
from flows.cli.measurements import cells
from flows.distill_judge import ask
from flows.experiments.alignment import take_over
from flows.experiments.rounds import changed
from flows.record.run_labels import labelled
from flows.stages.find_people import find_people
from flows.stages.sample_groups import sample_groups
from flows.stages.score_groups import score_groups
from flows.stages.train_policy import train_policy
from storage.records import Verdict
from tasks.critics.judges import answers_of
from tasks.report.summary import done_by
from tasks.run.artifacts import leave_table
from tasks.run.plan import Plan
from tasks.run.settings import Settings, SettingsError

TEACHERS = ("noisy", "scorer", "loopback")
ARMS = ("all", "cascade", "alone")
SHARE = 10
"""One group in so many is the teacher's in the arms `cascade` and `alone`."""

NOISE = 1.25
"""Of the teacher `noisy`: standard deviation on the log odds of the oracle's scores."""

POINTS = 2.0
"""Of the teacher `loopback`: standard deviation of its errors, points."""

KEY = "HMR_ALIGN_LOOPBACK_KEY"
"""Environment variable with the loopback server's key."""

GEN = "round0"
GROUPS = ("photographs", "skipped", "people.json", "store/images.parquet", "store/people", "store/groups", "store/hyps")
"""Files that all runs of the study share."""


@flow(name="experiment-distill", **labelled("experiment distill"))
def distill(settings: Settings, seeds: int = 2, teachers: Sequence[str] = TEACHERS) -> list[dict[str, Any]]:
    """Run each teacher with each seed and arm; finished runs are read back. Returns measurement rows.

    The runs are called `<name>-<teacher>-<arm>-<seed>`. Raises SettingsError for an unknown teacher.
    """
    for name in teachers:
        if name not in TEACHERS:
            raise SettingsError(f"there is no teacher '{name}'; there are {', '.join(TEACHERS)}")
    groups = Plan(changed(settings, "groups", {}))
    with groups.held():
        find_people(groups.settings)
        sample_groups(groups.settings, 0, find=False)
    count = sum(len(groups.store.hypotheses_of(GEN, shard)) for shard in groups.store.group_shards(GEN))
    rows: list[dict[str, Any]] = []
    for teacher in teachers:
        with _critic(teacher, seed=0) as section, _critic(teacher, seed=1) as again:
            found = [_runs(settings, groups.folder, teacher, section, seed, count) for seed in range(seeds)]
            second = _run(settings, groups.folder, f"{teacher}-again", again, 0)
            score_groups(second.settings, [GEN])
        rows += _rows(teacher, found, second)
    for metric in ("srcc_share", "gain_share", "gain_share_best20"):
        rows += lowest(rows, metric, teachers)
    leave_table("experiment distill", list(map(cells, rows)), "a tenth of a teacher's verdicts, on val")
    return rows


@contextmanager
def _critic(teacher: str, seed: int) -> Iterator[dict[str, Any]]:
    """Changes of [critic] that make it this teacher, whose errors depend on the seed; its server runs meanwhile."""
    if teacher != "loopback":
        yield {"name": teacher, "noisy": {"of": "oracle", "noise": NOISE, "seed": seed}}
        return
    os.environ.setdefault(KEY, "none")  # the server takes any
    with LoopbackVlm(JudgingStyle(noise=POINTS, seed=seed), models=None, keep=False) as server:
        vlm = {"base_url": server.base_url, "model": f"loopback-{seed}", "api_key_variable": KEY, "views": "front"}
        yield {"name": "vlm", "vlm": vlm}


def _run(settings: Settings, groups: Path, name: str, section: Mapping[str, Any], seed: int) -> Plan:
    """A run of its own on the shared groups."""
    plan = Plan(changed(settings, name, {"critic": section, "run": {"seed": seed}}))
    take_over(groups, plan.folder, GROUPS)
    return plan


def _runs(
    settings: Settings, groups: Path, teacher: str, section: Mapping[str, Any], seed: int, count: int
) -> dict[str, Plan]:
    """Train each arm with one seed."""
    budget = count // SHARE
    plans: dict[str, Plan] = {}
    for arm in ARMS:
        chosen = section
        if arm == "cascade":
            chosen = {**section, "name": "cascade", "cascade": {"teacher": section["name"], "budget": budget}}
        plan = plans[arm] = _run(settings, groups, f"{teacher}-{arm}-{seed}", chosen, seed)
        with plan.held():
            if arm == "alone":
                names = [
                    name for shard in plan.store.group_shards(GEN) for name in plan.store.hypotheses_of(GEN, shard)
                ]
                ask(plan, plan, GEN, at_random(names, budget, seed, GEN))
                train_policy(plan.settings, 1)
            else:
                improve(plan.settings)
    return plans


def _rows(teacher: str, found: Sequence[dict[str, Plan]], second: Plan) -> list[dict[str, Any]]:
    first = found[0]
    whole = _verdicts(first["all"], first["all"].critic_of(GEN))
    again = _verdicts(second, second.critic_of(GEN))
    own = mean_srcc(whole, again, whole)
    rows = [_row(f"distill.{teacher}.self_srcc", own, "rank correlation of two askings", None)]
    shares, counts = [], []
    for plans in found:
        cascade = plans["cascade"]
        asked = answers_of(cascade.store, GEN, cascade.judged_by(cascade.settings.critic.cascade.teacher).critic_name)
        judged, fresh = _verdicts(cascade, cascade.critic_of(GEN)), [name for name in whole if name not in asked]
        shares.append(mean_srcc(judged, whole, fresh))
        counts.append(len(asked))
    judge = float(np.mean(shares))
    row = _row(f"distill.{teacher}.judge_srcc", judge, "rank correlation with the teacher, groups not asked", None)
    rows.append(row | {"of_seeds": shares, "asked": counts, "groups": len(whole)})
    rows.append(_row(f"distill.{teacher}.srcc_share", judge / own, "of the teacher's own agreement with itself", own))
    gains = {arm: np.array([_gain(plans[arm]) for plans in found]) for arm in ARMS}  # (seeds, 2)
    for arm, values in gains.items():
        for place, details in enumerate(("zero_noise", "best20")):
            row = _row(
                f"distill.{teacher}.{arm}.{details}", float(values[:, place].mean()), "% less MPJPE on val", None
            )
            rows.append(row | {"of_seeds": values[:, place].tolist()})
    for arm in ("cascade", "alone"):
        for place, details in enumerate(("gain_share", "gain_share_best20")):
            whole_gain = float(gains["all"][:, place].mean())
            if whole_gain <= 0:  # the teacher's verdicts gain nothing, so there is nothing to have a share of
                continue
            share = float(gains[arm][:, place].mean()) / whole_gain
            name = f"distill.{teacher}.{details}" if arm == "cascade" else f"distill.{teacher}.alone.{details}"
            rows.append(_row(name, share, "of the gain with all verdicts", whole_gain))
    return rows


def lowest(rows: Sequence[Mapping[str, Any]], metric: str, teachers: Sequence[str]) -> list[dict[str, Any]]:
    """The row `distill.<metric>`: the lowest of the teachers'; none where no teacher has it."""
    own = [row for row in rows if row["metric"] in {f"distill.{teacher}.{metric}" for teacher in teachers}]
    if not own:
        return []
    least = min(own, key=lambda row: row["value"])
    return [{**least, "metric": f"distill.{metric}", "baseline": f"the lowest: {least['metric']}"}]


def mean_srcc(ours: Mapping[str, Verdict], theirs: Mapping[str, Verdict], names: Sequence[str] | Mapping) -> float:
    """Mean rank correlation of two critics inside the named groups that both judged."""
    found = [agreement(ours[name].scores, theirs[name].scores) for name in names if name in ours and name in theirs]
    return float(np.nanmean(found))


def _verdicts(plan: Plan, critic: str) -> dict[str, Verdict]:
    return answers_of(plan.store, GEN, critic)


def _gain(plan: Plan) -> tuple[float, float]:
    """Percent less MPJPE on `val` of the step that the round kept: of the zero-noise answer, and of the best of 20."""
    (trained,) = done_by(plan).rounds
    looks = pd.read_parquet(plan.round_folder(1) / "evaluations.parquet")
    base, kept = looks.iloc[0], looks.loc[looks["step"] == trained.best_step].iloc[0]
    zero, best = (100 * (1 - float(kept[name]) / float(base[name])) for name in ("zero_noise_mm", "best_of_g_mm"))
    return zero, best


def _row(metric: str, value: float, unit: str, baseline: float | None) -> dict[str, Any]:
    text = None if baseline is None else f"{baseline:.4g}"
    return {"metric": metric, "value": value, "unit": unit, "baseline": text, "ratio": None}
