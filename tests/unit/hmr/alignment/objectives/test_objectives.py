"""The identities that tie the objectives to each other and to the published ones."""

import itertools
import math

import pytest
import torch
from torch.testing import assert_close

from hmr.alignment.advantage import Advantages, group_advantages
from hmr.alignment.objectives import (
    OBJECTIVES,
    GroupErrors,
    Head,
    ObjectiveSettings,
    alignment_loss,
    noise_errors,
    preset,
)

HEADS = (Head(name="joints", dims=3), Head(name="twists", dims=2))
EVERY = tuple(OBJECTIVES)
WITHOUT_REFERENCE = ("linear", "positive_only", "awr", "best_of_group")


def settings(objective, **changes):
    """The bare objective; `nft` is none without kappa, which adds nothing at the reference."""
    kappa = 1.0 if objective == "nft" else 0.0
    plain = {"beta": 1.0, "kappa_per_beta": kappa, "anchor_weight": 0.0, "heads": HEADS}
    return ObjectiveSettings(objective=objective, **{**plain, **changes})


def judged(*groups, kept=None):
    values = torch.tensor(groups, dtype=torch.float64)
    kept = torch.ones(len(groups), dtype=torch.bool) if kept is None else torch.tensor(kept)
    return Advantages(values, kept, torch.ones_like(values, dtype=torch.bool))


def one_head(change, **changes):
    """Loss of one group of one head whose reference error is 1, with D as given."""
    heads = (Head(name="all", dims=1),)
    policy = 1 + torch.tensor(change, dtype=torch.float64)[None, :, None]
    errors = GroupErrors(policy, torch.ones_like(policy), torch.zeros_like(policy))
    return lambda advantages, objective: (
        alignment_loss(errors, advantages, settings(objective, heads=heads, **changes)).loss
    )


@pytest.fixture
def scene():
    """Predictions of policy and reference for 3 groups of 6, one shared noise per group, and z-scores."""
    random = torch.Generator().manual_seed(1)
    draw = lambda *shape: torch.randn(shape, generator=random, dtype=torch.float64)  # noqa: E731
    reference = draw(3, 6, 5)
    policy = (reference + 0.3 * draw(3, 6, 5)).requires_grad_()
    scores = 100 * torch.rand(3, 6, generator=random, dtype=torch.float64)
    return policy, draw(3, 1, 5), reference, group_advantages(scores, eps=0.0, min_std=0.0)


def loss_of(scene, chosen, policy=None, with_reference=True):
    own, noise, reference, advantages = scene
    errors = noise_errors(own if policy is None else policy, noise, reference if with_reference else None, heads=HEADS)
    return alignment_loss(errors, advantages, chosen).loss


def gradient(scene, chosen, **changes):
    (found,) = torch.autograd.grad(loss_of(scene, chosen, **changes), changes.get("policy", scene[0]))
    return found


def at_reference(scene):
    return scene[2].clone().requires_grad_()


# --- hand-worked values -------------------------------------------------------------------------------------


def test_linear_by_hand():  # 2 (1 x 0.1 + 0.5 x -0.2 - 1.5 x 0.3) = -0.9
    assert_close(one_head([0.1, -0.2, 0.3], beta=2.0)(judged([1.0, 0.5, -1.5]), "linear").item(), -0.9)


def test_group_mean_divides_by_the_size():
    assert_close(
        one_head([0.1, -0.2, 0.3], beta=2.0, group_reduce="mean")(judged([1.0, 0.5, -1.5]), "linear").item(),
        -0.3,
    )


def test_log_sigmoid_by_hand():  # S = -0.45, beta 2: log(1 + exp(-0.9))
    got = one_head([0.1, -0.2, 0.3], beta=2.0)(judged([1.0, 0.5, -1.5]), "log_sigmoid")
    assert_close(got.item(), math.log1p(math.exp(-0.9)))


