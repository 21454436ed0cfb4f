"""The control: another critic's scores in a wrong order.

A model that improves on these has not learned from them.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from critique.critic import Critic, ManyCritic, Sight, seeded_order, sight_of
from storage.records import DrawnGroup, Verdict


@dataclass(frozen=True)
class ShuffledCritic:
    """Permutes the judgements of `inner` within each group: the scores stay, their sense goes."""

    inner: Critic
    seed: int = 0

    @property
    def name(self) -> str:
        return f"shuffled-{self.seed}-{self.inner.name}"

    @property
    def needs_pictures(self) -> bool:
        return self.inner.needs_pictures

    @property
    def sight(self) -> Sight:
        return sight_of(self.inner) or Sight()

    def judge(self, group: DrawnGroup) -> Verdict:
        return self.permuted(self.inner.judge(group))

    async def judge_many(self, groups: Iterable[DrawnGroup]) -> list[Verdict]:
        """The verdicts of all groups in their order, as many at once as `inner` takes."""
        if isinstance(self.inner, ManyCritic):
            verdicts = await self.inner.judge_many(groups)
        else:
            verdicts = [self.inner.judge(group) for group in groups]
        return [self.permuted(verdict) for verdict in verdicts]

    def permuted(self, verdict: Verdict) -> Verdict:
        """The verdict in another order."""
        order = seeded_order(self.seed, verdict.group_id, len(verdict.scores))
        return replace(
            verdict,
            critic=self.name,
            scores=verdict.scores[order],
            statuses=tuple(verdict.statuses[index] for index in order),
            comments=tuple(verdict.comments[index] for index in order),
            uncertainty=None if verdict.uncertainty is None else verdict.uncertainty[order],
        )
