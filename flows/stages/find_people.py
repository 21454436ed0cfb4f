"""Photographs -> people, into the store."""

import json
import logging
from collections import Counter
from collections.abc import Collection
from dataclasses import asdict

from prefect import flow

from flows.record.progress import collected, stage
from flows.record.run_folder import alone_in_its_folder
from flows.record.run_labels import labelled
from flows.record.shard_runner import ShardRunner
from hmr.detection.photograph import PhotographError
from storage.finished_file import write_text
from tasks.data.imported_people import ImportedPeople, find_record_shard, selected
from tasks.data.record_people import record_shards
from tasks.finding import Found, Listed, find_shard, list_photographs
from tasks.groups.image_search import Source
from tasks.photographs import free_photographs, studio_photographs
from tasks.run.artifacts import leave_counts, leave_table
from tasks.run.plan import DATA, FREE, Plan
from tasks.run.settings import Settings

log = logging.getLogger(__name__)

MOST_TOLD = 20  # changed or missing photographs named in the log


@flow(name="find-people", task_runner=ShardRunner(), **labelled("find people"))
@alone_in_its_folder
def find_people(settings: Settings) -> Found:
    """Find the people in all photographs of a run, or of its records. Raises PhotographError if nobody is found."""
    plan, how = Plan(settings), settings.photographs
    plan.claim()
    if settings.data.train:
        return find_labelled(plan)
    with stage(plan, "find people") as progress:
        listed = photographs(plan)
        tell_changes(listed, plan.trained)
        futures = [
            find_shard.submit(
                shard, plan.store_root, how.focal_px, how.crop_margin, how.only_described,
                settings.run.processes_of_shard,
            )
            for shard in listed.shards
        ]  # fmt: skip
        shards = collected(futures, "find people")
        progress.items = sum(len(shard.photographs) for shard in listed.shards)
    found = Found(
        people=sum(one.people for one in shards),
        skipped=(*(row for one in shards for row in one.skipped), *listed.skipped),
        remarks=tuple(row for one in shards for row in one.remarks),
    )
    tell_found(found, set() if how.folder else drawn(listed))
    if not found.people:
        reasons = "; ".join(f"{name}: {why}" for name, why in found.skipped[:5])
        raise PhotographError(f"nobody was found in any of the {progress.items} photographs ({reasons})")
    write_text(plan.people_found, json.dumps(asdict(found) | {"photographs": progress.items}, indent=1))
    return found


def find_labelled(plan: Plan) -> Found:
    """Find the people of the run's records in their pictures. Raises PhotographError if nobody is found."""
    people = plan.labelled
    assert isinstance(people, ImportedPeople)
    chosen = selected(people)
    for name, count in chosen.counts.items():
        log.info("%s: %d people", name, count)
    with stage(plan, "find people") as progress:
        shards = record_shards(chosen, plan.settings.run.shard_size, DATA)
        futures = [
            find_record_shard.submit(people, name, tuple(rows), plan.folder, plan.settings.run.processes_of_shard)
            for name, rows in shards
        ]
        lost = sum((Counter(one) for one in collected(futures, "find people")), Counter(chosen.skipped))
        progress.items = len(set(chosen.photos))
    count = len(plan.store.read_people())
    skipped = tuple((f"{many} {'record' if many == 1 else 'records'}", why) for why, many in lost.items())
    leave_counts("people found", {"people": count, "records": len(chosen.photos)}, "what finding people came to")
    leave_table("skipped", [{"file": name, "why": why} for name, why in skipped], "records that could not be used")
    for many, why in skipped:
        log.warning("left out %s %s", many, why)
    if not count:
        reasons = "; ".join(f"{many} {why}" for many, why in skipped)
        raise PhotographError(f"nobody was found for any of the {len(chosen.photos)} records ({reasons})")
    found = Found(people=count, skipped=skipped)
    write_text(plan.people_found, json.dumps(asdict(found) | {"photographs": progress.items}, indent=1))
    return found


def photographs(plan: Plan) -> Listed:
    """The photographs of the run, split into shards before any is searched; the embedded ones are drawn first."""
    how, size = plan.settings.photographs, plan.settings.run.shard_size
    if how.folder is not None:
        sources, root = [Source(how.folder, thorough=how.thorough, nested=how.nested)], how.folder
    else:
        root = plan.folder / "photographs"
        free, wild = root / FREE, root / "wild"
        free_photographs(free)
        studio_photographs("wild", plan.settings.studio.wild, wild, plan.settings.run.processes)
        sources = [Source(free), Source(wild, thorough=False)]
    return list_photographs(sources, root, plan.store_root, size)


def tell_changes(listed: Listed, trained: bool) -> None:
    """Log which photographs have changed since an earlier run in the same folder."""
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


def drawn(listed: Listed) -> set[str]:
    """The names of the embedded default's drawn pictures."""
    return {path.name for shard in listed.shards if not shard.thorough for path, _ in shard.photographs}


def tell_found(found: Found, silent: Collection[str]) -> None:
    """Log what could not be used, and remarks on the rest.

    silent: pictures of which that is not told, drawn ones, whose people are often out of view.
    """
    counts = {"people": found.people, "photographs and people skipped": len(found.skipped)}
    leave_counts("people found", counts, "what finding people came to")
    leave_table("skipped", [{"file": name, "why": why} for name, why in found.skipped], "what could not be used")
    for name, why in (row for row in found.skipped if row[0] not in silent):
        log.warning("skipped %s: %s", name, why)
    for name, remark in found.remarks:
        log.info("%s: %s", name, remark)