def test_best_against_worst_by_hand():  # D_w - D_l = 0.1 - 0.3
    for top_k in (1, 2):  # which is for `top_bottom`
        got = one_head([0.1, -0.2, 0.7, 0.3], beta=2.0, top_k=top_k)(judged([1.0, 0.6, -0.1, -1.5]), "pairwise")
        assert_close(got.item(), math.log1p(math.exp(2 * (0.1 - 0.3))))


def test_all_pairs_by_hand():
    got = one_head([0.1, -0.2, 0.3], beta=2.0, pairs="all_pairs")(judged([1.0, 0.5, -1.5]), "pairwise")
    margins = (0.1 + 0.2, 0.1 - 0.3, -0.2 - 0.3)
    assert_close(got.item(), sum(math.log1p(math.exp(2 * margin)) for margin in margins) / 3)


def test_ties_and_abstentions_make_no_pair():
    tied = judged([1.0, 1.0, -2.0, 0.0])._replace(judged=torch.tensor([[True, True, True, False]]))
    got = one_head([0.1, -0.2, 0.3, 9.0], pairs="all_pairs")(tied, "pairwise")
    assert_close(got.item(), (math.log1p(math.exp(0.1 - 0.3)) + math.log1p(math.exp(-0.2 - 0.3))) / 2)


@pytest.mark.parametrize(
    ("top_k", "met"),
    [(1, [(0, 3)]), (2, [(0, 3), (1, 2)]), (9, [(0, 3), (1, 2)])],
)
def test_top_against_bottom_by_hand(top_k, met):
    """The i-th best meets the i-th worst; beyond the middle the same pairs would come again, turned round."""
    change = [0.1, -0.2, 0.3, 0.7]
    got = one_head(change, pairs="top_bottom", top_k=top_k)(judged([1.5, 1.0, -0.5, -2.0]), "pairwise")
    losses = [math.log1p(math.exp(change[winner] - change[loser])) for winner, loser in met]
    assert_close(got.item(), sum(losses) / len(losses))


def test_a_margin_leaves_near_pairs_out():
    got = one_head([0.1, -0.2, 0.3], pairs="all_pairs", pair_margin=2.0)(judged([1.0, 0.5, -1.5]), "pairwise")
    assert_close(got.item(), (math.log1p(math.exp(0.1 - 0.3)) + math.log1p(math.exp(-0.2 - 0.3))) / 2)
    none = one_head([0.1, -0.2, 0.3], pair_margin=9.0)(judged([1.0, 0.5, -1.5]), "pairwise")
    assert none.item() == 0


def test_plackett_luce_by_hand():
    got = one_head([0.1, -0.2, 0.3], beta=2.0)(judged([0.5, 1.0, -1.5]), "plackett_luce")  # order: 1, 0, 2
    first, second, third = (math.exp(-2 * change) for change in (-0.2, 0.1, 0.3))
    chance = first / (first + second + third) * second / (second + third)
    assert_close(got.item(), -math.log(chance))


def test_plackett_luce_is_a_distribution_over_all_orders():
    chances = [
        math.exp(-one_head([0.1, -0.2, 0.3, 0.7])(judged(order), "plackett_luce"))
        for order in itertools.permutations([1.5, 0.5, -0.5, -1.5])
    ]
    assert_close(sum(chances), 1.0)


def test_plackett_luce_does_not_compare_ties_and_abstentions():
    """Two tied over one: each is chosen before the third alone."""
    tied = judged([1.0, 1.0, -2.0, 0.0])._replace(judged=torch.tensor([[True, True, True, False]]))
    got = one_head([0.1, -0.2, 0.3, 9.0])(tied, "plackett_luce")
    assert_close(got.item(), math.log1p(math.exp(0.1 - 0.3)) + math.log1p(math.exp(-0.2 - 0.3)))


