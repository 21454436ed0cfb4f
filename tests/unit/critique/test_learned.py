"""The learned critic: raw scores of a network become scores, abstentions and ranks."""

import asyncio
import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from critique.critic import Critic
from critique.learned import LearnedCritic, chance_of_beating_the_median, rank_in_words
from storage.records import DrawnGroup, Group
from tests.factories import make_group, same


def drawn(size: int = 5, seed: int = 0) -> DrawnGroup:
    group = make_group(np.random.default_rng(seed), size)
    return DrawnGroup(group, np.zeros((size, 64, 64), np.uint8), np.zeros(size, np.float32))


def critic(*raw: float, batch: int = 16) -> LearnedCritic:
    return LearnedCritic(lambda groups: [np.array(raw) for _ in groups], "scorenet@0123abcd", batch=batch)


def test_scores_by_the_formula():  # sigmoid(5 x .2) = 1 / (1 + 1 / e) = .7311
    verdict = critic(-1.0, 0.2, 0.4, 0.6, 9.0).judge(drawn())
    e = math.e
    wanted = [100 / (1 + e**7), 100 / (1 + e), 50, 100 / (1 + 1 / e), 100 / (1 + e**-43)]
    np.testing.assert_allclose(verdict.scores, wanted, rtol=1e-9)
    assert verdict.comments == ("last of 5", "4th of 5", "3rd of 5", "2nd of 5", "best of 5")
    assert verdict.critic == "scorenet@0123abcd" and set(verdict.statuses) == {"ok"}


def test_what_is_not_finite_is_an_abstention_and_counts_for_nobody():
    verdict = critic(math.nan, 1.0, 2.0, math.inf, 3.0).judge(drawn())
    assert verdict.statuses == ("abstained", "ok", "ok", "abstained", "ok")
    assert np.isnan(verdict.scores[[0, 3]]).all() and verdict.scores[2] == 50
    assert verdict.comments == ("no score", "last of 3", "2nd of 3", "no score", "best of 3")


def test_without_any_score_the_whole_group_is_left_unjudged():
    assert set(critic(*[math.nan] * 5).judge(drawn()).statuses) == {"abstained"}


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=20), st.floats(-100, 100))
def test_scores_keep_the_order_and_forget_the_offset(raw, offset):
    values = np.array(raw)
    scores = chance_of_beating_the_median(values)
    assert ((scores >= 0) & (scores <= 100)).all()
    order = np.argsort(values)
    assert (np.diff(scores[order]) >= 0).all()
    np.testing.assert_allclose(chance_of_beating_the_median(values + offset), scores, atol=1e-4)


def test_two_hypotheses_get_the_chances_of_the_pairwise_loss():
    """Against a median half way between them, each side is 5 x half the difference away."""
    scores = chance_of_beating_the_median(np.array([0.3, 0.1]))
    assert scores.sum() == pytest.approx(100)
    assert scores[0] == pytest.approx(100 / (1 + math.exp(-5 * 0.1)))


def test_ranks_in_words():
    words = rank_in_words(np.arange(24.0)[::-1])
    assert [words[k] for k in (0, 1, 2, 3, 10, 11, 12, 20, 21, 22, 23)] == [
        f"{place} of 24"
        for place in ("best", "2nd", "3rd", "4th", "11th", "12th", "13th", "21st", "22nd", "23rd", "last")
    ]
    assert rank_in_words(np.array([1.0, 1.0])) == ["best of 2", "best of 2"]


def test_many_groups_are_scored_in_batches_and_answered_in_order():
    sizes: list[int] = []

    def score(groups: Sequence[Group]) -> list[np.ndarray]:
        sizes.append(len(groups))
        return [group.latents[:, 0] for group in groups]

    made = LearnedCritic(score, "learned@1", batch=2)
    groups = [drawn(4, seed) for seed in range(5)]
    together = asyncio.run(made.judge_many(iter(groups)))
    assert sizes == [2, 2, 1]
    assert all(same(one, made.judge(group)) for one, group in zip(together, groups))


def test_one_score_each_is_wanted():
    with pytest.raises(ValueError, match=r"scores of shape \(2,\) for 5 hypotheses"):
        critic(1.0, 2.0).judge(drawn())


def test_it_is_a_critic():
    made: Critic = critic(1.0)
    assert isinstance(made, Critic) and not made.needs_pictures
