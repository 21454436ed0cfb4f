"""What every critic shares: the protocol, the verdict of one that could not judge, a seeded order."""

import hashlib
from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from critique.endpoint.stream import Judge
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


class Sight(NamedTuple):
    """What pictures show a critic."""

    whole: bool = False  # the whole photograph instead of the person's surroundings
    sides: bool = True  # each mesh from its side too


@runtime_checkable
class PictureCritic(Critic, Protocol):
    """A critic that says what its pictures should show."""

    @property
    def sight(self) -> Sight: ...


@runtime_checkable
class ManyCritic(Critic, Protocol):
    """A critic that is quicker with many groups at a time than with one after the other."""

    async def judge_many(self, groups: Iterable[DrawnGroup]) -> list[Verdict]:
        """The verdicts of all groups, in their order; groups are taken as they are needed."""
        ...


@runtime_checkable
class ServerCritic(ManyCritic, Protocol):
    """A critic that waits for a server: several groups are under way at a time."""

    @property
    def groups_at_once(self) -> int: ...

    def open(self) -> AbstractAsyncContextManager[Judge]:
        """A function that judges one group, as long as the context lasts."""
        ...


@runtime_checkable
class BatchCritic(ServerCritic, Protocol):
    """A critic whose server takes many questions as one file, and answers hours later at a lower price."""

    @property
    def by_batch(self) -> bool:
        """Whether that is wanted."""
        ...

    async def ask_by_batch(self, groups: Iterable[DrawnGroup]) -> int:
        """Have questions about groups answered, for `judge_many` to find; returns how many were."""
        ...


def sight_of(critic: Critic) -> Sight | None:
    """What its pictures show a critic; None for one that looks at none."""
    if not critic.needs_pictures:
        return None
    return critic.sight if isinstance(critic, PictureCritic) else Sight()


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
