import pytest
import torch
from torch.testing import assert_close

from hmr.condition import Condition
from hmr.latent import DIMS
from hmr.noise_predictor import ResidualMlp
from hmr.noise_schedule import alpha_bars, diffuse, sampler_steps
from hmr.sampler import ddim, group_seeds, start_noise


def condition(images: int) -> Condition:
    generator = torch.Generator().manual_seed(5)
    return Condition(
        torch.zeros(images, 10),
        {"features": torch.randn(images, 256, generator=generator),
         "mean": 10 * torch.randn(images, DIMS, generator=generator)},
    )  # fmt: skip


@pytest.fixture(scope="module")
def predictor() -> ResidualMlp:
    torch.manual_seed(0)
    made = ResidualMlp(width=32, blocks=1)
    torch.nn.init.normal_(made.final[1].weight, std=0.1)
    return made.eval()


def test_alpha_bars_are_the_published_ones():
    table = alpha_bars()
    got = [table[t].item() for t in (0, 333, 500, 666, 999)]
    assert got == pytest.approx([0.9999, 0.3186, 0.0778, 0.0110, 4.04e-5], rel=5e-3)


def test_four_calls_visit_the_published_steps():
    assert sampler_steps(4) == [999, 666, 333, 0]
    with pytest.raises(ValueError, match="from 2 to 1000"):
        sampler_steps(1)


def test_a_predictor_that_knows_x0_is_followed_exactly():
    x0 = torch.randn(2, 3, DIMS)

    def knows(latents, steps, condition):
        kept = alpha_bars()[steps][..., None]
        return (latents - kept.sqrt() * x0) / (1 - kept).sqrt()

    for temperature in (1.0, 2.5):
        got = ddim(knows, condition(2), torch.randn(2, 3, DIMS), temperature=temperature)
        assert_close(got, x0, atol=2e-3, rtol=0)


def test_a_hypothesis_does_not_depend_on_its_company(predictor):
    seeds = torch.from_numpy(group_seeds(1, "round0", ["a", "b"], 5))
    zero = torch.zeros(2, 5, dtype=torch.bool)
    zero[:, 0] = True
    told = condition(2)
    together = ddim(predictor, told, start_noise(seeds, zero))
    alone = ddim(predictor, told.select(torch.tensor([1])), start_noise(seeds[1:, 2:3], zero[1:, 2:3]))
    assert_close(together[1:, 2:3], alone, atol=1e-4, rtol=1e-5)


def test_seeds_depend_on_run_draw_group_and_place():
    seeds = group_seeds(0, "round0", ["a", "b"], 3)
    assert len(set(seeds.ravel().tolist())) == 6
    assert (seeds == group_seeds(0, "round0", ["a", "b"], 5)[:, :3]).all()
    assert not (seeds == group_seeds(1, "round0", ["a", "b"], 3)).any()
    assert not (seeds == group_seeds(0, "round1", ["a", "b"], 3)).any()


def test_zero_start_is_zero_and_only_there():
    zero = torch.tensor([[True, False]])
    noise = start_noise(torch.tensor([[1, 2]]), zero)
    assert noise[0, 0].abs().sum() == 0 and noise[0, 1].abs().sum() > 0


def test_temperature_spreads_the_group(predictor):
    seeds = torch.from_numpy(group_seeds(0, "x", ["a"], 40))
    noise = start_noise(seeds, torch.zeros(1, 40, dtype=torch.bool))
    narrow, wide = (ddim(predictor, condition(1), noise, temperature=t).std(1).mean() for t in (1.0, 2.5))
    assert wide > 1.2 * narrow


def test_preconditioning_gives_back_the_noise_of_the_mean(predictor):
    """With F = 0 the answer for x0 lies between the mean and y; at much noise it is the mean itself."""
    plain = ResidualMlp(width=32, blocks=1)  # its last layer starts at zero
    told = condition(1)
    x0 = told.memory["mean"][:, None].expand(1, 4, DIMS)
    noise = torch.randn(1, 4, DIMS)
    steps = torch.full((1, 4), 999)
    got = plain(diffuse(x0, noise, steps, alpha_bars()), steps, told)
    assert_close(got, noise, atol=0.03, rtol=0)
