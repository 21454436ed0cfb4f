"""Labelled people of the studio -> groups -> judgements compared with the truth -> a better memory."""

import logging

from prefect import flow

from flows.record.progress import collected, stage
from flows.record.run_folder import alone_in_its_folder
from flows.record.run_labels import labelled
from flows.record.shard_runner import ShardRunner
from storage.group_store import GroupStore
from tasks.finding import find_shard, list_photographs
from tasks.groups.image_search import Source
from tasks.photographs import studio_photographs
from tasks.reflecting import Reflected, draw_name, reflect_on, reflecting_critic, session_plan, write_session
from tasks.run.artifacts import leave_counts, leave_table
from tasks.run.plan import Plan
from tasks.run.settings import Settings
from tasks.sampling import sample_shard

log = logging.getLogger(__name__)


@flow(name="reflect", task_runner=ShardRunner(), **labelled("reflect", critic=True))
@alone_in_its_folder
def reflect(settings: Settings) -> Reflected:
    """Run one session of reflection; the memory gets a new version, and its ledger says what happened to each rule.

    Groups are drawn by the base model as for training. Labels are those of the declared split, never of `wild`. Raises
    SettingsError for a critic without memory.
    """
    plan, chosen = Plan(settings), settings.reflect
    critic = reflecting_critic(settings.critic)
    memory = chosen.memory or settings.run.out / "memory"
    log.info("%s Pictures go to %s.", session_plan(memory, chosen), critic.address)
    photographs = chosen.explore + chosen.gate + chosen.check
    margin = settings.photographs.crop_margin
    folder = plan.folder / "reflection" / f"{chosen.split}-{photographs}-{margin:g}"
    store = folder / "store"
    gen, share = draw_name(plan), settings.run.processes_of_shard
    with stage(plan, f"groups of {chosen.split}") as progress:
        pictures = studio_photographs(chosen.split, photographs, folder / "photographs", settings.run.processes)
        listed = list_photographs([Source(pictures, thorough=False)], pictures, store, settings.run.shard_size)
        found = [find_shard.submit(shard, store, None, margin, processes=share) for shard in listed.shards]
        collected(found, "find people")
        sampled = [
            sample_shard.submit(shard, gen, store, plan.base, plan.body_path, settings.sample, settings.run.seed)
            for shard in GroupStore(store).people_shards()
        ]
        progress.items = sum(collected(sampled, "sample groups"))
    with stage(plan, "reflect") as progress:
        answers = plan.folder / "reflection" / "answers.sqlite"
        done = reflect_on(gen, store, plan.body_path, settings.critic, chosen, settings.overlay, memory, answers)
        progress.items = len(done.events)
    write_session(done, plan.folder / "reflection")
    leave_counts("reflection", done.numbers, f"memory {done.memory}, now version {done.version}")
    columns = ("what", "lift", "low", "groups", "text", "detail")
    rules = [{one: event.get(one) for one in columns} for event in done.events]
    leave_table("rules", rules, "what became of each rule")
    return done
