"""All groups of a run as one table of columns, from which the viewer's gallery is filtered and sorted.

No mesh and no picture is read: of each hypothesis only its keypoints and its scores. What is known of a group:

| column | what |
|---|---|
| gen, shard, group_id, photo, dataset | where it is; the photograph's file name; the start of the shard's name |
| hypotheses, temperature | how many were drawn, and how boldly |
| distance | 2-D distance of the zero-noise hypothesis to the landmarks, px of a 256 px crop |
| diversity | mean distance of keypoints to their mean over the group, mm, hips aligned |
| disagreement | 1 - mean rank correlation of the critics; 0 = the same order, 1 = unrelated, 2 = reversed |
| error, best_error | MPJPE of the zero-noise and of the best hypothesis, mm, where the `oracle` critic judged |

and for each critic the mean, best score and spread (standard deviation) of the group, points, and its status.
"""

# pyright: reportAttributeAccessIssue=false
# (pyarrow.compute makes its functions when it is imported, unseen by type checkers)

import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from hmr.detection.agreement import keypoint_distance
from storage.group_store import GroupStore
from storage.schema import GROUPS, HYPS, shape_of

Floats = NDArray[np.float64]

_HIPS = (11, 12)  # of the COCO keypoints
_TRUTH = r"^(?P<mm>[0-9.]+) mm from the truth"  # the oracle's comment

MIXED = "partly ok"
"""Status of a group of which a critic scored some hypotheses and not others."""


class Judged(NamedTuple):
    """One critic's verdicts on the groups of a gallery; n groups, G the most hypotheses of a group."""

    scores: NDArray[np.float32]  # (n, G) 0-100, NaN = no score, or no such hypothesis
    status: NDArray[np.str_]  # (n,) `ok`, `partly ok`, the reason why there is no score, or `not judged`
    mean: Floats  # (n,) NaN without a score
    best: Floats  # (n,)
    spread: Floats  # (n,) standard deviation
    favourite: NDArray[np.int64]  # (n,) hypothesis with the best score, 0 without scores
    words: pa.Array  # (n,) all comments, in lower case


@dataclass(frozen=True)
class Gallery:
    """All groups of a run, in the store's order."""

    table: pa.Table  # one row a group: the columns above
    critics: Mapping[str, Judged]

    def __len__(self) -> int:
        return len(self.table)

    def numbers(self, name: str, critic: str | None = None) -> Floats:
        """A column of numbers (n,), NaN where it is not known: of the table, or `mean`, `best`, `spread` of a critic.

        Raises KeyError for a column that there is not.
        """
        if name in ("mean", "best", "spread"):
            known = self.critics.get(critic or "")
            return np.full(len(self), np.nan) if known is None else getattr(known, name)
        return self.table[name].to_numpy(zero_copy_only=False).astype(float)

    def place(self, gen: str, group_id: str) -> int | None:
        """The row of a group; None if there is no such group."""
        return self._places.get((gen, group_id))

    @cached_property
    def _places(self) -> dict[tuple[str, str], int]:
        keys = zip(self.table["gen"].to_pylist(), self.table["group_id"].to_pylist())
        return {key: row for row, key in enumerate(keys)}


def gallery(store: GroupStore, gens: Sequence[str] | None = None) -> Gallery:
    """The gallery of a store; `gens`: generations to show, None = all. Raises StoreError if a file is damaged."""
    chosen = store.gens() if gens is None else list(gens)
    shards = [(gen, shard) for gen in chosen for shard in store.group_shards(gen)]
    critics = sorted({critic for gen in chosen for critic in store.critics(gen)})
    with ThreadPoolExecutor(4) as pool:  # Arrow reads without Python's lock
        groups = list(pool.map(lambda place: _groups(store, place[0], place[1]), shards))
        judged = {
            critic: list(
                pool.map(lambda k, critic=critic: _scores(store, critic, shards[k], groups[k]), range(len(shards)))
            )
            for critic in critics
        }
    most = max((int(pc.max(part["hypotheses"]).as_py() or 0) for part in groups), default=0)
    table = pa.concat_tables([_NOTHING, *groups])
    found = {critic: _judged(parts, most, len(table)) for critic, parts in judged.items()}
    error, best_error = _truth(judged, len(table))
    for name, values in (
        ("disagreement", disagreement([one.scores for one in found.values()], len(table))),
        ("error", error),
        ("best_error", best_error),
    ):
        table = table.append_column(name, pa.array(values))
    return Gallery(table, found)


_NOTHING = pa.schema(
    [
        *((name, pa.string()) for name in ("gen", "shard", "group_id", "photo", "dataset")),
        ("hypotheses", pa.int32()),
        *((name, pa.float64()) for name in ("temperature", "distance", "diversity")),
    ]
).empty_table()


