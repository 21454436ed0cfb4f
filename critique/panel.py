"""Several critics on the same group, combined by weights; how far they disagree is kept as the uncertainty.

Each member uses its own scale, so its scores within a group are first brought to common points:

    z      100 / (1 + exp(-1.7 z)), z the score in standard deviations of the member's group (about the share of
           hypotheses that it beats)
    rank   100 (rank - 1/2) / G, ties share their mean rank
    mean   unchanged

A hypothesis is judged by the members that have a score for it. Its uncertainty is the weighted standard deviation of
their points, divided by sqrt(members - 1).
"""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from critique.critic import Critic, Needs, ServerCritic, Sight, needs_of_all
from critique.endpoint.stream import Judge, judge_all
from storage.records import PASSING, DrawnGroup, Verdict

Floats = NDArray[np.float64]
Combine = Literal["z", "rank", "mean"]

LEAST_SPREAD = 2.0
"""Standard deviation of a member's scores, in points, below which all its hypotheses count as equal."""


@dataclass(frozen=True)
class Member:
    """A critic and its weight in the panel."""

    critic: Critic
    weight: int | float


@dataclass(frozen=True)
class PanelCritic:
    """Critic: the weighted mean of its members' points. Raises ValueError without members, or with a weight of 0 or
    less.
    """

    members: tuple[Member, ...]
    combine: Combine = "z"

    def __post_init__(self) -> None:
        if not self.members or any(member.weight <= 0 for member in self.members):
            raise ValueError("a panel needs at least one member, and every member a weight above 0")

    @property
    def name(self) -> str:
        """ "panel@" and a digest of its members, their versions, their weights and how they are combined."""
        details = repr(([(member.critic.name, float(member.weight)) for member in self.members], self.combine))
        return f"panel@{hashlib.sha256(details.encode()).hexdigest()[:8]}"

    @property
    def needs_pictures(self) -> bool:
        """Whether any member looks at pictures."""
        return any(member.critic.needs_pictures for member in self.members)

    @property
    def sight(self) -> Sight:
        """What the members' pictures show; the whole photograph if one of them needs it."""
        return self.needs.sight or Sight(sides=False)

    @property
    def needs(self) -> Needs:
        """What the members need together."""
        return needs_of_all(member.critic for member in self.members)

    def judge(self, group: DrawnGroup) -> Verdict:
        """The panel's verdict on one group."""
        return asyncio.run(self.judge_many([group]))[0]

    async def judge_many(self, groups: Iterable[DrawnGroup]) -> list[Verdict]:
        """The verdicts of all groups in their order; all members judge a group at the same time."""
        servers = [member.critic for member in self.members if isinstance(member.critic, ServerCritic)]
        at_once = max([2, *(critic.groups_at_once for critic in servers)])
        async with self.open() as judge:
            return await judge_all(judge, groups, at_once)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Judge]:
        """Context with a function that judges one group; it works until the context ends.

        If a member fails, its error is raised after the other members have finished, so that paid answers are kept.
        """
        async with AsyncExitStack() as stack:
            judges: list[Judge] = []
            for member in self.members:
                if isinstance(member.critic, ServerCritic):
                    judges.append(await stack.enter_async_context(member.critic.open()))
                else:
                    judges.append(partial(asyncio.to_thread, member.critic.judge))

            async def judge(group: DrawnGroup) -> Verdict:
                started = time.perf_counter()
                found = await asyncio.gather(*(one(group) for one in judges), return_exceptions=True)
                for verdict in found:
                    if isinstance(verdict, BaseException):  # raised only now, so that paid answers are kept
                        raise verdict
                verdicts = [verdict for verdict in found if isinstance(verdict, Verdict)]
                return self.combined(verdicts, time.perf_counter() - started)

            yield judge

    def combined(self, verdicts: Sequence[Verdict], seconds: float = 0.0) -> Verdict:
        """One verdict from the members' verdicts on a group, given in the members' order; `seconds` is the time they
        took.
        """
        points = np.stack([common_points(verdict.scores, self.combine) for verdict in verdicts])
        weights = np.array([float(member.weight) for member in self.members])
        waiting = _waiting(verdicts)
        points[:, [place for place, (status, _) in enumerate(waiting) if status]] = np.nan
        scores, uncertainty = weighed(points, weights)
        first = [own or why for (own, _), why in zip(waiting, verdicts[int(weights.argmax())].statuses)]
        return Verdict(
            group_id=verdicts[0].group_id,
            critic=self.name,
            scores=scores,
            statuses=tuple(why if np.isnan(score) else "ok" for why, score in zip(first, scores)),
            comments=tuple(
                words if status else _comment(verdicts, points, weights, place)
                for place, (status, words) in enumerate(waiting)
            ),
            seconds=seconds,
            cost=sum(verdict.cost for verdict in verdicts),
            replies=tuple(reply for verdict in verdicts for reply in verdict.replies),
            uncertainty=uncertainty,
            rules=tuple(dict.fromkeys(rule for verdict in verdicts for rule in verdict.rules)),
        )


