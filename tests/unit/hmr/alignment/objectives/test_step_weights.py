import pytest
import torch
from torch.testing import assert_close

from hmr.alignment.objectives import GroupErrors, ObjectiveSettings, step_weights
from hmr.diffusion.noise_schedule import alpha_bars

TABLE = alpha_bars().double()
STEPS = torch.tensor([0, 1, 333, 500, 999])
ONE = torch.tensor(1.0, dtype=torch.float64)


def weights(name, steps=STEPS, spread=ONE):
    return step_weights(ObjectiveSettings(lambda_t=name), steps, TABLE, spread)


def mean_squares(a, b):
    return (a - b).square().mean(-1)


@pytest.fixture
def predictions():
    """Noise predicted and true at each step, the x_t that they belong to, and abar of the step."""
    random = torch.Generator().manual_seed(0)
    x_t, predicted, true = (torch.randn(5, 3, generator=random, dtype=torch.float64) for _ in range(3))
    return x_t, predicted, true, TABLE[STEPS][:, None]


def test_constant_by_default():
    assert ObjectiveSettings().lambda_t == "const"
    assert weights("const").tolist() == [1.0] * 5


def test_x0_weights_count_errors_of_x0(predictions):
    """||x0 error||^2 = ||eps error||^2 / SNR: the weight less one, in squared spreads."""
    x_t, predicted, true, kept = predictions
    x0, x0_true = ((x_t - (1 - kept).sqrt() * eps) / kept.sqrt() for eps in (predicted, true))
    spread = torch.tensor(7.0, dtype=torch.float64)
    counted = (weights("x0", spread=spread) - 1) * spread**2 * mean_squares(predicted, true)
    assert_close(counted, mean_squares(x0, x0_true))


def test_x0_weights_at_unit_spread_are_the_error_of_v(predictions):
    """v = sqrt(abar) eps - sqrt(1 - abar) x0 has L_v = L_eps / abar."""
    x_t, predicted, true, kept = predictions

    def velocity(eps):
        return kept.sqrt() * eps - (1 - kept).sqrt() * (x_t - (1 - kept).sqrt() * eps) / kept.sqrt()

    assert_close(weights("x0") * mean_squares(predicted, true), mean_squares(velocity(predicted), velocity(true)))


def test_elbo_weights_are_the_divergence_of_the_reverse_steps(predictions):
    """T KL between two reverse steps of variance beta_t, whose means follow from two noises (DDPM, Eqs. 7, 8)."""
    x_t, predicted, true, kept = predictions
    before = torch.cat([torch.ones(1, dtype=torch.float64), TABLE])[STEPS][:, None]
    beta = 1 - kept / before

    def mean(eps):
        x0 = (x_t - (1 - kept).sqrt() * eps) / kept.sqrt()
        return (before.sqrt() * beta * x0 + (1 - beta).sqrt() * (1 - before) * x_t) / (1 - kept)

    divergence = 1000 * mean_squares(mean(predicted), mean(true)) / (2 * beta[:, 0])
    assert_close(weights("elbo") * mean_squares(predicted, true), divergence)


def test_min_snr_by_hand():
    snr = TABLE[STEPS] / (1 - TABLE[STEPS])
    assert_close(weights("min_snr"), snr.clamp(max=5) / snr)
    assert weights("min_snr")[-1] == 1 and weights("min_snr")[0] < 1e-3


@pytest.mark.parametrize("name", ["const", "x0", "min_snr", "elbo"])
def test_each_hypothesis_may_have_a_step_of_its_own(name):
    steps = torch.stack([STEPS, STEPS.flip(0)])
    got = weights(name, steps)
    assert_close(got, torch.stack([weights(name), weights(name).flip(0)]))
    error = torch.ones(2, 5, 2, dtype=torch.float64)
    weighted = GroupErrors(error, error, None).weighted(got)
    assert_close(weighted.policy, got[..., None].expand(2, 5, 2))
    assert weighted.distance is None
    groups = GroupErrors(error).weighted(got[:, 0]).policy
    assert_close(groups, got[:, :1, None].expand(2, 5, 2))
