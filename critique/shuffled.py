"""The control: another critic's scores in a wrong order.

A model that improves on these has not learned from them.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from critique.critic import Critic, seeded_order
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
    def frame(self) -> str:
        """What its pictures should show, as for `inner`."""
        return getattr(self.inner, "frame", "person")

    def judge(self, group: DrawnGroup) -> Verdict:
        return self.dealt(self.inner.judge(group))

    async def judge_many(self, groups: Iterable[DrawnGroup]) -> list[Verdict]:
        """The verdicts of all groups in their order, as many at once as `inner` takes."""
        many: Any = getattr(self.inner, "judge_many", None)
        verdicts = [self.inner.judge(group) for group in groups] if many is None else await many(groups)
        return [self.dealt(verdict) for verdict in verdicts]

    def dealt(self, verdict: Verdict) -> Verdict:
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
