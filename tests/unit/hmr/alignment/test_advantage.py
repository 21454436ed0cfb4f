import math

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch.testing import assert_close

from hmr.alignment.advantage import AdvantageSettings, group_advantages

NAN = math.nan
KINDS = ("zscore", "center", "loo", "rank", "softmax")


def advantages(*groups, dtype=torch.float64, **settings):
    return group_advantages(torch.tensor(groups, dtype=dtype), **{"min_members": 2, "min_std": 0.0, **settings})


def groups_of(size):
    whole = st.integers(0, 100).map(float)
    return st.lists(whole, min_size=size, max_size=size)


def test_matches_hand_worked_group():  # mean 30, centred (-20, -10, 0, 30), population std sqrt(1400 / 4)
    got = advantages([10.0, 20.0, 30.0, 60.0], eps=0.0)
    assert_close(got.values, torch.tensor([[-20.0, -10.0, 0.0, 30.0]]).double() / 350.0**0.5)
    assert got.kept.tolist() == [True]


def test_eps_is_a_share_of_the_score_range():  # std 10, eps 1e-3 of 100 points
    assert_close(advantages([40.0, 60.0], eps=1e-3).values, torch.tensor([[-10.0, 10.0]]).double() / 10.1)


def test_a_pair_gives_plus_and_minus_one_only_with_the_population_std():
    assert_close(advantages([100.0, 0.0], eps=0.0).values, torch.tensor([[1.0, -1.0]]).double())
    assert_close(advantages([100.0, 0.0], eps=0.0, ddof=1).values, torch.tensor([[0.5, -0.5]]).double() * 2**0.5)


def test_an_abstention_has_no_part_and_gets_zero():
    got = advantages([NAN, 10.0, 20.0, NAN, 30.0, 60.0], eps=0.0)
    assert_close(got.values[:, [1, 2, 4, 5]], advantages([10.0, 20.0, 30.0, 60.0], eps=0.0).values)
    assert got.values[0, [0, 3]].tolist() == [0.0, 0.0]
    assert got.judged.tolist() == [[False, True, True, False, True, True]]


@pytest.mark.parametrize("kind", KINDS)
def test_groups_that_say_nothing_are_dropped_and_counted(kind):
    got = advantages(
        [0.1] * 5,  # 0.1 has no exact float: the mean must not turn rounding into advantages
        [50.0, 51.0, 52.0, 51.0, 50.0],  # flatter than 2 points
        [NAN, 0.0, NAN, 100.0, 50.0],  # 3 judged
        [NAN] * 5,
        [NAN, 0.0, 100.0, 50.0, 20.0],
        kind=kind,
        min_members=4,
        min_std=2.0,
    )
    assert got.kept.tolist() == [False, False, False, False, True]
    assert int((~got.kept).sum()) == 4
    assert got.values[:4].eq(0).all()
    assert got.values[4].ne(0).any()


def test_centred_is_in_reward_units_and_leave_one_out_is_its_multiple():
    scores = [10.0, 20.0, 30.0, 60.0]
    assert_close(advantages(scores, kind="center").values, torch.tensor([[-0.2, -0.1, 0.0, 0.3]]).double())
    others = [(20 + 30 + 60) / 3, (10 + 30 + 60) / 3, (10 + 20 + 60) / 3, (10 + 20 + 30) / 3]
    by_hand = [(score - other) / 100 for score, other in zip(scores, others)]
    assert_close(advantages(scores, kind="loo").values, torch.tensor([by_hand]).double())
    assert_close(advantages(scores, kind="loo").values, advantages(scores, kind="center").values * 4 / 3)


def test_ranks_share_their_mean_at_ties():  # 1, 2.5, 2.5, 4; centred (-1.5, 0, 0, 1.5), std sqrt(4.5 / 4)
    got = advantages([5.0, 7.0, 7.0, 99.0], kind="rank", eps=0.0)
    assert_close(got.values, torch.tensor([[-1.5, 0.0, 0.0, 1.5]]).double() / 1.125**0.5)


def test_softmax_by_hand():  # z = (-1, 1): n softmax(z) - 1 = +-tanh(1)
    got = advantages([0.0, 100.0], kind="softmax", eps=0.0)
    assert_close(got.values, torch.tensor([[-math.tanh(1), math.tanh(1)]]).double())


def test_clip_bounds_every_advantage():
    got = advantages([0.0] * 19 + [100.0], clip=3.0)
    assert got.values.max() == 3.0
    assert_close(advantages([0.0] * 19 + [100.0], eps=0.0).values.max(), torch.tensor(19.0).sqrt().double())


def test_computes_in_double_and_answers_in_kind():
    got = advantages([99.99, 99.98, 99.97, 99.96], dtype=torch.float32, eps=0.0)
    assert got.values.dtype == torch.float32
    exact = torch.tensor([[99.99, 99.98, 99.97, 99.96]]).double()
    assert_close(got.values.double(), (exact - exact.mean()) / exact.std(correction=0), rtol=1e-6, atol=1e-6)


def test_an_infinite_score_is_refused():
    with pytest.raises(ValueError, match="infinite"):
        advantages([1.0, math.inf])


def test_an_equally_unsure_critic_shrinks_every_advantage():  # std 10, u 6: tau^2 = 64, w = 64 / (64 + 36)
    assert_close(
        advantages([40.0, 60.0], eps=0.0, uncertainty=torch.full((1, 2), 6.0)).values,
        torch.tensor([[-0.64, 0.64]]).double(),
    )


