"""Labelled people -> groups -> judgements compared with the truth -> a better memory."""

import logging
from pathlib import Path

from prefect import flow

from flows.record.progress import collected, stage
from flows.record.run_folder import alone_in_its_folder
from flows.record.run_labels import labelled
from flows.record.shard_runner import ShardRunner
from storage.group_store import GroupStore
from tasks.data.imported_people import ImportedPeople, look_at_records
from tasks.finding import find_shard, list_photographs
from tasks.groups.image_search import Source
from tasks.photographs import studio_photographs
from tasks.reflecting import (
    Reflected,
    draw_name,
    reflect_on,
    reflecting_critic,
    session_plan,
    take_labelled,
    write_session,
)
from tasks.run.artifacts import leave_counts, leave_table
from tasks.run.events import tell_event
from tasks.run.plan import Plan
from tasks.run.settings import Reflect, Settings
from tasks.sampling import sample_shard

log = logging.getLogger(__name__)


@flow(name="reflect", task_runner=ShardRunner(), **labelled("reflect", critic=True))
@alone_in_its_folder
def reflect(settings: Settings) -> Reflected:
    """Run one session of reflection; the memory gets a new version, and its ledger says what happened to each rule.

    Groups are drawn by the base model as for training; with the split `people` they are those of the run's last
    generation that people judged, and their verdicts stand for the truth. Labels are those of the declared split, never
    of `wild`: the studio's, or the user's own where [data] names that split. Raises SettingsError for a critic without
    memory.
    """
    plan, chosen = Plan(settings), settings.reflect
    critic = reflecting_critic(settings.critic)
    memory = chosen.memory or settings.run.out / "memory"
    log.info("%s Pictures go to %s.", session_plan(memory, chosen), critic.address)
    margin = settings.photographs.crop_margin
    people = None if chosen.split == "people" else plan.people(chosen.split)
    own = people if isinstance(people, ImportedPeople) else None
    whose = chosen.split if own is None else look_at_records(own).folder.name
    store = plan.folder / "reflection" / f"{whose}-{_photographs(chosen)}-{margin:g}" / "store"
    gen = draw_name(plan)
    if chosen.split == "people":
        store, gen = plan.store_root, plan.gens(None, "reflect on")[-1]
    else:
        _draw_labelled(plan, store, gen, own)
    with stage(plan, "reflect") as progress:
        answers = plan.folder / "reflection" / "answers.sqlite"
        done = reflect_on(gen, store, plan.body_path, settings.critic, chosen, settings.overlay, memory, answers, own)
        progress.items = len(done.events)
    write_session(done, plan.folder / "reflection")
    leave_counts("reflection", done.numbers, f"memory {done.memory}, now version {done.version}")
    columns = ("what", "lift", "low", "groups", "text", "detail")
    rules = [{one: event.get(one) for one in columns} for event in done.events]
    leave_table("rules", rules, "what became of each rule")
    about = {"memory": done.memory, "version": done.version}
    for event in done.events:
        if event["what"] == "admitted":
            tell_event(
                "rule-admitted", settings.run.name, **about, rule=event.get("rule", ""), text=event.get("text", "")
            )
    tell_event("memory-changed", settings.run.name, **about)
    return done


def _photographs(chosen: Reflect) -> int:
    return chosen.explore + chosen.gate + chosen.check


def _draw_labelled(plan: Plan, store: Path, gen: str, own: ImportedPeople | None) -> None:
    """Find the labelled people and draw their groups; what is there is kept."""
    settings, chosen = plan.settings, plan.settings.reflect
    assert chosen.split != "people"
    margin, share = settings.photographs.crop_margin, settings.run.processes_of_shard
    with stage(plan, f"groups of {chosen.split}") as progress:
        if own is not None:
            take_labelled(own, plan.body_path, _photographs(chosen), store, settings.run.seed)
        else:
            pictures = studio_photographs(
                chosen.split, _photographs(chosen), store.parent / "photographs", settings.run.processes
            )
            listed = list_photographs([Source(pictures, thorough=False)], pictures, store, settings.run.shard_size)
            found = [find_shard.submit(shard, store, None, margin, processes=share) for shard in listed.shards]
            collected(found, "find people")
        sampled = [
            sample_shard.submit(shard, gen, store, plan.base, plan.body_path, settings.sample, settings.run.seed)
            for shard in GroupStore(store).people_shards()
        ]
        progress.items = sum(collected(sampled, "sample groups"))