def test_awr_by_hand():
    weights = [math.exp(value / 0.5) for value in (1.0, 0.5, -1.5)]
    expected = sum(w * change for w, change in zip(weights, (0.1, -0.2, 0.3))) / sum(weights)
    chosen = judged([1.0, 0.5, -1.5, 0.0])._replace(judged=torch.tensor([[True, True, True, False]]))
    got = one_head([0.1, -0.2, 0.3, 9.0], awr_temperature=0.5)(chosen, "awr")
    assert_close(got.item(), expected)


def test_nft_by_hand():  # beta 2, kappa 3: 2 (1 x (0.1 - 0.4) - 1 x (0.3 - 0.5)) + 3 x (0.4 + 0.5)
    heads = (Head(name="all", dims=1),)
    policy = torch.tensor([[[1.1], [1.3]]], dtype=torch.float64)
    errors = GroupErrors(policy, torch.ones_like(policy), torch.tensor([[[0.4], [0.5]]]).double())
    chosen = settings("nft", beta=2.0, kappa_per_beta=1.5, heads=heads)
    assert_close(alignment_loss(errors, judged([1.0, -1.0]), chosen).loss.item(), -0.2 + 2.7)


def test_ratio_by_hand_and_clipped():
    plain = one_head([0.1, -0.2, 0.3])(judged([1.0, 0.5, -1.5]), "ratio").item()
    assert_close(plain, -(math.exp(-0.1) + 0.5 * math.exp(0.2) - 1.5 * math.exp(-0.3)))
    clipped = one_head([0.1, -0.2, 0.3], clip_eps=0.1)(judged([1.0, 0.5, -1.5]), "ratio").item()
    assert_close(clipped, -(math.exp(-0.1) + 0.5 * 1.1 - 1.5 * 0.9))


def test_positive_only_by_hand():
    assert_close(one_head([0.1, -0.2, 0.3], beta=2.0)(judged([1.0, 0.5, -1.5]), "positive_only").item(), 0.0)
    assert_close(one_head([0.1, 0.2, 0.3], beta=2.0)(judged([1.0, 0.5, -1.5]), "positive_only").item(), 0.4)


def test_best_of_group_is_the_mean_over_the_best_judged():
    chosen = judged([0.0, 1.0, 0.5, -1.5])._replace(judged=torch.tensor([[False, True, True, True]]))
    change = [9.0, 0.1, -0.2, 0.3]
    assert_close(one_head(change)(chosen, "best_of_group").item(), 0.1)
    assert_close(one_head(change, top_k=2)(chosen, "best_of_group").item(), -0.05)
    assert_close(one_head(change, top_k=9)(chosen, "best_of_group").item(), 0.2 / 3)


def test_damped_losers():  # the loser counts half
    assert_close(one_head([0.1, 0.3], neg_scale=0.5)(judged([1.0, -1.0]), "linear").item(), -0.05)
    assert_close(
        one_head([0.1, 0.3], neg_scale=0.5)(judged([1.0, -1.0]), "pairwise").item(),
        math.log1p(math.exp(-0.05)),
    )


# --- identities ---------------------------------------------------------------------------------------------


def test_values_at_the_reference(scene):
    values = {name: loss_of(scene, settings(name), policy=at_reference(scene)).item() for name in EVERY}
    log2 = 2 * math.log(2)  # one for each head
    orders = 2 * math.log(math.factorial(6))
    expected = {name: 0.0 for name in EVERY} | {"log_sigmoid": log2, "pairwise": log2, "plackett_luce": orders}
    assert values == pytest.approx(expected, abs=1e-12)


def test_gradients_at_the_reference_are_multiples_of_the_linear_one(scene):
    start = at_reference(scene)
    linear = gradient(scene, settings("linear", beta=3.0), policy=start)
    assert_close(gradient(scene, settings("log_sigmoid", beta=3.0), policy=start), linear / 2)
    assert_close(gradient(scene, settings("ratio", beta=3.0), policy=start), linear)
    assert_close(gradient(scene, settings("ratio", beta=3.0, clip_eps=0.2), policy=start), linear)
    assert_close(gradient(scene, settings("nft", beta=3.0), policy=start), linear)


