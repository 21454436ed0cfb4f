"""Stored verdicts of any critic -> a small judge that stands in for it; and the judge of a cascade, which learns on."""

import logging
import time
from pathlib import Path
from typing import Any

from prefect import flow

from critique.judge.asking import ENOUGH, FIRST, allowance, at_random, chosen
from critique.judge.network import read_judge
from flows.record.progress import collected, stage
from flows.record.run_folder import alone_in_its_folder
from flows.record.run_labels import labelled
from flows.record.shard_runner import ShardRunner
from tasks.critics.judges import (
    FOLDER,
    answers_of,
    distilled_file,
    judge_file,
    named_teacher,
    newest_judge,
    note_saving,
    saving_text,
    savings,
)  # fmt: skip
from tasks.distilling import doubts, joined, learn, read_features, shards_with
from tasks.run.artifacts import leave_counts, leave_table
from tasks.run.plan import Plan
from tasks.run.settings import Settings
from tasks.scoring import score_shard

log = logging.getLogger(__name__)


@flow(name="distill-judge", task_runner=ShardRunner(), **labelled("distill"))
@alone_in_its_folder
def distill_judge(
    settings: Settings, teacher: str = "vlm", start: Path | None = None, file: Path | None = None
) -> tuple[Path, dict[str, Any]]:
    """Fit a small judge to all stored verdicts of a critic, write it, and return its file and how well it does.

    teacher: name of a stored critic, with its version if there are several; start: a judge that learns on. Raises
    SettingsError if the critic has not judged here, or too little.
    """
    plan = Plan(settings)
    plan.gens(None)
    name = named_teacher(plan.store, teacher)
    began = time.monotonic()
    with stage(plan, f"distill {name}") as progress:
        gens = [gen for gen in plan.store.gens() if name in plan.store.critics(gen)]
        path = file or distilled_file(plan.folder, name)
        found = learn(name, {gen: _read(plan, gen) for gen in gens}, plan.store_root, path, start)
        progress.items = found["groups"]
    about = {**found, "seconds": time.monotonic() - began, "bytes": path.stat().st_size}
    leave_counts(f"judge of {name}", {key: value for key, value in about.items() if key != "digest"}, str(path))
    return path, about


def teach(plan: Plan, gen: str) -> None:
    """Make the judge of a cascade for a generation, unless there is one: ask the teacher about the groups that the
    judge so far is least sure of, within the budget, and learn from all answers.

    Killed, it asks only what it had not asked. Raises SettingsError if the answers are too few to learn from.
    """
    section, path = plan.settings.critic.cascade, judge_file(plan.folder, gen)
    groups = [name for shard in plan.store.group_shards(gen) for name in plan.store.hypotheses_of(gen, shard)]
    if path.exists() or not groups:
        return
    teacher = plan.judged_by(section.teacher)
    name, store, draft = teacher.critic_name, plan.store, plan.folder / FOLDER / f"learning-{gen}.safetensors"
    with stage(plan, f"teach {gen}") as progress:
        known = {one: [*answers_of(store, one, name)] for one in store.gens()}
        files = {one: _read(plan, one) for one, asked in known.items() if asked or one == gen}
        asked = sum(len(names) for one, names in known.items() if one != gen)
        number = int(gen.removeprefix("round")) if gen.removeprefix("round").isdecimal() else 0
        count = min(allowance(section.budget, asked, number, plan.settings.align.rounds), len(groups))
        judge = newest_judge(plan.folder) or section.judge
        if judge is None:
            first = at_random(groups, min(count, max(round(FIRST * count), ENOUGH)), plan.settings.run.seed, gen)
            ask(plan, teacher, gen, [one for one in first if one not in known[gen]])
            learn(name, files, plan.store_root, draft)
            judge = draft
        answered = [*answers_of(store, gen, name)]
        unsure = doubts(read_judge(judge), joined(files[gen]))
        ask(plan, teacher, gen, chosen(unsure, max(count - len(answered), 0), answered))
        found = learn(name, files, plan.store_root, draft, section.judge)
        progress.items = len(answers_of(store, gen, name))
    note_saving(plan.folder, gen, name, len(groups), progress.items, found)
    draft.replace(path)
    leave_table("cascade", savings(plan.folder), saving_text(plan.folder))
    log.info("%s", saving_text(plan.folder))


def _read(plan: Plan, gen: str) -> list[Path]:
    futures = [
        read_features.submit(shard, gen, plan.store_root, plan.body_path) for shard in plan.store.group_shards(gen)
    ]
    return collected(futures, f"read {gen}")


def ask(plan: Plan, teacher: Plan, gen: str, names: list[str]) -> None:
    """Have the teacher judge some groups; its verdicts are stored under its own name."""
    settings = plan.settings
    futures = [
        score_shard.submit(
            shard, gen, settings.run.name, plan.store_root, plan.body_path, teacher.settings.critic, settings.overlay,
            settings.run.seed, teacher.truth, False, settings.run.processes_of_shard, some,
        )
        for shard, some in shards_with(plan.store, gen, names).items()
    ]  # fmt: skip
    collected(futures, f"ask about {gen}")
