"""What every critic shares: the protocol, the verdict of a critic that abstains, seeded random order."""

import hashlib
from collections.abc import Callable, Iterable
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
        """Name and version, for example "evidence@4"; verdicts are stored in a folder of this name."""
        ...

    @property
    def needs_pictures(self) -> bool:
        """Whether `judge` looks at photograph, overlays and side views; if not, none are drawn."""
        ...

    def judge(self, group: DrawnGroup) -> Verdict:
        """A score of 0-100 for each hypothesis, or NaN with a status that says why there is none."""
        ...


class Sight(NamedTuple):
    """What a critic's pictures show."""

    whole: bool = False  # the whole photograph instead of the area around the person
    sides: bool = True  # also a side view of each mesh


class Needs(NamedTuple):
    """What a critic needs of a group; the rest is not drawn."""

    sight: Sight | None  # None = no pictures
    shapes: bool = True  # silhouettes and self-penetration
    pack: Callable[[DrawnGroup], DrawnGroup] | None = None
    """Called where the group is drawn, perhaps in another process (so it is pickled): encodes the pictures there."""


@runtime_checkable
class NeedingCritic(Critic, Protocol):
    """A critic that says in detail what it needs."""

    @property
    def needs(self) -> Needs:
        """What it needs of a group."""
        ...


@runtime_checkable
class PictureCritic(Critic, Protocol):
    """A critic that chooses what its pictures show."""

    @property
    def sight(self) -> Sight:
        """What its pictures show."""
        ...


@runtime_checkable
class ManyCritic(Critic, Protocol):
    """A critic that is faster with many groups together than one by one."""

    async def judge_many(self, groups: Iterable[DrawnGroup]) -> list[Verdict]:
        """The verdicts of all groups, in their order; groups are taken from the iterable as they are needed."""
        ...


@runtime_checkable
class ServerCritic(ManyCritic, Protocol):
    """A critic that waits for a server, so that several groups are in progress at a time."""

    @property
    def groups_at_once(self) -> int:
        """How many groups are in progress at a time."""
        ...

    def open(self) -> AbstractAsyncContextManager[Judge]:
        """Context with a function that judges one group; it works until the context ends."""
        ...


@runtime_checkable
class BatchCritic(ServerCritic, Protocol):
    """A critic whose server takes many questions as one file and answers hours later, at a lower price."""

    @property
    def by_batch(self) -> bool:
        """Whether the settings ask for batches."""
        ...

    async def ask_by_batch(self, groups: Iterable[DrawnGroup]) -> int:
        """Have questions about groups answered in a batch, so that `judge_many` finds the answers; returns how many
        came.
        """
        ...


def sight_of(critic: Critic) -> Sight | None:
    """What the critic's pictures show; None for a critic that looks at no pictures."""
    if not critic.needs_pictures:
        return None
    return critic.sight if isinstance(critic, PictureCritic) else Sight()


def needs_of(critic: Critic) -> Needs:
    """What the critic needs of a group; without a word about it: silhouettes, and the pictures of its sight."""
    return critic.needs if isinstance(critic, NeedingCritic) else Needs(sight_of(critic))


def needs_of_all(critics: Iterable[Critic]) -> Needs:
    """What several critics need of one group together. It is packed only if all that look at pictures pack alike."""
    needs = [needs_of(critic) for critic in critics]
    seen = [one for one in needs if one.sight is not None]
    if not seen:
        return Needs(None, any(one.shapes for one in needs))
    sight = Sight(any(one.sight.whole for one in seen if one.sight), any(one.sight.sides for one in seen if one.sight))
    alike = all(one.pack == seen[0].pack and one.sight == sight for one in seen)
    return Needs(sight, any(one.shapes for one in needs), seen[0].pack if alike else None)


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
    """A verdict that scores no hypothesis, with one status (of `STATUSES`) and comment for all.

    seconds: time spent; cost: money spent; replies: the server's raw answers, if any.
    """
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
    """A verdict from scores (G,), 0-100, NaN where the critic abstained, and one comment for each hypothesis."""
    return Verdict(
        group_id=group.person.group_id,
        critic=critic,
        scores=scores,
        statuses=tuple("abstained" if missing else "ok" for missing in np.isnan(scores)),
        comments=tuple(comments),
    )


def seeded_random(seed: int, group_id: str) -> np.random.Generator:
    """Random generator that depends on the seed and the group id alone: the same on every machine."""
    digest = hashlib.sha256(f"{seed}:{group_id}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8]))


def seeded_order(seed: int, group_id: str, size: int) -> NDArray[np.int64]:
    """(size,) a random order of the indices 0 .. size - 1; it depends on seed and group id alone, on every machine."""
    return seeded_random(seed, group_id).permutation(size)