def test_log_sigmoid_has_the_linear_gradient_times_its_logistic_weight(scene):
    policy, noise, reference, advantages = scene
    beta = 3.0
    change = noise_errors(policy, noise, reference, heads=HEADS).change
    weight = torch.sigmoid(beta * (advantages.values[..., None] * change).sum(1)).detach()  # image, head
    per_dim = weight.repeat_interleave(torch.tensor([3, 2]), dim=-1)[:, None]
    linear = gradient(scene, settings("linear", beta=beta))
    assert_close(gradient(scene, settings("log_sigmoid", beta=beta)), per_dim * linear)


@pytest.mark.parametrize("objective", WITHOUT_REFERENCE)
@pytest.mark.parametrize("per_head", [True, False])
def test_the_reference_can_be_skipped_without_a_change_of_gradient(scene, objective, per_head):
    """The same float32 weights to the last bit: the reference only shifts what is differentiated."""
    policy, noise, reference, advantages = (
        part if isinstance(part, Advantages) else part.detach().float() for part in scene
    )
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(5, 16), torch.nn.SiLU(), torch.nn.Linear(16, 5))
    chosen = settings(objective, anchor_weight=0.5, per_head=per_head)
    assert not chosen.needs_reference

    def gradients(known):
        errors = noise_errors(network(policy), noise, known, heads=HEADS)
        return torch.autograd.grad(alignment_loss(errors, advantages, chosen).loss, list(network.parameters()))

    for skipped, run in zip(gradients(None), gradients(reference)):
        assert skipped.any()
        assert_close(skipped, run, rtol=0, atol=0)


@pytest.mark.parametrize("objective", [name for name in EVERY if name not in WITHOUT_REFERENCE])
def test_a_missing_reference_is_an_error_where_it_counts(scene, objective):
    assert settings(objective).needs_reference
    with pytest.raises(ValueError, match="reference model"):
        loss_of(scene, settings(objective), with_reference=False)


@pytest.mark.parametrize("objective", WITHOUT_REFERENCE)
def test_kappa_needs_the_reference_with_every_objective(scene, objective):
    chosen = settings(objective, kappa_per_beta=0.1)
    assert chosen.needs_reference
    with pytest.raises(ValueError, match=r"kappa = 0\.1 needs the reference model"):
        loss_of(scene, chosen, with_reference=False)


def test_kappa_has_no_value_and_no_gradient_at_the_reference(scene):
    start = at_reference(scene)
    for objective in EVERY:
        without, with_kappa = settings(objective), settings(objective, kappa_per_beta=5.0)  # nft: 1 and 5
        assert_close(loss_of(scene, with_kappa, policy=start), loss_of(scene, without, policy=start))
        assert_close(gradient(scene, with_kappa, policy=start), gradient(scene, without, policy=start))


def test_kappa_adds_its_distance(scene):
    policy, noise, reference, _ = scene
    distance = noise_errors(policy, noise, reference, heads=HEADS).distance
    extra = loss_of(scene, settings("linear", beta=2.0, kappa_per_beta=0.5, pref_weight=0.1)) - loss_of(
        scene, settings("linear", beta=2.0, pref_weight=0.1)
    )
    assert_close(extra, 0.1 * 1.0 * distance.sum((1, 2)).mean())


def test_anchor_is_the_plain_denoising_error(scene):
    policy, noise, _, advantages = scene
    anchored = settings("linear", pref_weight=0.0, anchor_weight=2.0)
    error = (policy - noise).square()
    plain = error[..., :3].mean((1, 2)) + error[..., 3:].mean((1, 2))
    assert_close(loss_of(scene, anchored), 2 * plain.mean())
    winners = (advantages.values > 0).double()
    weighted = (error[..., :3].mean(-1) + error[..., 3:].mean(-1)) * winners
    assert_close(
        loss_of(scene, anchored.model_copy(update={"anchor_on": "positive"})),
        2 * (weighted.sum(1) / winners.sum(1)).mean(),
    )


