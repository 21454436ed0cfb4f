"""What the writer of a shard notes in the manifest, so that lists and plans of very many groups read no other file.

    groups     order     digest of which groups there are, in their order
               sizes     [hypotheses, groups, ...]: so many groups of that size, then so many of the next
    verdicts   pending   how many have a temporary fault
               covers    of merged parts: whether they have a verdict on every group of the shard
               order     of the shard's groups, as it was when they were judged
               places    of a part: of its verdicts, in order, the places of their groups in the shard
               unsure    how unsure each first choice is (`unsureness`): float32, base64

All may be missing, as in older stores; then the files are read.
"""

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import groupby
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Float32, Int
from numpy.typing import NDArray

from storage.records import PASSING, Verdict

__all__ = [
    "COVERS", "ORDER", "PENDING", "PLACES", "SIZES", "UNSURE", "notes_of", "notes_of_groups", "notes_of_verdicts",
    "order_of", "sizes_noted", "unsure_noted", "unsureness",
]  # fmt: skip

ORDER, SIZES = "order", "sizes"
PENDING, COVERS, PLACES, UNSURE = "pending", "covers", "places", "unsure"

Notes = dict[str, Any]


def notes_of_groups(drawn: Mapping[str, int]) -> Notes:
    """The notes of groups, given the hypotheses of each."""
    runs = [(size, len(list(same))) for size, same in groupby(drawn.values())]
    return {ORDER: order_of(drawn), SIZES: [number for run in runs for number in run]}


def notes_of_verdicts(verdicts: Sequence[Verdict]) -> Notes:
    """The notes of verdicts that follow the groups of a shard."""
    unknown = [np.full(len(verdict.scores), np.nan) for verdict in verdicts]
    errors = [empty if one.uncertainty is None else one.uncertainty for one, empty in zip(verdicts, unknown)]
    return {
        PENDING: sum(verdict.pending for verdict in verdicts),
        ORDER: order_of({verdict.group_id: len(verdict.scores) for verdict in verdicts}),
        UNSURE: _packed(
            np.array([len(verdict.scores) for verdict in verdicts], np.int64),
            np.concatenate([np.empty(0), *(verdict.scores for verdict in verdicts)]),
            np.concatenate([np.empty(0), *errors]),
        ),
    }


def notes_of(tables: Mapping[str, pa.Table]) -> Notes:
    """The notes of a whole shard, from its tables."""
    if "groups" in tables:
        groups = tables["groups"]
        return notes_of_groups(dict(zip(groups["group_id"].to_pylist(), groups["hypotheses"].to_pylist())))
    if "scores" not in tables:
        return {}
    rows = tables["scores"]
    runs = [(key, len(list(same))) for key, same in groupby(rows["group_id"].to_pylist())]
    keys = rows["group_id"].to_pylist()
    pending = {key for key, status in zip(keys, rows["status"].to_pylist()) if status in PASSING}
    scores, errors = (np.asarray(rows[name].to_numpy(), np.float64) for name in ("score", "uncertainty"))
    sizes = np.array([size for _, size in runs], np.int64)
    return {PENDING: len(pending), ORDER: order_of(dict(runs)), UNSURE: _packed(sizes, scores, errors)}


def order_of(drawn: Mapping[str, int]) -> str:
    """A digest of which groups there are, in their order, and how many hypotheses each has."""
    return hashlib.sha256(json.dumps(list(drawn.items())).encode()).hexdigest()[:32]


def sizes_noted(noted: Mapping[str, Any]) -> Int[np.ndarray, " group"] | None:
    """How many hypotheses each group has, in order; not to be changed. None if it is not noted."""
    return _expanded(tuple(noted[SIZES])) if SIZES in noted else None


def unsure_noted(noted: Mapping[str, Any]) -> Float32[np.ndarray, " verdict"] | None:
    """How unsure each first choice is, in order; None if it is not noted."""
    return np.frombuffer(base64.b64decode(noted[UNSURE]), "<f4") if UNSURE in noted else None


def unsureness(
    sizes: Int[np.ndarray, " group"], scores: NDArray[np.floating], errors: NDArray[np.floating]
) -> Float32[np.ndarray, " group"]:
    """How unsure the first choice of each group is, points: its standard error, if known, less its lead over the
    second.

    Infinite if fewer than two hypotheses have a score: then nothing is known. float32, as manifests keep it.

    sizes: hypotheses of each group. scores, errors: of all hypotheses, group after group; NaN is a score that is
    missing or an error that is not known.
    """
    if not len(scores):
        return np.full(len(sizes), np.inf, np.float32)
    starts = np.cumsum(sizes) - sizes
    group = np.repeat(np.arange(len(sizes)), sizes)
    judged = np.bincount(group, ~np.isnan(scores), len(sizes))
    order = np.lexsort((-scores, group))  # of each group the best first; NaN comes last
    best, second = (order[np.minimum(starts + place, len(scores) - 1)] for place in (0, 1))
    with np.errstate(invalid="ignore"):
        found = np.nan_to_num(errors[best]) - (scores[best] - scores[second])
    return np.where(judged < 2, np.inf, found).astype(np.float32)


@lru_cache(maxsize=1024)
def _expanded(runs: tuple[int, ...]) -> NDArray[np.int64]:
    found = np.repeat(np.array(runs[::2], np.int64), np.array(runs[1::2], np.int64))
    found.flags.writeable = False
    return found


def _packed(sizes: NDArray[np.int64], scores: NDArray[np.float64], errors: NDArray[np.float64]) -> str:
    return base64.b64encode(unsureness(sizes, scores, errors).astype("<f4").tobytes()).decode()
