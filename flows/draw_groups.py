"""Stored groups -> pictures: every hypothesis over its photograph, and from the side."""

from pathlib import Path

from prefect import flow

from flows.record.progress import stage, tracked
from flows.record.run_folder import alone_in_its_folder
from flows.record.run_labels import labelled
from tasks.drawing import draw_pictures
from tasks.run.artifacts import leave_counts
from tasks.run.plan import Plan
from tasks.run.settings import Settings, SettingsError


@flow(name="draw-groups", **labelled("draw"))
@alone_in_its_folder
def draw_groups(settings: Settings, gen: str | None = None) -> str:
    """Draw the first groups of a generation (the newest by default); returns the folder of the pictures."""
    plan = Plan(settings)
    gens = plan.store.gens()
    if not gens or (gen is not None and gen not in gens):
        raise SettingsError(
            f"{plan.store_root} has no groups{f' of {gen}' if gen else ''}: run `hmr-align sample` first"
        )
    chosen = gen or gens[-1]
    folder: Path = plan.folder / "overlays" / chosen
    with stage(plan, f"draw {chosen}") as progress:
        left = settings.overlay.groups_shown
        for shard in tracked(plan.store.group_shards(chosen), f"draw {chosen}"):
            if left > 0:
                drawn = draw_pictures(
                    shard, chosen, plan.store_root, plan.body_path, settings.overlay, left, folder,
                    settings.run.processes,
                )  # fmt: skip
                left -= drawn
                progress.items += drawn
    leave_counts(f"pictures {chosen}", {"groups": progress.items, "folder": folder}, f"pictures of {chosen}")
    return str(folder)