def test_joined_heads_are_the_mean_over_all_dims(scene):
    policy, noise, reference, advantages = scene
    change = (policy - noise).square().mean(-1) - (reference - noise).square().mean(-1)
    assert_close(loss_of(scene, settings("linear", per_head=False)), (advantages.values * change).sum(1).mean())


def test_head_weights(scene):
    def weighted(joints, twists):
        heads = (Head(name="joints", dims=3, weight=joints), Head(name="twists", dims=2, weight=twists))
        return loss_of(scene, settings("log_sigmoid", heads=heads))

    assert_close(weighted(2.0, 3.0), 2 * weighted(1.0, 0.0) + 3 * weighted(0.0, 1.0))


def test_two_hypotheses_are_diffusion_dpo(scene):
    """G = 2 with scores (1, 0): the group loss is its pair, and linear has its slope at c = beta_dpo / 4."""
    policy, noise, reference, _ = scene
    pair = group_advantages(torch.tensor([[1.0, 0.0]] * 3).double(), eps=0.0, min_std=0.0, min_members=2)
    assert pair.values.tolist() == [[1.0, -1.0]] * 3
    beta_dpo = 8.0
    own = policy[:, :2].detach().requires_grad_()
    two = (own, noise, reference[:, :2], pair)
    dpo = settings("pairwise", beta=beta_dpo / 2)
    assert_close(gradient(two, settings("log_sigmoid", beta=beta_dpo / 2)), gradient(two, dpo))
    assert_close(gradient(two, settings("plackett_luce", beta=beta_dpo / 2)), gradient(two, dpo))
    start = at_reference(two)
    slope = gradient(two, settings("linear", beta=beta_dpo / 4), policy=start)
    assert_close(gradient(two, dpo, policy=start), slope)
    change = noise_errors(own, noise, two[2], heads=HEADS).change
    by_hand = beta_dpo / 4 * (change[:, 0] - change[:, 1]).sum(-1).mean()
    assert_close(loss_of(two, settings("linear", beta=beta_dpo / 4)), by_hand)


def test_nft_is_the_published_loss_but_for_a_constant(scene):
    """r |e + b d|^2 + (1 - r) |e - b d|^2 with r = (1 + A) / 2 and e = eps_ref - eps, d = eps_theta - eps_ref."""
    policy, noise, reference, advantages = scene
    small = advantages._replace(values=advantages.values / 5)  # |A| <= 1 makes r a probability
    beta = 0.7
    e, d = reference - noise, policy - reference
    r = (1 + small.values[..., None]) / 2
    published = r * (e + beta * d).square() + (1 - r) * (e - beta * d).square() - e.square()
    expected = (published[..., :3].mean(-1) + published[..., 3:].mean(-1)).sum(1).mean()
    chosen = settings("nft", beta=beta, kappa_per_beta=beta)
    assert_close(loss_of((policy, noise, reference, small), chosen), expected)


def test_nft_is_linear_with_a_kappa_of_its_own_for_each_hypothesis(scene):
    """A D + (kappa - A) |d|^2: what losers lack of convexity comes back, winners give some up."""
    policy, noise, reference, advantages = scene
    errors = noise_errors(policy, noise, reference, heads=HEADS)
    values = advantages.values[..., None]
    terms = values * errors.change + (1.5 - values) * errors.distance
    assert_close(loss_of(scene, settings("nft", kappa_per_beta=1.5)), terms.sum((1, 2)).mean())


