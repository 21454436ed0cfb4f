"""Which hypotheses of stored groups a critic ranks first, and who made them; the first of each as a mesh file."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import trimesh

from storage.finished_file import finished_file
from storage.group_store import GroupStore
from storage.records import Group, Verdict
from tasks.groups.overlays import surfaces
from tasks.groups.sampled_groups import body
from tasks.run.plan import Plan
from tasks.run.settings import SettingsError


class Ranked(NamedTuple):
    """One hypothesis in the order of a critic."""

    person: str
    rank: int  # 1 = the best
    hypothesis: int
    made_by: str
    score: float  # 0-100
    comment: str


def ranked(store: GroupStore, gen: str, critic: str, first: int) -> list[Ranked]:
    """The `first` hypotheses of each group by score. Raises SettingsError if the critic has judged none of them."""
    return [
        row
        for shard in _judged(store, gen, critic)
        for group, verdict in _pairs(store, gen, critic, shard)
        for row in in_order(group, verdict.scores, verdict.comments)[:first]
    ]


def in_order(group: Group, scores: np.ndarray, comments: tuple[str, ...]) -> list[Ranked]:
    """The judged hypotheses of a group, the best first (ties: the first). scores: (G,) 0-100, NaN = abstained."""
    order = [int(k) for k in np.argsort(-scores, kind="stable") if not np.isnan(scores[k])]
    makers = group.made_by or (f"ours {group.model_digest}",) * len(group)
    return [
        Ranked(group.person.group_id, rank, k, makers[k], float(scores[k]), comments[k])
        for rank, k in enumerate(order, 1)
    ]


def write_first(plan: Plan, gen: str, critic: str, folder: Path) -> list[Path]:
    """Write the first of each group as `<person>.obj`: metres, camera frame. Returns the files."""
    body_model, written = body(plan.body_path), []
    for shard in _judged(plan.store, gen, critic):
        for group, verdict in _pairs(plan.store, gen, critic, shard):
            rows = in_order(group, verdict.scores, verdict.comments)
            if not rows:
                continue
            vertices, faces = surfaces(body_model, group)[rows[0].hypothesis]
            path = folder / f"{group.person.group_id}.obj"
            with finished_file(path) as unfinished:
                text = trimesh.Trimesh(vertices, faces, process=False).export(file_type="obj")
                unfinished.write_text(str(text))
            written.append(path)
    return written


def _judged(store: GroupStore, gen: str, critic: str) -> list[str]:
    shards = store.verdict_shards(gen, critic)
    if not shards:
        raise SettingsError(
            f"{store.root}: {critic} has judged no group of '{gen}' (there are {', '.join(store.gens()) or 'none'}): "
            "run `hmr-align critique` first"
        )
    return shards


def _pairs(store: GroupStore, gen: str, critic: str, shard: str) -> list[tuple[Group, Verdict]]:
    verdicts = {one.group_id: one for one in store.read_verdicts(gen, critic, shard)}
    return [(g, verdicts[g.person.group_id]) for g in store.read_groups(gen, shard) if g.person.group_id in verdicts]
