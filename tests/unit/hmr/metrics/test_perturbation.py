import numpy as np
import pytest
import torch
from roma import rotmat_to_rotvec

from hmr.metrics.evaluation import TrueBodies
from hmr.metrics.perturbation import BETAS, MOST, POSE, ROOT, mixed_levels, perturb


def bodies(count: int) -> TrueBodies:
    random = torch.Generator().manual_seed(0)
    turns = torch.linalg.qr(torch.randn(count, 24, 3, 3, generator=random)).Q
    turns = turns * torch.linalg.det(turns)[..., None, None]
    return TrueBodies(turns, torch.randn(count, 10, generator=random), torch.randn(count, 3, generator=random))


@pytest.mark.parametrize("level", [1.0, 3.0])
def test_noise_has_the_spread_of_its_level(level):
    truth = bodies(200)
    found = perturb(truth, torch.full((200, 8), level), torch.Generator().manual_seed(1))
    turned = truth.rotations[:, None].transpose(-1, -2) @ found.rotations
    noise = rotmat_to_rotvec(turned)
    assert noise[:, :, 1:].std().item() == pytest.approx(POSE * level, rel=0.02)
    assert noise[:, :, 0].std().item() == pytest.approx(ROOT * level, rel=0.05)
    assert (found.betas - truth.betas).std().item() == pytest.approx(BETAS * level, rel=0.06)
    torch.testing.assert_close(found.translation, truth.translation[:, None].expand(200, 8, 3))


def test_level_zero_is_the_truth():
    truth = bodies(3)
    found = perturb(truth, torch.zeros(3, 2), torch.Generator().manual_seed(1))
    torch.testing.assert_close(found.rotations, truth.rotations[:, None].expand(3, 2, 24, 3, 3))
    torch.testing.assert_close(found.betas, truth.betas)


def test_the_same_seed_gives_the_same_groups():
    truth, levels = bodies(2), torch.full((2, 3), 2.0)
    first, second = (perturb(truth, levels, torch.Generator().manual_seed(4)) for _ in range(2))
    for a, b in zip(first, second):
        torch.testing.assert_close(a, b, rtol=0, atol=0)


def test_levels_are_uniform_in_their_logarithm():
    levels = mixed_levels(500, 20, torch.Generator().manual_seed(0)).numpy()
    assert levels.min() >= 1 and levels.max() <= MOST
    counts = np.histogram(np.log2(levels), bins=4, range=(0, 4))[0] / levels.size
    np.testing.assert_allclose(counts, 0.25, atol=0.02)
