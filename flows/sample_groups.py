"""Photographs -> people -> groups of hypotheses, into the store."""

import logging

from prefect import flow

from flows.record.progress import stage, tracked
from flows.record.run_folder import alone_in_its_folder
from flows.record.run_labels import labelled
from hmr.detection.photograph import PhotographError
from tasks.finding import Found, Listed, find_people, list_photographs
from tasks.groups.image_search import Source
from tasks.photographs import free_photographs, studio_photographs
from tasks.run.artifacts import leave_counts, leave_table
from tasks.run.plan import FREE, Plan
from tasks.run.settings import Settings
from tasks.sampling import sample_groups as sample_shard

log = logging.getLogger(__name__)


def photographs(plan: Plan) -> Listed:
    """The photographs of the run, cut into shards before any is looked at; the embedded ones are made first."""
    folder, size = plan.settings.photographs.folder, plan.settings.run.shard_size
    if folder is not None:
        sources, root = [Source(folder, nested=plan.settings.photographs.nested)], folder
    else:
        root = plan.folder / "photographs"
        free, wild = root / FREE, root / "wild"
        free_photographs(free)
        studio_photographs("wild", plan.settings.studio.wild, wild, plan.settings.run.processes)
        sources = [Source(free), Source(wild, thorough=False)]
    return list_photographs(sources, root, plan.store_root, size)


def find(plan: Plan) -> list[Found]:
    """Find the people in all photographs; raises PhotographError if there is nobody in any."""
    with stage(plan, "find people") as progress:
        listed = photographs(plan)
        say_changes(listed, plan.trained)
        shards, how = listed.shards, plan.settings.photographs
        found = [
            find_people(
                shard, plan.store_root, how.focal_px, how.crop_margin, how.only_described, plan.settings.run.processes
            )
            for shard in tracked(shards, "find people")
        ]
        progress.items = sum(len(shard.photographs) for shard in shards)
    found.append(Found(0, listed.skipped))
    drawn = {path.name for shard in shards if not shard.thorough for path, _ in shard.photographs}
    skipped = [row for one in found for row in one.skipped]
    leave_table("skipped", [{"file": name, "why": why} for name, why in skipped], "what could not be used")
    for name, why in (row for row in skipped if row[0] not in drawn):
        log.warning("skipped %s: %s", name, why)
    for name, remark in (row for one in found for row in one.told):
        log.info("%s: %s", name, remark)
    if not sum(one.people for one in found):
        reasons = "; ".join(f"{name}: {why}" for one in found for name, why in one.skipped[:5])
        raise PhotographError(f"nobody was found in any of the {progress.items} photographs ({reasons})")
    return found


def say_changes(listed: Listed, trained: bool) -> None:
    """Tell what has become of the photographs since an earlier run in the same folder."""
    anew, left_out = "changed; its people are found anew", "gone; its people are left out"
    for what, paths in ((anew, listed.changed), (left_out, listed.gone)):
        for path in paths[:MOST_TOLD]:
            log.warning("%s: %s", path, what)
        if len(paths) > MOST_TOLD:
            log.warning("... and %d more: %s", len(paths) - MOST_TOLD, what)
    if listed.added:
        log.info("%d photographs are new since this run was begun", listed.added)
    if trained and (listed.added or listed.changed or listed.gone):
        log.warning("training was done before that and stays as it is: another --name trains on what is here now")


def sample(plan: Plan, round_number: int) -> int:
    """Have the policy after some rounds draw a group for every person in the store; returns how many."""
    gen, model_path = plan.gen(round_number), plan.policy(round_number)
    chosen = plan.settings.sample.model_copy(update={"temperature": plan.temperature(round_number)})
    with stage(plan, f"sample {gen}") as progress:
        counts = [
            sample_shard(shard, gen, plan.store_root, model_path, plan.body_path, chosen, plan.settings.run.seed)
            for shard in tracked(plan.store.people_shards(), f"sample {gen}")
        ]
        progress.items = sum(counts)
    return sum(counts)


MOST_TOLD = 20  # photographs that have changed, or gone


@flow(name="sample-groups", **labelled("sample"))
@alone_in_its_folder
def sample_groups(settings: Settings, round_number: int = 0) -> int:
    """Find people and draw their groups with the policy after `round_number` rounds (0 = the base)."""
    plan = Plan(settings)
    plan.check()
    plan.claim()
    found = find(plan)
    groups = sample(plan, round_number)
    counts = {
        "people found": sum(one.people for one in found),
        "photographs and people skipped": sum(len(one.skipped) for one in found),
        "groups": groups,
        "hypotheses": groups * settings.sample.hypotheses,
        "temperature": plan.temperature(round_number),
        "model": plan.policy(round_number),
    }
    leave_counts(f"sample {plan.gen(round_number)}", counts, f"groups of {plan.gen(round_number)} in {plan.folder}")
    return groups
