"""Labelled people of the studio -> groups with the true and a corrupted mesh among them -> how they are ranked."""

from prefect import flow

from flows.record.progress import collected, stage
from flows.record.run_folder import alone_in_its_folder
from flows.record.run_labels import labelled
from flows.record.shard_runner import ShardRunner
from tasks.controls import measure_controls
from tasks.finding import find_shard, list_photographs
from tasks.groups.image_search import Source
from tasks.photographs import studio_photographs
from tasks.run.artifacts import leave_counts
from tasks.run.plan import Plan
from tasks.run.settings import Settings

SPLIT = "val"


@flow(name="plant-controls", task_runner=ShardRunner(), **labelled("planted controls", critic=True))
@alone_in_its_folder
def plant_controls(settings: Settings, photographs: int = 20, hypotheses: int = 8) -> dict[str, float]:
    """Have the critic judge groups of `val` with planted controls; returns shares of groups, see `control_rates`."""
    plan = Plan(settings)
    folder = plan.folder / "controls" / f"{SPLIT}-{photographs}"
    with stage(plan, "planted controls") as progress:
        pictures = studio_photographs(SPLIT, photographs, folder / "photographs", settings.run.processes)
        store = folder / "store"
        listed = list_photographs([Source(pictures, thorough=False)], pictures, store, settings.run.shard_size)
        margin, share = settings.photographs.crop_margin, settings.run.processes_of_shard
        people = [find_shard.submit(shard, store, None, margin, processes=share) for shard in listed.shards]
        collected(people, "find people")
        found = measure_controls(
            store, SPLIT, plan.body_path, settings.critic, settings.overlay, hypotheses,
            settings.run.seed, plan.folder,
        )  # fmt: skip
        progress.items = int(found["groups"])
    leave_counts("planted controls", found, f"who wins and who loses with {plan.critic_name}, shares of groups")
    return found
