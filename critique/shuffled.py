"""The control: another critic's scores in a wrong order.

A model that improves on these has not learned from them.
"""

from dataclasses import dataclass, replace

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

    def judge(self, group: DrawnGroup) -> Verdict:
        verdict = self.inner.judge(group)
        order = seeded_order(self.seed, verdict.group_id, len(verdict.scores))
        return replace(
            verdict,
            critic=self.name,
            scores=verdict.scores[order],
            statuses=tuple(verdict.statuses[index] for index in order),
            comments=tuple(verdict.comments[index] for index in order),
            uncertainty=None if verdict.uncertainty is None else verdict.uncertainty[order],
        )