def test_awr_lies_between_the_best_and_plain_denoising(scene):
    cold, hot = settings("awr", awr_temperature=1e-3), settings("awr", awr_temperature=1e6)
    assert_close(gradient(scene, cold), gradient(scene, settings("best_of_group")))
    plain = settings("linear", pref_weight=0.0, anchor_weight=1.0)
    assert_close(gradient(scene, hot), gradient(scene, plain), atol=1e-6, rtol=1e-5)


def test_winners_minus_losers_is_the_statistic(scene):
    policy, noise, reference, advantages = scene
    errors = noise_errors(policy, noise, reference, heads=HEADS)
    size = advantages.values.abs()[..., None]
    won = (advantages.values > 0)[..., None]
    split = (size * errors.change * won).sum(1) - (size * errors.change * ~won).sum(1)
    watched = alignment_loss(errors, advantages, settings("linear")).diagnostics
    assert_close(torch.stack([watched["S/joints"], watched["S/twists"]]), split.mean(0))


def test_the_mean_over_images_stands_outside_the_sigmoid(scene):
    policy, noise, reference, advantages = scene
    chosen = settings("log_sigmoid", beta=5.0)
    alone = [
        alignment_loss(
            noise_errors(policy[i : i + 1], noise[i : i + 1], reference[i : i + 1], heads=HEADS),
            Advantages(*(part[i : i + 1] for part in advantages)),
            chosen,
        ).loss
        for i in range(3)
    ]
    assert_close(loss_of(scene, chosen), torch.stack(alone).mean())


@pytest.mark.parametrize("objective", EVERY)
def test_micro_batches_add_up_to_the_batch(scene, objective):
    policy, noise, reference, advantages = scene
    advantages = advantages._replace(kept=torch.tensor([True, False, True]))
    chosen = preset("stable", objective=objective, heads=HEADS)
    whole = alignment_loss(noise_errors(policy, noise, reference, heads=HEADS), advantages, chosen).loss
    parts = [
        alignment_loss(
            noise_errors(policy[part], noise[part], reference[part], heads=HEADS),
            Advantages(*(one[part] for one in advantages)),
            chosen,
            images=2,
        ).loss
        for part in (slice(0, 2), slice(2, 3))
    ]
    assert_close(sum(parts), whole)
    accumulated = torch.zeros_like(policy)
    for part in parts:
        accumulated += torch.autograd.grad(part, policy)[0]
    assert_close(accumulated, torch.autograd.grad(whole, policy)[0])


@pytest.mark.parametrize("objective", EVERY)
def test_the_order_of_hypotheses_is_free(scene, objective):
    policy, noise, reference, advantages = scene
    order = torch.tensor([4, 2, 0, 5, 1, 3])
    moved = (
        policy[:, order].detach(),
        noise,
        reference[:, order],
        advantages._replace(values=advantages.values[:, order], judged=advantages.judged[:, order]),
    )
    moved[0].requires_grad_()
    for pairs in ("all_pairs", "top_bottom"):
        chosen = preset("stable", objective=objective, heads=HEADS, pairs=pairs, top_k=2)
        assert_close(loss_of(moved, chosen), loss_of(scene, chosen))
        assert_close(gradient(moved, chosen), gradient(scene, chosen)[:, order])


@pytest.mark.parametrize("objective", EVERY)
@pytest.mark.parametrize("group_reduce", ["sum", "mean"])
def test_finite_differences_agree_with_autograd(scene, objective, group_reduce):
    chosen = preset("stable", objective=objective, heads=HEADS, group_reduce=group_reduce, beta=2.0, neg_scale=0.5)
    assert torch.autograd.gradcheck(lambda policy: loss_of(scene, chosen, policy=policy), (scene[0],), fast_mode=True)


