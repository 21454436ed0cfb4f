import torch
from torch.testing import assert_close

from hmr.advantage import group_advantages
from hmr.objectives import Head, ObjectiveSettings, alignment_loss, draw_noise, draw_timesteps, noise_errors

SETTINGS = ObjectiveSettings(
    objective="linear",
    beta=1.0,
    kappa_per_beta=0.0,
    anchor_weight=0.0,
    heads=(Head(name="all", dims=2),),
    timesteps=(3, 6),
)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_steps_cover_the_range_low_included_high_not():
    drawn = draw_timesteps(SETTINGS, seeded(), 200)
    assert drawn.shape == (200,)
    assert drawn.unique().tolist() == [3, 4, 5]


def test_the_same_seed_draws_the_same():
    assert draw_timesteps(SETTINGS, seeded(), 9).equal(draw_timesteps(SETTINGS, seeded(), 9))
    assert draw_noise(seeded(), 9, 2).equal(draw_noise(seeded(), 9, 2))
    assert draw_noise(seeded(), 9, 2).shape == (9, 1, 2)


def test_a_shared_draw_has_the_mean_gradient_of_independent_draws_and_less_variance():
    """A linear policy eps = W x_t on fixed groups of 6; the gradient of W over 4,000 draws of noise."""
    members, draws = 6, 4000
    x0 = 2 * torch.randn(members, 2, generator=seeded(1), dtype=torch.float64)
    scores = 100 * torch.rand(1, members, generator=seeded(2), dtype=torch.float64)
    advantages = group_advantages(scores.expand(draws, -1), min_std=0.0)
    weights = torch.eye(2, dtype=torch.float64).expand(draws, 2, 2).clone().requires_grad_()

    def gradients(noise):
        x_t = 0.8 * x0 + 0.6 * noise
        errors = noise_errors(x_t @ weights, noise, heads=SETTINGS.heads)
        loss = alignment_loss(errors, advantages, SETTINGS, images=1).loss
        return torch.autograd.grad(loss, weights)[0]

    shared = gradients(draw_noise(seeded(3), draws, 2).double().expand(-1, members, -1))
    apart = gradients(draw_noise(seeded(4), draws * members, 2).double().view(draws, members, 2))
    error = (shared.var(0) / draws + apart.var(0) / draws).sqrt()
    assert ((shared.mean(0) - apart.mean(0)).abs() < 4 * error).all()
    assert shared.var(0).sum() < 0.7 * apart.var(0).sum()


def test_sharing_takes_out_the_common_part():
    """With no difference between the members, a shared draw leaves nothing to learn, and no noise."""
    policy = torch.zeros(1, 4, 2, requires_grad=True)
    advantages = group_advantages(torch.tensor([[0.0, 30.0, 60.0, 90.0]]))
    loss = alignment_loss(
        noise_errors(policy, draw_noise(seeded(), 1, 2), heads=SETTINGS.heads), advantages, SETTINGS
    )
    assert_close(loss.loss, torch.tensor(0.0), atol=1e-6, rtol=0)
