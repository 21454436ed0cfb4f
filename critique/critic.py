"""What every critic shares: the protocol, the verdict of one that could not judge, a seeded order."""

import hashlib
from collections.abc import Iterable
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from storage.records import DrawnGroup, Group, Reply, Verdict


@runtime_checkable
class Critic(Protocol):
    """Judges all hypotheses of one person together."""

    @property
    def name(self) -> str:
        """Name and version, for example "evidence@2"; verdicts are stored in a folder of this name."""
        ...

    @property
    def needs_pictures(self) -> bool:
        """Whether `judge` looks at photograph, overlays and side views; if not, none are drawn."""
        ...

    def judge(self, group: DrawnGroup) -> Verdict:
        """A score of 0-100 for each hypothesis, or NaN with a status that says why not."""
        ...


def abstain(
    group: DrawnGroup,
    critic: str,
    status: str,
    comment: str,
    *,
    seconds: float = 0.0,
    cost: float = 0.0,
    replies: tuple[Reply, ...] = (),
) -> Verdict:
    """Leaves every hypothesis of the group unjudged, with one status (of `STATUSES`) and reason for all."""
    size = len(group.group)
    return Verdict(
        group_id=group.group.person.group_id,
        critic=critic,
        scores=np.full(size, np.nan),
        statuses=(status,) * size,
        comments=(comment,) * size,
        seconds=seconds,
        cost=cost,
        replies=replies,
    )


def as_verdict(group: Group, critic: str, scores: NDArray[np.float64], comments: Iterable[str]) -> Verdict:
    """A verdict of scores (G,), 0-100; NaN where the critic abstained."""
    return Verdict(
        group_id=group.person.group_id,
        critic=critic,
        scores=scores,
        statuses=tuple("abstained" if missing else "ok" for missing in np.isnan(scores)),
        comments=tuple(comments),
    )


def seeded_random(seed: int, group_id: str) -> np.random.Generator:
    """Random numbers that depend on the seed and the group alone, on every machine."""
    digest = hashlib.sha256(f"{seed}:{group_id}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8]))


def seeded_order(seed: int, group_id: str, size: int) -> NDArray[np.int64]:
    """A random order of `size` things; it depends on the seed and the group alone, on every machine."""
    return seeded_random(seed, group_id).permutation(size)
