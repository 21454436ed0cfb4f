"""In which order training visits the groups: a pure function of seed and step, so that no state has to be saved.

An endless sequence of epochs, each of which visits every row once. Rows are mixed within windows of a few shards
only, so that a reader that keeps a window of shards in memory reads each shard once per epoch. The scheme is our own.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int64
from numpy import ndarray

__all__ = ["rows_of_step"]


def rows_of_step(
    shards: Sequence[Int64[ndarray, " _"]], step: int, count: int, *, window: int, seed: int
) -> Int64[ndarray, " row"]:
    """The row numbers that step 0, 1, ... takes: the next `count` of the endless sequence, in its order.

    shards: the rows that each shard holds; window: how many shards are mixed with each other. With fewer than `count`
    rows in all, a step takes each once. A step that reaches into the next epoch may take a row twice. Raises ValueError
    if there is no row at all.
    """
    size = sum(len(shard) for shard in shards)
    if size == 0:
        raise ValueError("rows_of_step: there is no row; leave out groups that cannot be trained on, but not all")
    count = min(count, size)
    epoch, start = divmod(step * count, size)
    taken = _part(shards, epoch, start, count, window, seed)
    while len(taken) < count:
        epoch += 1
        taken = np.concatenate([taken, _part(shards, epoch, 0, count - len(taken), window, seed)])
    return taken


def _part(
    shards: Sequence[ndarray], epoch: int, start: int, count: int, window: int, seed: int
) -> Int64[ndarray, " row"]:
    """Rows start..start+count of one epoch, as far as it goes: shards shuffled, then the rows of each window."""
    order = np.random.default_rng((seed, epoch)).permutation(len(shards))
    ends = np.cumsum([len(shards[place]) for place in order])
    found: list[ndarray] = []
    for first in range(0, len(order), window):
        last = min(first + window, len(order)) - 1
        before, after = (ends[first - 1] if first else 0), ends[last]
        if after <= start or before >= start + count:
            continue
        rows = np.concatenate([shards[place] for place in order[first : last + 1]])
        mixed = np.random.default_rng((seed, epoch, first)).permutation(rows)
        found.append(mixed[max(start - before, 0) : start + count - before])
    return np.concatenate(found) if found else np.empty(0, np.int64)
