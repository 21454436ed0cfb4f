"""Stage 3: the pictures of a shard's groups, stored for critics that look at them, or saved as files for people.

`tasks.groups.overlays` draws them.
"""

from collections.abc import Sequence
from pathlib import Path

from critique.critic import Sight
from storage.group_store import GroupStore
from storage.picture_file import check_film
from tasks.groups.overlays import (
    draw_group,
    drawn_groups,
    framed_photograph,
    group_vertices,
    keep_pictures,
    picture_store,
    save_encoded,
    save_pictures,
    style_of,
    turntables_of,
)
from tasks.groups.sampled_groups import body
from tasks.run.settings import OverlaySection
from tasks.run.shard_task import task

__all__ = [
    "draw_group",
    "drawn_groups",
    "framed_photograph",
    "group_vertices",
    "render_shard",
    "save_pictures",
    "save_shard_pictures",
]


@task(task_run_name="render {gen} {shard}")
def render_shard(
    shard: str, gen: str, store_root: Path, body_path: Path | None, overlay: OverlaySection, sight: Sight,
    critics: Sequence[str], processes: int = 1,
) -> int:  # fmt: skip
    """Draw and store the pictures of those groups of a shard that one of the critics, who all see the same, has not
    judged; returns how many groups.
    """
    store = GroupStore(store_root)
    wanted = {group_id for critic in critics for group_id in store.unjudged(gen, critic, shard)}
    groups = [group for group in store.read_groups(gen, shard) if group.person.group_id in wanted] if wanted else []
    keep_pictures(groups, body_path, overlay, sight, picture_store(store_root), processes)
    return len(groups)


@task(task_run_name="save pictures of {gen} {shard}")
def save_shard_pictures(
    shard: str, gen: str, store_root: Path, body_path: Path | None, overlay: OverlaySection, most: int, folder: Path,
    processes: int = 1,
) -> int:  # fmt: skip
    """Save the pictures of at most `most` groups of a shard as files, each group in its own folder, with a numbered
    sheet; returns how many groups.
    """
    if overlay.turntable_mp4:
        check_film()
    groups = GroupStore(store_root).read_groups(gen, shard)[:most]
    kept = picture_store(store_root)
    for drawn in drawn_groups(groups, body_path, overlay, sight=Sight(), kept=kept, processes=processes, shapes=False):
        turning = {}
        if overlay.turntable or overlay.turntable_mp4:
            look, mp4 = style_of(overlay), overlay.turntable_mp4
            turning = turntables_of(body(body_path), drawn.group, overlay.size, look, mp4)
        save_encoded(drawn, folder / drawn.group.person.group_id, overlay.encoding, turning)
    return len(groups)
