"""Which hypotheses a remote critic is shown together in one call, and in which order. Pure.

    list    the whole group in each call, `repeats` times; every repeat starts at another position of one random order
    blocks  overlapping blocks: the anchors are in all of them, the other hypotheses in one each, `repeats` times
    pairs   a tournament: every repeat is a random ring, so that each hypothesis meets two others and is shown
            first once and second once

Overlapping blocks and repeated shuffles are the usual remedies for list and order bias in judges; the ring
is the smallest connected tournament in which positions are balanced.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np

Mode = Literal["list", "blocks", "pairs"]
Presentation = tuple[int, ...]
"""Indices of hypotheses in the order shown: the k-th is image_{k + 2}."""


def whole_lists(size: int, repeats: int, rng: np.random.Generator | None) -> list[Presentation]:
    """`repeats` orders of all hypotheses; each has a different position in each order. Without `rng`: in their own
    order.
    """
    order = np.arange(size) if rng is None else rng.permutation(size)
    repeats = min(repeats, size)
    return [tuple(np.roll(order, -(turn * size // repeats)).tolist()) for turn in range(repeats)]


def blocks(size: int, repeats: int, block_size: int, anchors: int, rng: np.random.Generator) -> list[Presentation]:
    """Blocks of at most `block_size` with `anchors` in common; anchor 0 is hypothesis 0, the others are random.

    Each repeat has other anchors, and groups the hypotheses differently.
    """
    shown: list[Presentation] = []
    for _ in range(repeats):
        if size <= block_size:
            shown.append(tuple(rng.permutation(size).tolist()))
            continue
        others = 1 + rng.permutation(size - 1)
        common = np.array([0, *others[: anchors - 1]])
        rest = others[anchors - 1 :]
        parts = np.array_split(rest, -(-len(rest) // (block_size - anchors)))
        shown += [tuple(rng.permutation(np.concatenate([common, part])).tolist()) for part in parts]
    return shown


def pairs(size: int, repeats: int, rng: np.random.Generator) -> list[Presentation]:
    """`repeats` rings of `size` pairs each."""
    shown: list[Presentation] = []
    for _ in range(repeats):
        ring = rng.permutation(size).tolist()
        shown += list(zip(ring, [*ring[1:], ring[0]]))
    return shown


def calls(mode: Mode, size: int, repeats: int, block_size: int, anchors: int) -> list[int]:
    """(calls,) how many overlays each call for a group of `size` shows: this determines what a mode costs."""
    return [len(shown) for shown in presentations(mode, size, repeats, block_size, anchors, np.random.default_rng(0))]


def presentations(
    mode: Mode,
    size: int,
    repeats: int,
    block_size: int,
    anchors: int,
    rng: np.random.Generator,
    shuffle: bool = True,
) -> Sequence[Presentation]:
    """All presentations of one group. `shuffle` False: whole lists in the hypotheses' order, to measure order bias."""
    if size < 2 or mode == "list":
        return whole_lists(size, repeats, rng if shuffle else None)
    if mode == "blocks":
        return blocks(size, repeats, block_size, anchors, rng)
    return pairs(size, repeats, rng)
