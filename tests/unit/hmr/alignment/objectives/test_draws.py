import pytest
import torch
from torch.testing import assert_close

from hmr.alignment.advantage import group_advantages
from hmr.alignment.objectives import (
    Head,
    ObjectiveSettings,
    alignment_loss,
    draw_steps_and_noise,
    noise_errors,
)

SETTINGS = ObjectiveSettings(
    objective="linear",
    beta=1.0,
    kappa_per_beta=0.0,
    anchor_weight=0.0,
    heads=(Head(name="all", dims=2),),
    timesteps=(3, 6),
)


def changed(**changes):
    return SETTINGS.model_copy(update=changes)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def steps_of(settings, images):
    return draw_steps_and_noise(settings, seeded(), (images, 4, 2)).steps[:, 0]


def test_steps_cover_the_range_low_included_high_not():
    drawn = steps_of(SETTINGS, 200)
    assert drawn.shape == (200,)
    assert drawn.unique().tolist() == [3, 4, 5]


def test_the_same_seed_draws_the_same():
    first, again = (draw_steps_and_noise(SETTINGS, seeded(), (9, 4, 2)) for _ in range(2))
    assert first.steps.equal(again.steps) and first.noise.equal(again.noise)
    assert first.noise.shape == (9, 4, 2) and first.noise.dtype == torch.float32


@pytest.mark.parametrize("share_t", [True, False])
@pytest.mark.parametrize("share_noise", [True, False])
def test_a_group_shares_what_the_settings_say(share_t, share_noise):
    chosen = changed(share_t=share_t, share_noise=share_noise, timesteps=(0, 1000))
    steps, noise = draw_steps_and_noise(chosen, seeded(), (8, 5, 3))
    assert (steps == steps[:, :1]).all() == share_t
    assert (noise == noise[:, :1]).all() == share_noise
    assert len(steps[:, 0].unique()) > 1 and len(noise[:, 0].unique(dim=0)) == 8  # groups never share


@pytest.mark.parametrize("bounds", [(0, 1000), (500, 1000), (3, 6)])
@pytest.mark.parametrize("images", [1, 7, 8])
def test_antithetic_steps_come_in_mirrored_pairs(bounds, images):
    chosen = changed(antithetic=True, timesteps=bounds)
    steps = steps_of(chosen, images)
    half = (images + 1) // 2
    assert steps.shape == (images,)
    assert (steps[: images - half] + steps[half:] == bounds[0] + bounds[1] - 1).all()
    assert ((steps >= bounds[0]) & (steps < bounds[1])).all()


def test_antithetic_steps_are_uniform_and_steadier():
    """Each step alone is as likely as any; the mean of a batch of even size is exact."""
    whole = changed(timesteps=(0, 1000))
    steps = steps_of(whole.model_copy(update={"antithetic": True}), 20_000)
    assert steps.double().mean() == 499.5
    counts = steps.bincount(minlength=1000).double()
    assert abs(counts.var() / counts.mean() - 1) < 0.25  # as Poisson counts
    assert steps_of(whole, 20_000).double().mean() != 499.5


def test_a_shared_draw_has_the_mean_gradient_of_independent_draws_and_less_variance():
    """A linear policy eps = W x_t on fixed groups of 6; the gradient of W over 4,000 draws of noise."""
    members, draws = 6, 4000
    x0 = 2 * torch.randn(members, 2, generator=seeded(1), dtype=torch.float64)
    scores = 100 * torch.rand(1, members, generator=seeded(2), dtype=torch.float64)
    advantages = group_advantages(scores.expand(draws, -1), min_std=0.0)
    weights = torch.eye(2, dtype=torch.float64).expand(draws, 2, 2).clone().requires_grad_()

    def gradients(chosen, seed):
        noise = draw_steps_and_noise(chosen, seeded(seed), (draws, members, 2)).noise.double()
        errors = noise_errors((0.8 * x0 + 0.6 * noise) @ weights, noise, heads=chosen.heads)
        return torch.autograd.grad(alignment_loss(errors, advantages, chosen, images=1).loss, weights)[0]

    shared, apart = gradients(SETTINGS, 3), gradients(changed(share_noise=False), 4)
    error = (shared.var(0) / draws + apart.var(0) / draws).sqrt()
    assert ((shared.mean(0) - apart.mean(0)).abs() < 4 * error).all()
    assert shared.var(0).sum() < 0.7 * apart.var(0).sum()


def test_sharing_takes_out_the_common_part():
    """With no difference between the members, a shared draw leaves nothing to learn, and no noise."""
    policy = torch.zeros(1, 4, 2, requires_grad=True)
    advantages = group_advantages(torch.tensor([[0.0, 30.0, 60.0, 90.0]]))

    def loss(chosen):
        noise = draw_steps_and_noise(chosen, seeded(), (1, 4, 2)).noise
        return alignment_loss(noise_errors(policy, noise, heads=chosen.heads), advantages, chosen).loss

    assert_close(loss(SETTINGS), torch.tensor(0.0), atol=1e-6, rtol=0)
    assert loss(changed(share_noise=False)).abs() > 0.1