def test_an_abstention_leaves_the_noise_of_the_others_as_it_is():
    details = torch.tensor([[50.0, 6.0, 6.0]])
    got = advantages([NAN, 40.0, 60.0], eps=0.0, uncertainty=details)
    assert_close(got.values, torch.tensor([[0.0, -0.64, 0.64]]).double())


def test_an_unsure_score_weighs_less_by_hand():
    """Scores 40, 60 and u^2 = 0, 72: tau^2 = 100 - 36, w = (1, 8 / 17), mean 46.4, weighted variance 87.04."""
    unsure = torch.tensor([[0.0, 72**0.5]], dtype=torch.float64)
    pull = torch.tensor([[-6.4, 6.4]]).double()
    assert_close(advantages([40.0, 60.0], kind="center", uncertainty=unsure).values, pull / 100)
    assert_close(advantages([40.0, 60.0], kind="loo", uncertainty=unsure).values, pull / 50)
    assert_close(advantages([40.0, 60.0], eps=0.0, uncertainty=unsure).values, pull / 87.04**0.5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("none", [0.0, NAN])
def test_without_uncertainty_its_argument_changes_nothing(kind, none):
    scores = [10.0, NAN, 20.0, 30.0, 60.0]
    got = advantages(scores, kind=kind, uncertainty=torch.full((1, 5), none))
    assert_close(got.values, advantages(scores, kind=kind).values)
    assert got.kept.all()


def test_a_spread_that_the_critics_noise_explains_is_dropped():
    scores = [40.0, 60.0, 40.0, 60.0]  # std 10; tau 6, then 0
    for unsure, least, kept in ((8.0, 5.9, True), (8.0, 6.1, False), (11.0, 0.0, False)):
        got = advantages(scores, uncertainty=torch.full((1, 4), unsure), min_std=least)
        assert got.kept.tolist() == [kept]
        assert got.values.ne(0).all() == kept


@pytest.mark.parametrize("unsure", [-1.0, math.inf])
def test_an_impossible_uncertainty_is_refused(unsure):
    with pytest.raises(ValueError, match="uncertainty is negative or infinite"):
        advantages([1.0, 2.0], uncertainty=torch.tensor([[0.0, unsure]]))


def test_no_clip_is_infinity_in_toml():
    assert AdvantageSettings(clip=math.inf) == AdvantageSettings(clip=None)


def test_settings_are_the_arguments():
    settings = AdvantageSettings()
    got = group_advantages(torch.tensor([[0.0, 50.0, 100.0, 50.0]]), **settings.model_dump())
    assert got.kept.all()


@given(scores=groups_of(8), kind=st.sampled_from(KINDS))
def test_every_kind_sums_to_zero_and_follows_the_order_of_the_scores(scores, kind):
    values = advantages(scores, kind=kind).values[0]
    assert abs(values.sum()) < 1e-9
    order = torch.tensor(scores).argsort()
    assert (values[order].diff() >= -1e-12).all()


@given(
    scores=groups_of(8),
    unsure=st.lists(st.floats(0, 30), min_size=8, max_size=8),
    order=st.permutations(range(8)),
    kind=st.sampled_from(KINDS),
)
def test_unsure_scores_keep_the_zero_sum_and_the_freedom_of_order(scores, unsure, order, kind):
    order, details = list(order), torch.tensor([unsure])
    plain = advantages(scores, kind=kind, uncertainty=details)
    moved = advantages([scores[i] for i in order], kind=kind, uncertainty=details[:, order])
    assert abs(plain.values.sum()) < 1e-9
    assert_close(moved.values, plain.values[:, order], atol=1e-9, rtol=1e-9)


@given(scores=groups_of(8), kind=st.sampled_from(("zscore", "rank")))
def test_squares_sum_to_the_size_of_the_group(scores, kind):
    assume(len(set(scores)) > 1)
    values = advantages(scores, kind=kind, eps=0.0).values
    assert_close(values.square().sum(), torch.tensor(8.0).double())
    assert values.abs().max() <= 7**0.5 + 1e-9


@given(scores=groups_of(6), factor=st.floats(0.1, 10), shift=st.floats(-100, 100))
def test_an_affine_map_of_the_scores_changes_nothing(scores, factor, shift):
    moved = [factor * score + shift for score in scores]
    for kind in ("zscore", "softmax"):
        got = advantages(scores, moved, kind=kind, eps=0.0).values
        assert_close(got[0], got[1], atol=1e-9, rtol=1e-9)


@given(scores=groups_of(6))
def test_an_increasing_map_of_the_scores_leaves_the_rank_advantage(scores):
    got = advantages(scores, [math.exp(score / 20) for score in scores], kind="rank")
    assert_close(got.values[0], got.values[1])


@given(
    scores=st.lists(st.one_of(st.just(NAN), st.integers(0, 100).map(float)), min_size=7, max_size=7),
    order=st.permutations(range(7)),
    kind=st.sampled_from(KINDS),
)
def test_the_order_of_hypotheses_is_free(scores, order, kind):
    plain = advantages(scores, kind=kind)
    shuffled = advantages([scores[i] for i in order], kind=kind)
    assert_close(shuffled.values[0], plain.values[0, list(order)], atol=1e-12, rtol=1e-9)
    assert shuffled.kept.equal(plain.kept)


@given(first=groups_of(5), second=groups_of(5), kind=st.sampled_from(KINDS))
def test_batched_is_one_by_one(first, second, kind):
    batched = advantages(first, second, kind=kind, min_std=2.0)
    single = [advantages(scores, kind=kind, min_std=2.0) for scores in (first, second)]
    assert_close(batched.values, torch.cat([one.values for one in single]))
    assert batched.kept.equal(torch.cat([one.kept for one in single]))