def _waiting(verdicts: Sequence[Verdict]) -> list[tuple[str, str]]:
    """Status and comment of a member with a temporary fault, (G,); "" where there is none. The panel waits for it."""
    found = [("", "")] * len(verdicts[0].scores)
    for verdict in verdicts:
        for place, (status, words) in enumerate(zip(verdict.statuses, verdict.comments)):
            found[place] = (status, words) if status in PASSING else found[place]
    return found


def common_points(scores: Floats, how: Combine) -> Floats:
    """(G,) a member's scores (G,), 0-100, as points 0-100 that are comparable with other members'; NaN stays NaN."""
    judged = ~np.isnan(scores)
    points = np.full(scores.shape, np.nan)
    if not judged.any() or how == "mean":
        return scores.astype(np.float64)
    known = scores[judged]
    if how == "rank":
        points[judged] = 100 * (_ranks(known) - 0.5) / len(known)
    else:
        z = (known - known.mean()) / max(float(known.std()), LEAST_SPREAD)
        points[judged] = 100 / (1 + np.exp(-1.7 * z))
    return points


def weighed(points: Floats, weights: Floats) -> tuple[Floats, Floats | None]:
    """Weighted means (G,) of points (members, G), 0-100, and their uncertainty (G,), points.

    weights: (members,). The uncertainty is None if no hypothesis was judged by two members.
    """
    judged = ~np.isnan(points)
    shares = np.where(judged, weights[:, None], 0.0)
    total = shares.sum(0)
    known = total > 0
    filled = np.where(judged, points, 0.0)
    mean = np.where(known, (shares * filled).sum(0) / np.where(known, total, 1.0), np.nan)
    counted = judged.sum(0)
    if (counted < 2).all():
        return mean, None
    spread = np.sqrt(
        (shares * np.where(judged, filled - np.nan_to_num(mean), 0.0) ** 2).sum(0) / np.where(known, total, 1)
    )
    errors = spread / np.sqrt(np.maximum(counted - 1, 1))
    alone = float(np.sqrt(np.mean(spread[counted > 1] ** 2)))  # one member alone is as unsure as members differ
    return mean, np.where(known, np.where(counted > 1, errors, alone), np.nan)


def agreement(ours: Sequence[Verdict], monitor: Sequence[Verdict]) -> dict[str, float]:
    """How far a second critic, which training never uses, agrees with ours, over groups in the same order.

    `rank_correlation`: mean Spearman correlation of their scores inside a group; `favourite`: mean share of the group
    that the monitor puts below our favourite (0.5 = chance). If the critic's own scores rise from round to round while
    these fall, the model is learning the critic's faults.
    """
    correlations, places = [], []
    for one, other in zip(ours, monitor, strict=True):
        both = ~np.isnan(one.scores) & ~np.isnan(other.scores)
        if both.sum() < 3 or np.ptp(one.scores[both]) == 0 or np.ptp(other.scores[both]) == 0:
            continue
        mine, theirs = _ranks(one.scores[both]), _ranks(other.scores[both])
        correlations.append(float(np.corrcoef(mine, theirs)[0, 1]))
        places.append(float((theirs[mine.argmax()] - 1) / (both.sum() - 1)))
    return {
        "groups": float(len(correlations)),
        "rank_correlation": float(np.mean(correlations)) if correlations else float("nan"),
        "favourite": float(np.mean(places)) if places else float("nan"),
    }


def _ranks(values: Floats) -> Floats:
    """(n,) the rank of each value, from 1; ties share their mean rank."""
    from scipy.stats import rankdata  # here: half a second that who only imports this module can spare

    return rankdata(values)


def _comment(verdicts: Sequence[Verdict], points: Floats, weights: Floats, place: int) -> str:
    """The comment of the member with the largest weight that judged it, and all members' points if several did."""
    order = np.argsort(-weights, kind="stable")
    spoken = [m for m in order if not np.isnan(points[m, place])] or list(order)
    details = verdicts[spoken[0]].comments[place]
    if len(spoken) < 2 or np.isnan(points[spoken[0], place]):
        return details
    names = [verdicts[member].critic.split("@")[0] for member in spoken]
    said = ", ".join(f"{name} {points[member, place]:.0f}" for name, member in zip(names, spoken))
    return f"{details} ({said})"
