"""Advantages without what nearness to the mean explains: worked by hand, laws, and a Gaussian policy."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hmr.alignment.advantage import Advantages, group_advantages
from hmr.alignment.spread_pull import SpreadPull, spread_pull, without_spread_pull


def groups(images: int, members: int, seed: int, dims: int = 5) -> torch.Tensor:
    return torch.randn(images, members, dims, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def distances(latents: torch.Tensor, pull: SpreadPull) -> torch.Tensor:
    deviations = latents - latents.mean(1, keepdim=True)
    return (deviations.square() / pull.variances).mean(-1)


def standard(values: torch.Tensor) -> torch.Tensor:
    centred = values - values.mean(1, keepdim=True)
    return centred / centred.square().mean(1, keepdim=True).sqrt()


def test_worked_by_hand():
    """Members at -3, -1, 1, 3 have q = 9/5, 1/5, 1/5, 9/5, standardised 1, -1, -1, 1. Advantages 1, 3, -1, -3 over the
    root of 5 correlate with it by (1 - 3 + 1 - 3) / (4 root 5) = -1 / root 5. Left is 2, 2, -2, -2 over the root of 5,
    whose size 2 / root 5 becomes 1 again: the right side alone."""
    latents = torch.tensor([[[-3.0], [-1.0], [1.0], [3.0]]], dtype=torch.float64)
    judged = torch.ones(1, 4, dtype=torch.bool)
    values = torch.tensor([[1.0, 3.0, -1.0, -3.0]], dtype=torch.float64) / 5**0.5
    pull = spread_pull(latents, Advantages(values, torch.ones(1, dtype=torch.bool), judged))
    assert pull.variances.tolist() == [5.0] and pull.slope == pytest.approx(-(5**-0.5))
    left = without_spread_pull(Advantages(values, torch.ones(1, dtype=torch.bool), judged), latents, pull).values
    assert left[0].tolist() == pytest.approx([1.0, 1.0, -1.0, -1.0])


@given(images=st.integers(1, 6), members=st.integers(4, 12), seed=st.integers(0, 999))
def test_neither_sum_nor_pull_is_left_and_the_size_stays(images, members, seed):
    latents = groups(images, members, seed)
    pushed = group_advantages(50 - 9 * distances(latents, SpreadPull(torch.ones(5), 0.0)) + 7 * latents[..., 0])
    pull = spread_pull(latents, pushed)
    left = without_spread_pull(pushed, latents, pull).values
    assert left.sum(1).abs().max() < 1e-9
    assert torch.allclose(left.square().mean(1), pushed.values.square().mean(1))
    far = standard(distances(latents, pull))[pushed.kept]
    before_resizing = standard(pushed.values[pushed.kept]) - pull.slope * far
    assert abs(float((before_resizing * far).sum())) < 1e-6 * images * members


@given(seed=st.integers(0, 999))
def test_order_of_members_and_shifts_of_groups_change_nothing(seed):
    latents = groups(3, 8, seed)
    advantages = group_advantages(50 + 10 * latents[..., 0] + latents[..., 1].square())
    order = torch.randperm(8, generator=torch.Generator().manual_seed(seed))
    pull = spread_pull(latents, advantages)
    left = without_spread_pull(advantages, latents, pull)
    mixed = advantages._replace(values=advantages.values[:, order], judged=advantages.judged[:, order])
    moved = latents[:, order] + groups(3, 1, seed + 1)
    again = spread_pull(moved, mixed)
    assert again.slope == pytest.approx(pull.slope, abs=1e-9)
    assert torch.allclose(without_spread_pull(mixed, moved, again).values, left.values[:, order], atol=1e-9)


def test_a_member_that_nobody_judged_counts_for_nothing():
    latents = groups(2, 6, 1)
    scores = 50 + 10 * latents[..., 0]
    fewer = group_advantages(scores[:, :5])
    scores[:, 5], latents[:, 5] = torch.nan, torch.nan
    all_six = group_advantages(scores)
    pull = spread_pull(latents, all_six)
    assert pull.slope == pytest.approx(spread_pull(latents[:, :5], fewer).slope)
    left = without_spread_pull(all_six, latents, pull).values
    assert (left[:, 5] == 0).all() and left.isfinite().all()
    assert torch.allclose(left[:, :5], without_spread_pull(fewer, latents[:, :5], pull).values)


def test_scores_that_nearness_alone_decides_teach_nothing():
    latents = groups(4, 10, 2)
    near = SpreadPull(latents.sub(latents.mean(1, keepdim=True)).square().mean((0, 1)), 0.0)
    advantages = group_advantages(90 - 10 * distances(latents, near))
    pull = spread_pull(latents, advantages)
    assert pull.slope == pytest.approx(-1.0)
    assert (without_spread_pull(advantages, latents, pull).values == 0).all()


def test_a_gaussian_policy_is_moved_and_not_narrowed():
    """Scores fall with the distance to a target: advantages would shrink the spread; without the pull they move the
    mean alone."""
    latents = groups(4000, 20, 3, dims=3)
    advantages = group_advantages(80 - 20 * (latents - torch.tensor([0.5, 0.0, 0.0])).norm(dim=-1))
    left = without_spread_pull(advantages, latents, spread_pull(latents, advantages)).values
    deviations = latents - latents.mean(1, keepdim=True)

    def change(values: torch.Tensor) -> tuple[float, float]:
        """Gradients of the mean along the target, and of the variance."""
        return float((values * deviations[..., 0]).mean()), float((values[..., None] * deviations.square()).mean())

    (before, narrowing), (moved, still) = change(advantages.values), change(left)
    assert narrowing < -0.2 and abs(still) < 0.1 * abs(narrowing)
    assert moved > before > 0.2
