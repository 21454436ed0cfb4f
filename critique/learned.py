"""A critic that was learned: the raw scores of a network, spread over 0-100 within each group."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from critique.critic import as_verdict
from storage.records import DrawnGroup, Group, Verdict

SHARPNESS = 5.0
"""Factor on a difference of raw scores in the training loss of the network."""


def chance_of_beating_the_median(raw: NDArray[np.floating]) -> NDArray[np.float64]:
    """Scores 0-100 (G,) of one group from its raw scores (G,), higher is better; NaN stays NaN.

        score_i = 100 sigmoid(5 (s_i - median of the group))

    ScoreNet is trained on pairs: sigmoid(5 (s_i - s_k)) is its probability that hypothesis i is better than k (Xu et
    al. 2024, ScoreHypo). So a score is the probability, in percent, of being better than the group's median, which gets
    50.
    """
    values = np.asarray(raw, np.float64)
    known = values[np.isfinite(values)]
    if not len(known):
        return np.full(values.shape, np.nan)
    chance = 0.5 + 0.5 * np.tanh(SHARPNESS / 2 * (values - np.median(known)))  # the logistic, without overflow
    return np.where(np.isfinite(values), 100 * chance, np.nan)


def rank_in_words(scores: NDArray[np.floating]) -> list[str]:
    """The rank of each score (G,), 0-100, as text: "best of 20", "2nd of 20", ... "last of 20"; ties share the better
    rank.
    """
    known = scores[np.isfinite(scores)]
    ranks = [1 + int((known > score).sum()) for score in scores]
    return ["no score" if np.isnan(s) else f"{_place(r, len(known))} of {len(known)}" for s, r in zip(scores, ranks)]


@dataclass(frozen=True)
class LearnedCritic:
    """Scores by a learned network, whose raw scores are unbounded and comparable within one group alone."""

    score: Callable[[Sequence[Group]], Sequence[NDArray[np.floating]]]  # (G,) per group, higher = better, NaN = none
    name: str
    needs_pictures: bool = False
    batch: int = 16  # groups given to the network at once

    def judge(self, group: DrawnGroup) -> Verdict:
        """The verdict on one group.

        Raises ValueError if the network does not return one raw score for each hypothesis.
        """
        return self._verdicts([group])[0]

    async def judge_many(self, groups: Iterable[DrawnGroup]) -> list[Verdict]:
        """The verdicts of all groups in their order; groups are taken in batches.

        Raises ValueError if the network does not return one raw score for each hypothesis.
        """
        waiting, verdicts = iter(groups), []
        while some := list(islice(waiting, self.batch)):
            verdicts += self._verdicts(some)
        return verdicts

    def _verdicts(self, groups: list[DrawnGroup]) -> list[Verdict]:
        raw = self.score([group.group for group in groups])
        return [self._verdict(group.group, np.asarray(scores)) for group, scores in zip(groups, raw, strict=True)]

    def _verdict(self, group: Group, raw: NDArray[np.floating]) -> Verdict:
        if raw.shape != (len(group),):
            raise ValueError(
                f"{self.name} on {group.person.group_id}: scores of shape {raw.shape} for {len(group)} hypotheses; "
                "return one for each"
            )
        scores = chance_of_beating_the_median(raw)
        return as_verdict(group, self.name, scores, rank_in_words(np.where(np.isfinite(raw), raw, np.nan)))


def _place(rank: int, of: int) -> str:
    if rank == 1:
        return "best"
    if rank == of:
        return "last"
    ending = {1: "st", 2: "nd", 3: "rd"}.get(rank % 10, "th") if rank % 100 not in (11, 12, 13) else "th"
    return f"{rank}{ending}"
