"""The control: another critic's scores in random order.

If a model improves when trained on these, the gain does not come from the critic's ranking.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from critique.critic import Critic, ManyCritic, Needs, Sight, needs_of, seeded_order, sight_of
from storage.records import DrawnGroup, Verdict


@dataclass(frozen=True)
class ShuffledCritic:
    """Permutes the scores of `inner` within each group: the same scores, but assigned to random hypotheses."""

    inner: Critic
    seed: int = 0

    @property
    def name(self) -> str:
        """Name of the inner critic, marked as shuffled."""
        return f"shuffled-{self.seed}-{self.inner.name}"

    @property
    def needs_pictures(self) -> bool:
        """Whether the inner critic looks at pictures."""
        return self.inner.needs_pictures

    @property
    def sight(self) -> Sight:
        """What the inner critic's pictures show."""
        return sight_of(self.inner) or Sight()

    @property
    def needs(self) -> Needs:
        """What the inner critic needs."""
        return needs_of(self.inner)

    def judge(self, group: DrawnGroup) -> Verdict:
        """The inner critic's verdict, permuted."""
        return self.permuted(self.inner.judge(group))

    async def judge_many(self, groups: Iterable[DrawnGroup]) -> list[Verdict]:
        """The verdicts of all groups in their order, judged by `inner` and permuted."""
        if isinstance(self.inner, ManyCritic):
            verdicts = await self.inner.judge_many(groups)
        else:
            verdicts = [self.inner.judge(group) for group in groups]
        return [self.permuted(verdict) for verdict in verdicts]

    def permuted(self, verdict: Verdict) -> Verdict:
        """The verdict with its scores in another order; the order depends on seed and group id alone."""
        order = seeded_order(self.seed, verdict.group_id, len(verdict.scores))
        return replace(
            verdict,
            critic=self.name,
            scores=verdict.scores[order],
            statuses=tuple(verdict.statuses[index] for index in order),
            comments=tuple(verdict.comments[index] for index in order),
            uncertainty=None if verdict.uncertainty is None else verdict.uncertainty[order],
        )
