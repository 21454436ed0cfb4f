import pytest
import torch
from torch.nn.functional import mse_loss
from torch.testing import assert_close

from hmr.alignment.advantage import Advantages, group_advantages
from hmr.alignment.objectives import GroupErrors, Head, alignment_loss, centred_noise, noise_errors, preset

HEADS = (Head(name="joints", dims=2), Head(name="twists", dims=1))


def test_means_over_the_dims_of_each_head():
    policy = torch.tensor([[[1.0, 3.0, 2.0], [0.0, 0.0, 0.0]]])
    noise = torch.tensor([[[0.0, 0.0, 1.0]]])
    reference = torch.tensor([[[1.0, 1.0, 2.0], [0.0, 0.0, 4.0]]])
    errors = noise_errors(policy, noise, reference, heads=HEADS)
    assert errors.policy.tolist() == [[[5.0, 1.0], [0.0, 1.0]]]
    assert errors.reference.tolist() == [[[1.0, 1.0], [0.0, 9.0]]]
    assert errors.distance.tolist() == [[[2.0, 0.0], [0.0, 16.0]]]
    assert errors.change.tolist() == [[[4.0, 0.0], [0.0, -8.0]]]


def test_constant_step_weight_is_the_plain_noise_error():
    policy, noise = torch.randn(2, 4, 3), torch.randn(2, 1, 3)
    whole = noise_errors(policy, noise, heads=(Head(name="all", dims=3),))
    assert_close(whole.policy.mean(), mse_loss(policy, noise.expand_as(policy)))


def test_change_is_cross_term_and_distance():
    """D = 2 e.d + |d|^2 with e = eps_ref - eps, d = eps_theta - eps_ref."""
    policy, reference, noise = torch.randn(2, 4, 3), torch.randn(2, 4, 3), torch.randn(2, 1, 3)
    errors = noise_errors(policy, noise, reference, heads=(Head(name="all", dims=3),))
    cross = 2 * ((reference - noise) * (policy - reference)).mean(-1, keepdim=True)
    assert_close(errors.change, cross + errors.distance)


def test_no_gradient_reaches_the_reference():
    policy, reference = torch.randn(1, 4, 3, requires_grad=True), torch.randn(1, 4, 3, requires_grad=True)
    errors = noise_errors(policy, torch.randn(1, 1, 3), reference, heads=HEADS)
    (errors.change + errors.distance).sum().backward()
    assert policy.grad is not None and reference.grad is None


@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
def test_half_precision_is_refused(half):
    full, low = torch.randn(1, 4, 3), torch.randn(1, 4, 3, dtype=half)
    with pytest.raises(TypeError, match=r"policy is .*float16: .*float32"):
        noise_errors(low, full, heads=HEADS)
    with pytest.raises(TypeError, match=r"reference is .*float16"):
        noise_errors(full, full, low, heads=HEADS)
    advantages = Advantages(torch.zeros(1, 4), torch.ones(1).bool(), torch.ones(1, 4).bool())
    with pytest.raises(TypeError, match=r"errors\.policy is"):
        alignment_loss(GroupErrors(low[..., :2]), advantages, preset("paper_eq6", heads=HEADS))


def test_single_precision_stays_under_autocast():
    policy, noise = torch.randn(1, 4, 3), torch.randn(1, 1, 3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        errors = noise_errors(policy, noise, policy + 1e-3, heads=HEADS)
    assert errors.change.dtype == torch.float32
    assert_close(errors.change, noise_errors(policy, noise, policy + 1e-3, heads=HEADS).change, rtol=0, atol=0)


def test_dims_that_do_not_fit_the_heads_are_refused():
    with pytest.raises(ValueError, match=r"133 dims do not split into heads \(joints 2, twists 1: 3 dims\)"):
        noise_errors(torch.zeros(1, 2, 133), torch.zeros(1, 1, 133), heads=HEADS)


def test_errors_of_another_group_size_are_refused():
    advantages = Advantages(torch.zeros(1, 4), torch.ones(1).bool(), torch.ones(1, 4).bool())
    with pytest.raises(ValueError, match=r"shape \(1, 5, 2\).*\(1, 4, 2\)"):
        alignment_loss(GroupErrors(torch.zeros(1, 5, 2)), advantages, preset("paper_eq6", heads=HEADS))


def test_centred_noise_by_hand():
    """The reference errs by 1 and 3 on two members: by 2 on both alike, and by -1 and 1 beyond that."""
    noise = torch.tensor([[[0.0], [1.0]]])
    reference = torch.tensor([[[1.0], [4.0]]])
    centred = centred_noise(noise, reference)
    assert centred.flatten().tolist() == [2.0, 3.0]
    assert (reference - centred).flatten().tolist() == [-1.0, 1.0]


@pytest.mark.parametrize("objective", ["linear", "log_sigmoid", "nft", "pairwise"])
def test_what_the_reference_does_to_all_members_alike_moves_no_gradient(objective):
    """A reference that moves every x_t by the same b, as one round of training makes it; advantages differ by x_t."""
    generator = torch.Generator().manual_seed(0)
    settings = preset("studio", objective=objective, kappa_per_beta=0.1, centre_residuals=True)
    noise, reference, b, away = (torch.randn(2, 6, 133, generator=generator, dtype=torch.float64) for _ in range(4))
    advantages = group_advantages(50 + 10 * torch.randn(2, 6, generator=generator, dtype=torch.float64))

    def gradient(shift: torch.Tensor) -> torch.Tensor:
        details = reference + shift
        policy = (details + 0.1 * away).requires_grad_()
        errors = noise_errors(policy, centred_noise(noise, details), details, heads=settings.heads)
        alignment_loss(errors, advantages, settings).loss.backward()
        assert policy.grad is not None
        return policy.grad

    assert_close(gradient(b[:, :1].expand(2, 6, 133)), gradient(torch.zeros_like(b)))


def test_centred_residuals_need_the_reference_and_no_anchor():
    assert preset("paper_eq6", centre_residuals=True).needs_reference
    with pytest.raises(ValueError, match="centre_residuals: an anchor would pull"):
        preset("stable", centre_residuals=True)