@pytest.mark.parametrize("objective", EVERY)
def test_single_precision_agrees_with_double(scene, objective):
    chosen = preset("stable", objective=objective, heads=HEADS, beta=2.0)
    own, noise, reference, advantages = scene
    single = (own.detach().float().requires_grad_(), noise.float(), reference.float(), advantages)
    assert_close(gradient(single, chosen).double(), gradient(scene, chosen), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("objective", EVERY)
def test_constant_scores_give_no_gradient_and_no_nan(scene, objective):
    own, noise, reference, _ = scene
    flat = group_advantages(torch.full((3, 6), 70.0).double())
    chosen = preset("stable", objective=objective, heads=HEADS)
    assert gradient((own, noise, reference, flat), chosen).eq(0).all()
    watched = alignment_loss(noise_errors(own, noise, reference, heads=HEADS), flat, chosen).diagnostics
    assert watched["groups/dropped"] == 3
    assert all(value.isfinite() for value in watched.values())


def test_a_dropped_group_leaves_no_trace(scene):
    policy, noise, reference, advantages = scene
    dropped = advantages._replace(kept=torch.tensor([True, False, True]))
    spoilt = policy.detach().clone()
    spoilt[1] = 1e9
    chosen = preset("stable", heads=HEADS)
    found = gradient((spoilt.requires_grad_(), noise, reference, dropped), chosen)
    assert found[1].eq(0).all()
    assert_close(found[[0, 2]], gradient((policy, noise, reference, dropped), chosen)[[0, 2]])


# --- what keeps it bounded ----------------------------------------------------------------------------------


def test_kappa_above_the_largest_loss_weight_keeps_the_linear_loss_above_its_bound(scene):
    """kappa > c max(-A): loss >= -sum_i c^2 A_i^2 |e_i|^2 / (kappa + c A_i), e = eps_ref - eps."""
    _, noise, reference, advantages = scene
    c, kappa = 2.0, 2.2 * float(-advantages.values.min())
    chosen = settings("linear", beta=c, kappa_per_beta=kappa / c)
    weight = c * advantages.values[..., None]
    start = noise_errors(reference, noise, reference, heads=HEADS).policy
    bound = -(weight.square() * start / (kappa + weight)).sum((1, 2)).mean()
    random = torch.Generator().manual_seed(2)
    for scale in (0.1, 1.0, 10.0, 100.0):
        policy = reference + scale * torch.randn(reference.shape, generator=random, dtype=torch.float64)
        assert loss_of(scene, chosen, policy=policy) >= bound
    best = reference - c * advantages.values[..., None] * (reference - noise) / (kappa + weight)
    assert_close(loss_of(scene, chosen, policy=best), bound)


def test_without_kappa_the_linear_loss_has_no_floor(scene):
    losers = (scene[3].values < 0)[..., None]
    away = scene[2] + 1e3 * losers
    assert loss_of(scene, settings("linear"), policy=away) < -1e4


def test_clipped_ratio_never_falls_below_its_floor(scene):
    advantages = scene[3].values
    floor = -2 * 0.2 * 2 * advantages.clamp(min=0).sum(1).mean()  # two heads
    for scale in (0.1, 1.0, 10.0):
        policy = scene[2] + scale * torch.randn(scene[2].shape, generator=torch.Generator().manual_seed(3))
        assert loss_of(scene, settings("ratio", clip_eps=0.2), policy=policy) >= floor


def test_a_stopped_ratio_has_no_gradient_however_far_it_went():
    """exp(1000) overflows: what clipping has stopped must not come back as NaN."""
    change = torch.tensor([[[-1e3], [0.0], [0.0], [1e3]]], dtype=torch.float64, requires_grad=True)
    errors = GroupErrors(1 + change, torch.ones(1, 4, 1).double(), torch.zeros(1, 4, 1).double())
    chosen = settings("ratio", clip_eps=0.2, heads=(Head(name="all", dims=1),))
    loss, watched = alignment_loss(errors, judged([1.0, 0.5, -0.5, -1.0]), chosen)
    assert_close(loss.item(), -(1.2 + 0.5 - 0.5 - 0.8))
    assert torch.autograd.grad(loss, change)[0].flatten().tolist() == [0.0, 0.5, -0.5, 0.0]
    assert watched["clip_fraction"] == 0.5


def test_nft_is_convex_and_bounded_for_any_kappa(scene):
    """sum_i 2 A e.d + kappa |d|^2 >= -sum_i A^2 |e|^2 / kappa, at d = -A e / kappa."""
    _, noise, reference, advantages = scene
    kappa, values = 0.01, advantages.values[..., None]
    chosen = settings("nft", kappa_per_beta=kappa)
    start = noise_errors(reference, noise, reference, heads=HEADS).policy
    bound = -(values.square() * start / kappa).sum((1, 2)).mean()
    random = torch.Generator().manual_seed(2)
    for scale in (0.1, 10.0, 1000.0):
        policy = reference + scale * torch.randn(reference.shape, generator=random, dtype=torch.float64)
        assert loss_of(scene, chosen, policy=policy) >= bound
    best = reference - values * (reference - noise) / kappa
    assert_close(loss_of(scene, chosen, policy=best), bound)


def test_convexity_margin_by_hand(scene):
    def margin(chosen):
        own, noise, reference, advantages = scene
        errors = noise_errors(own, noise, reference, heads=HEADS)
        return alignment_loss(errors, advantages, chosen).diagnostics["convexity_margin"].item()

    worst = scene[3].values.min().item()
    assert margin(settings("linear", beta=2.0)) == pytest.approx(2 * worst)
    assert margin(settings("linear", beta=2.0, kappa_per_beta=0.5, pref_weight=3.0)) == pytest.approx(
        3 * (2 * worst + 1)
    )
    assert margin(settings("linear", anchor_weight=0.6)) == pytest.approx(worst + 0.6 / 6)
    assert margin(settings("linear", kappa_per_beta="auto")) > 0
    assert margin(settings("nft", beta=2.0, kappa_per_beta=0.3)) == pytest.approx(0.6)


# --- what to watch ------------------------------------------------------------------------------------------


def test_diagnostics_by_hand():
    policy = torch.tensor([[[1.1], [0.8], [1.3]], [[1.0], [1.0], [1.0]]], dtype=torch.float64)
    policy.requires_grad_()
    errors = GroupErrors(policy, torch.ones_like(policy), torch.full_like(policy, 0.25))
    advantages = judged([1.0, 0.5, -1.5], [2.0, -2.0, 0.0], kept=[True, False])
    chosen = settings("log_sigmoid", beta=2.0, kappa_per_beta=0.1, anchor_weight=0.5, heads=(Head(name="all", dims=1),))
    loss, watched = alignment_loss(errors, advantages, chosen)
    assert loss.requires_grad and not any(value.requires_grad for value in watched.values())
    expected = {
        "S/all": -0.45,
        "median_abs_beta_s": 0.9,
        "winner_change/all": -0.05,
        "loser_change/all": 0.3,
        "policy_error/all": 3.2 / 3,
        "distance/all": 0.25,
        "loss/preference": math.log1p(math.exp(-0.9)),
        "loss/kappa": 0.2 * 0.75,
        "loss/anchor": 0.5 * 3.2 / 3,
        "advantage_sum": 0.0,
        "groups/kept": 1,
        "groups/dropped": 1,
        "abstentions": 0,
    }
    assert {name: watched[name].item() for name in expected} == pytest.approx(expected, abs=1e-12)
    assert loss.item() == pytest.approx(sum(expected[f"loss/{part}"] for part in ("preference", "kappa", "anchor")))


def test_without_reference_only_what_is_known_is_told(scene):
    own, noise, _, advantages = scene
    watched = alignment_loss(noise_errors(own, noise, heads=HEADS), advantages, settings("linear")).diagnostics
    assert "policy_error/joints" in watched and "S/joints" not in watched and "distance/joints" not in watched
