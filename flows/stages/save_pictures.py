"""Groups -> files of their pictures: every hypothesis over its photograph and from the side, and a numbered sheet."""

from pathlib import Path

from prefect import flow

from flows.record.progress import stage, tracked
from flows.record.run_folder import alone_in_its_folder
from flows.record.run_labels import labelled
from tasks.rendering import save_shard_pictures
from tasks.run.artifacts import leave_counts
from tasks.run.plan import Plan
from tasks.run.settings import Settings


@flow(name="save-pictures", **labelled("save pictures"))
@alone_in_its_folder
def save_pictures(settings: Settings, gen: str | None = None) -> str:
    """Save pictures of the first groups of a generation (the newest by default); returns the folder of the pictures."""
    plan = Plan(settings)
    chosen = plan.gens(None if gen is None else [gen], "draw")[-1]
    folder: Path = plan.folder / "overlays" / chosen
    with stage(plan, f"save pictures of {chosen}") as progress:
        left = settings.overlay.groups_shown
        for shard in tracked(plan.store.group_shards(chosen), f"save pictures of {chosen}"):
            if left > 0:
                drawn = save_shard_pictures(
                    shard, chosen, plan.store_root, plan.body_path, settings.overlay, left, folder,
                    settings.run.processes,
                )  # fmt: skip
                left -= drawn
                progress.items += drawn
    leave_counts(f"pictures {chosen}", {"groups": progress.items, "folder": folder}, f"pictures of {chosen}")
    return str(folder)
