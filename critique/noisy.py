"""Another critic's scores with random errors of known size: a teacher of known quality, for studies."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from critique.critic import Critic, ManyCritic, Needs, Sight, needs_of, seeded_random, sight_of
from storage.records import DrawnGroup, Verdict


@dataclass(frozen=True)
class NoisyCritic:
    """Adds noise to the log odds of the scores of `inner`, score = 100 sigmoid(log odds).

    noise: its standard deviation. The scores of most of our critics are spread so that a log odds of 1 is one robust
    standard deviation of the group. The same seed gives the same errors on a group.
    """

    inner: Critic
    noise: float
    seed: int = 0

    @property
    def name(self) -> str:
        """Name of the inner critic, with noise and seed."""
        return f"noisy-{self.noise:g}-{self.seed}-{self.inner.name}"

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
        """The inner critic's verdict, with errors."""
        return self.with_errors(self.inner.judge(group))

    async def judge_many(self, groups: Iterable[DrawnGroup]) -> list[Verdict]:
        """The verdicts of all groups in their order, with errors."""
        if isinstance(self.inner, ManyCritic):
            return [self.with_errors(verdict) for verdict in await self.inner.judge_many(groups)]
        return [self.judge(group) for group in groups]

    def with_errors(self, verdict: Verdict) -> Verdict:
        """The verdict with errors that depend on seed and group id alone; abstentions stay, comments go."""
        share = np.clip(verdict.scores / 100, 1e-6, 1 - 1e-6)
        errors = seeded_random(self.seed, verdict.group_id).standard_normal(len(share))
        scores = 100 / (1 + np.exp(-(np.log(share / (1 - share)) + self.noise * errors)))
        comments = tuple(words if np.isnan(score) else "" for words, score in zip(verdict.comments, scores))
        return replace(verdict, critic=self.name, scores=scores, comments=comments)
