"""The critics without a network: scripted, oracle, shuffled; and the abstention."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from critique.critic import Critic, abstain, seeded_order
from critique.oracle import OracleCritic, truth_quality
from critique.scripted import ScriptedCritic
from critique.shuffled import ShuffledCritic
from storage.records import DrawnGroup
from tests.factories import make_group, make_verdict


def drawn(size: int = 5, seed: int = 0) -> DrawnGroup:
    group = make_group(np.random.default_rng(seed), size)
    return DrawnGroup(group, np.zeros((size, 64, 64), np.uint8), np.zeros(size, np.float32))


def test_abstention_is_nan_with_a_reason():
    group = drawn(3)
    verdict = abstain(group, "vlm@1", "timeout", "no answer", seconds=2.0)
    assert np.isnan(verdict.scores).all() and verdict.scores.shape == (3,)
    assert verdict.statuses == ("timeout",) * 3 and verdict.comments == ("no answer",) * 3
    assert (verdict.group_id, verdict.critic, verdict.seconds) == (group.group.person.group_id, "vlm@1", 2.0)


def test_scripted_answers_as_told():
    verdict = make_verdict(drawn().group)
    assert ScriptedCritic(lambda _: verdict).judge(drawn()) is verdict


def test_oracle_scores_spread_over_the_group():
    """Median 200 mm, deviation 1.4826 x 100: 200 +- 148.26 mm lie one deviation off. One nobody knows."""
    critic = OracleCritic(lambda _: np.array([100, 200, 300, 200 + 148.26, 200 - 148.26, np.nan]))
    verdict = critic.judge(drawn(6))
    low, high = 100 / (1 + np.e), 100 / (1 + 1 / np.e)
    np.testing.assert_allclose(verdict.scores[[1, 3, 4]], [50, low, high], rtol=1e-6)
    assert verdict.statuses == ("ok",) * 5 + ("abstained",)
    assert verdict.comments[1] == "200.0 mm from the truth" and verdict.comments[5] == "no ground truth"


def test_oracle_tells_apart_what_is_grossly_wrong():
    scores = OracleCritic(lambda _: np.array([420, 440, 460, 480], np.float32)).judge(drawn(4)).scores
    assert (np.diff(scores) < -5).all()


def test_oracle_has_no_opinion_on_equals():
    assert OracleCritic(lambda group: np.full(len(group), 155, np.float32)).judge(drawn()).scores[0] == 50


def test_truth_quality_by_the_formula():  # (300 - 10) / 290, (300 - 155) / 290, past both ends
    assert truth_quality(np.array([10.0, 155.0, 400.0, 0.0])).tolist() == [1.0, 0.5, 0.0, 1.0]


def test_oracle_wants_one_error_each():
    with pytest.raises(ValueError, match="one error in mm for each"):
        OracleCritic(lambda _: np.zeros(4)).judge(drawn(5))


def test_aligned_errors_have_their_own_worst():  # (150 - 80) / 140
    assert truth_quality(np.array([80.0, 150.0]), worst=150.0).tolist() == [0.5, 0.0]


def inner_with(scores: list[float]) -> ScriptedCritic:
    return ScriptedCritic(lambda group: make_verdict(group.group, scores), name="inner@3", needs_pictures=True)


@given(st.lists(st.floats(0, 100) | st.just(np.nan), min_size=1, max_size=20), st.integers(0, 9))
def test_shuffling_moves_judgements_whole(scores, seed):
    group = drawn(len(scores))
    inner = inner_with(scores)
    before, after = inner.judge(group), ShuffledCritic(inner, seed).judge(group)
    assert sorted(zip(map(str, before.scores), before.statuses, before.comments)) == sorted(
        zip(map(str, after.scores), after.statuses, after.comments)
    )


def test_shuffling_is_seeded_by_group_and_seed():
    inner = inner_with(list(range(20)))
    groups = [drawn(20, seed) for seed in range(3)]

    def order(group: DrawnGroup, seed: int) -> list[float]:
        return ShuffledCritic(inner, seed).judge(group).scores.tolist()

    assert order(groups[0], 0) == order(groups[0], 0)
    assert len({tuple(order(group, seed)) for group in groups for seed in range(3)}) == 9
    assert all(order(group, 0) != list(range(20)) for group in groups)


def test_the_control_has_a_name_of_its_own():
    critic = ShuffledCritic(inner_with([1.0]), 4)
    assert critic.name == "shuffled-4-inner@3" and critic.needs_pictures
    assert critic.judge(drawn(1)).critic == critic.name


def test_an_order_is_the_same_on_every_machine():
    assert seeded_order(0, "street-p0", 6).tolist() == [4, 3, 1, 0, 2, 5]


def test_all_are_critics():
    critics: list[Critic] = [
        inner_with([1.0]),
        OracleCritic(lambda _: np.zeros(1)),
        ShuffledCritic(inner_with([1.0])),
    ]
    assert all(critic.judge(drawn(1)).critic for critic in critics)


def test_shuffling_takes_the_uncertainty_along():
    verdict = make_verdict(drawn(3).group, [10, 20, np.nan], uncertainty=np.array([1.0, 2.0, np.nan]))
    shuffled = ShuffledCritic(ScriptedCritic(lambda _: verdict), seed=1).judge(drawn(3))
    assert shuffled.uncertainty is not None
    assert np.array_equal(shuffled.scores / 10, shuffled.uncertainty, equal_nan=True)