def _groups(store: GroupStore, gen: str, shard: str) -> pa.Table:
    """The columns of one shard that do not depend on a critic."""
    names = ("group_id", "photo", "hypotheses", "temperature", "camera", "crop", "landmarks")
    rows = store.columns("groups", gen, shard, *names)
    keypoints = _array(store.columns("hyps", gen, shard, "keypoints")["keypoints"], shape_of(HYPS.field("keypoints")))
    sizes = rows["hypotheses"].to_numpy()
    first = np.cumsum(sizes) - sizes
    camera, crop, landmarks = (_array(rows[name], shape_of(GROUPS.field(name))) for name in names[-3:])
    photo = pc.replace_substring_regex(rows["photo"], r"^.*[/\\]", "")
    columns = {
        "gen": pa.array([gen] * len(rows), pa.string()),
        "shard": pa.array([shard] * len(rows), pa.string()),
        "group_id": rows["group_id"],
        "photo": photo,
        "dataset": pa.array([dataset_of(shard)] * len(rows), pa.string()),
        "hypotheses": rows["hypotheses"],
        "temperature": rows["temperature"],
        "distance": pa.array(keypoint_distance(_in_picture(keypoints[first], camera), landmarks, crop)),
        "diversity": pa.array(_diversity(keypoints, sizes)),
    }
    return pa.table([column for column in columns.values()], schema=_NOTHING.schema)


def dataset_of(shard: str) -> str:
    """Where the people of a shard come from: its name without the number at its end."""
    return re.sub(r"[-_]?[0-9]+$", "", shard) or shard


def _array(column: pa.ChunkedArray, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """A column of fixed-size lists as (n, *shape)."""
    return column.combine_chunks().flatten().to_numpy(zero_copy_only=False).reshape(-1, *shape)


def _in_picture(points: NDArray, camera: NDArray) -> NDArray[np.float64]:
    """Points (n, k, 3), metres, in pixels of their photographs (n, k, 2); camera (n, 4)."""
    depth = np.maximum(points[..., 2:], 1e-3)
    return camera[:, None, :2] * points[..., :2] / depth + camera[:, None, 2:]


def _diversity(keypoints: NDArray, sizes: NDArray) -> Floats:
    """(n,) mean distance of keypoints (sum of sizes, k, 3) to their mean over each group, mm, hips aligned."""
    if not len(sizes):
        return np.empty(0)
    from_hips = keypoints - keypoints[:, _HIPS].mean(1, keepdims=True)
    starts = np.cumsum(sizes) - sizes
    mean = np.add.reduceat(from_hips, starts) / sizes[:, None, None]
    gaps = np.linalg.norm(from_hips - np.repeat(mean, sizes, 0), axis=-1).mean(-1)
    return 1000 * np.add.reduceat(gaps, starts) / sizes


class _Scores(NamedTuple):
    """One critic's verdicts on one shard, row by row: place of the group, hypothesis, and what was said."""

    rows: int  # groups of the shard
    group: NDArray[np.int64]
    hypothesis: NDArray[np.int64]
    score: Floats
    status: pa.Array
    comment: pa.Array


def _scores(store: GroupStore, critic: str, place_of_shard: tuple[str, str], groups: pa.Table) -> _Scores:
    gen, shard = place_of_shard
    names = ("group_id", "hypothesis", "score", "status", "comment")
    found = store.verdict_columns(gen, critic, shard, *names)
    place = pc.index_in(found["group_id"], groups["group_id"].combine_chunks())
    known = pc.is_valid(place)
    found, place = found.filter(known), place.filter(known).to_numpy().astype(np.int64)
    order = np.argsort(place, kind="stable")
    found = found.take(pa.array(order)).combine_chunks()
    return _Scores(
        len(groups),
        place[order],
        found["hypothesis"].to_numpy().astype(np.int64),
        found["score"].to_numpy(),
        *(found[name].combine_chunks() for name in ("status", "comment")),
    )


def _judged(parts: Sequence[_Scores], most: int, count: int) -> Judged:
    """The verdicts of all shards in one."""
    starts = np.cumsum([0, *(part.rows for part in parts)])
    group = np.concatenate([np.empty(0, np.int64), *(part.group + start for part, start in zip(parts, starts))])
    scores = np.full((count, most), np.nan, np.float32)
    for part, start in zip(parts, starts):
        scores[part.group + start, part.hypothesis] = part.score
    known = ~np.isnan(scores)
    number = known.sum(1)
    filled = np.where(known, scores, 0).astype(float)
    mean = np.divide(filled.sum(1), number, out=np.full(count, np.nan), where=number > 0)
    square = np.where(known, (scores - mean[:, None]) ** 2, 0).sum(1)
    spread = np.sqrt(np.divide(square, number, out=np.full(count, np.nan), where=number > 0))
    lowest = np.where(known, scores, -np.inf)
    best = np.where(number > 0, lowest.max(1, initial=-np.inf), np.nan)
    favourite = lowest.argmax(1) if most else np.zeros(count, np.int64)
    words = _joined([part.comment for part in parts], group, count)
    return Judged(
        scores, _status([part.status for part in parts], group, number, count), mean, best, spread, favourite, words
    )


def _status(parts: Sequence[pa.Array], group: NDArray, scored: NDArray, count: int) -> NDArray[np.str_]:
    found = np.full(count, "not judged", dtype="U24")
    if parts:
        status = np.concatenate([part.to_numpy(zero_copy_only=False).astype("U24") for part in parts])
        bad = status != "ok"
        found[group[~bad]] = "ok"
        found[group[bad]] = status[bad]
        some = np.zeros(count, bool)
        some[group[bad]] = True
        found[some & (scored > 0)] = MIXED
    return found


def _joined(parts: Sequence[pa.Array], group: NDArray, count: int) -> pa.Array:
    """The texts of each group's rows in one, lower case; rows are in the order of their groups."""
    texts = pa.concat_arrays([pa.array([], pa.string()), *parts])
    offsets = np.searchsorted(group, np.arange(count + 1))
    lists = pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), texts)
    return pc.utf8_lower(pc.binary_join(lists, " · "))


