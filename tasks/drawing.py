"""The pictures of a shard's groups as files; how they are drawn stands in `tasks.groups.overlays`."""

from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from storage.group_store import GroupStore
from tasks.groups.overlays import draw_group, drawn_groups, framed_photograph, group_vertices, save_pictures
from tasks.run.retrying import may_pass
from tasks.run.settings import Overlay

__all__ = ["draw_group", "draw_pictures", "drawn_groups", "framed_photograph", "group_vertices", "save_pictures"]


@task(retries=1, retry_condition_fn=may_pass, cache_policy=NO_CACHE, task_run_name="draw {gen} {shard}")
def draw_pictures(
    shard: str, gen: str, store_root: Path, body_path: Path | None, overlay: Overlay, most: int, folder: Path,
    processes: int = 1,
) -> int:  # fmt: skip
    """Save the pictures of at most `most` groups of a shard, each in a folder of its own; returns how many."""
    groups = GroupStore(store_root).read_groups(gen, shard)[:most]
    for drawn in drawn_groups(groups, body_path, overlay, pictures=True, processes=processes):
        save_pictures(drawn, folder / drawn.group.person.group_id)
    return len(groups)