def _truth(judged: Mapping[str, Sequence[_Scores]], count: int) -> tuple[Floats, Floats]:
    """MPJPE of the zero-noise hypothesis and of the best, mm: what the oracle said of them; NaN where it did not."""
    first, best = np.full(count, np.nan), np.full(count, np.nan)
    for critic, parts in judged.items():
        if not critic.startswith("oracle"):
            continue
        starts = np.cumsum([0, *(part.rows for part in parts)])
        for part, start in zip(parts, starts):
            said = pc.struct_field(pc.extract_regex(part.comment, _TRUTH), "mm")
            error = pc.cast(said, pa.float64()).to_numpy(zero_copy_only=False)
            known, rows = ~np.isnan(error), part.group + start
            zero = known & (part.hypothesis == 0)
            first[rows[zero]] = error[zero]
            np.fmin.at(best, rows[known], error[known])
    return first, best


def ranks(scores: NDArray) -> Floats:
    """Rank of each score in its row (n, G), 1 = best, ties share their mean; NaN where there is no score."""
    known = ~np.isnan(scores)
    found = np.full(scores.shape, np.nan)
    for start in range(0, len(scores), 1024):  # (rows, G, G) at a time
        part, judged = scores[start : start + 1024], known[start : start + 1024]
        above = (part[:, None, :] > part[:, :, None]).sum(-1)
        equal = (part[:, None, :] == part[:, :, None]).sum(-1)
        found[start : start + 1024] = np.where(judged, above + (equal + 1) / 2, np.nan)
    return found


def rank_correlation(one: NDArray, other: NDArray) -> Floats:
    """Spearman's correlation within each row of scores (n, G), over what both judged.

    NaN where fewer than three were, or where one of the two scored all alike.
    """
    both = ~np.isnan(one) & ~np.isnan(other)
    first, second = (ranks(np.where(both, scores, np.nan)) for scores in (one, other))
    number = both.sum(1)
    centred = []
    for found in (first, second):
        filled = np.where(both, found, 0)
        mean = filled.sum(1) / np.maximum(number, 1)
        centred.append(np.where(both, found - mean[:, None], 0))
    product = (centred[0] * centred[1]).sum(1)
    scale = np.sqrt((centred[0] ** 2).sum(1) * (centred[1] ** 2).sum(1))
    return np.divide(product, scale, out=np.full(len(one), np.nan), where=(number >= 3) & (scale > 0))


def disagreement(scores: Sequence[NDArray], count: int) -> Floats:
    """(n,) 1 - mean rank correlation over the pairs of critics; NaN where no two of them can be compared."""
    pairs = [rank_correlation(a, b) for k, a in enumerate(scores) for b in scores[k + 1 :]]
    if not pairs:
        return np.full(count, np.nan)
    stacked = np.stack(pairs)
    known = ~np.isnan(stacked)
    total = np.where(known, stacked, 0).sum(0)
    return 1 - np.divide(total, known.sum(0), out=np.full(count, np.nan), where=known.any(0))
