import math
from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from hmr.diffusion.condition import Condition
from hmr.diffusion.latent import DIMS
from hmr.diffusion.noise_predictor import ResidualMlp
from hmr.diffusion.noise_schedule import DATA_SCALE, alpha_bars, diffuse, sampler_steps
from hmr.diffusion.sampler import NoiseStreams, SamplerError, SamplerSettings, denoise, draw_latents, group_seeds

SOLVERS = [SamplerSettings(), SamplerSettings(eta=1), SamplerSettings(solver="second_order", calls=6)]


def condition(images: int) -> Condition:
    generator = torch.Generator().manual_seed(5)
    return Condition(
        torch.zeros(images, 10),
        {"features": torch.randn(images, 256, generator=generator),
         "mean": 10 * torch.randn(images, DIMS, generator=generator)},
    )  # fmt: skip


def seeds_of(images: int, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Seeds and zero starts of groups whose hypothesis 0 starts from zero noise."""
    zero = torch.zeros(images, size, dtype=torch.bool)
    zero[:, 0] = True
    return torch.from_numpy(group_seeds(1, "round0", [f"p{i}" for i in range(images)], size)), zero


def seen(images: int) -> torch.Tensor:
    """Landmarks that are all sure, somewhere in the crop."""
    marks = torch.rand(images, 33, 4, generator=torch.Generator().manual_seed(2)) - 0.5
    marks[..., 3] = 1
    return marks


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


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_the_default_is_plain_ddim_bit_for_bit(predictor, temperature):
    noise, details, table = torch.randn(3, 5, DIMS), condition(3), alpha_bars()
    wanted, visited = noise, [999, 666, 333, 0]
    for call, step in enumerate(visited):
        with torch.no_grad():
            predicted = predictor(wanted, torch.full((3, 5), step), details)
        clean = (wanted - (1 - table[step]).sqrt() * predicted) / table[step].sqrt()
        after = table[visited[call + 1]] if call < 3 else torch.tensor(1.0)
        wanted = after.sqrt() * clean + (1 - after).sqrt() * predicted * (temperature if call == 0 else 1.0)
    assert torch.equal(denoise(predictor, details, noise, SamplerSettings(temperature=temperature)), wanted)


def test_a_predictor_that_knows_x0_is_followed_exactly():
    x0 = torch.randn(2, 3, DIMS)

    def knows(latents, steps, condition):
        kept = alpha_bars()[steps][..., None]
        return (latents - kept.sqrt() * x0) / (1 - kept).sqrt()

    for settings in (SamplerSettings(temperature=2.5), *SOLVERS):
        got = draw_latents(knows, condition(2), *seeds_of(2, 3), settings)
        assert_close(got, x0, atol=2e-3, rtol=0)


# --- a Gaussian, whose probability-flow equation has a known solution -----------------------------------------

MEAN, STD = 3.0, 2.0


def gaussian(latents, steps, condition):
    """The exact noise of N(MEAN, STD^2): E[noise | x_t]."""
    kept = alpha_bars()[steps][..., None].to(latents.dtype)
    return (1 - kept).sqrt() * (latents - kept.sqrt() * MEAN) / (kept * STD**2 + 1 - kept)


def exact(noise: torch.Tensor) -> torch.Tensor:
    """The flow keeps how many standard deviations x_t lies from its mean, down to step 0; then E[x0 | x_0]."""
    first, last = (alpha_bars()[step].to(noise.dtype) for step in (999, 0))
    deviations = (noise - first.sqrt() * MEAN) / (first * STD**2 + 1 - first).sqrt()
    return MEAN + last.sqrt() * STD**2 / (last * STD**2 + 1 - last).sqrt() * deviations


def test_orders_of_the_solvers():
    noise = torch.randn(1, 8, DIMS, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    calls = (50, 100, 200, 400)
    slopes = {}
    for solver in ("ddim", "second_order"):
        errors = [
            (denoise(gaussian, condition(1), noise, SamplerSettings(calls=n, solver=solver)) - exact(noise))
            .abs()
            .mean()
            for n in calls
        ]
        slopes[solver] = -torch.tensor(errors).log().diff().mean().item() / math.log(2)
    assert 0.8 < slopes["ddim"] < 1.3  # measured: 0.98
    assert 1.7 < slopes["second_order"] < 2.4  # measured: 2.09


@pytest.mark.parametrize("eta", [0.5, 1.0])
def test_fresh_noise_keeps_mean_and_variance(eta):
    seeds, zero = seeds_of(1, 100)
    settings = SamplerSettings(calls=300, eta=eta)  # fewer lose variance, as they should: 4 % with a hundred
    got = draw_latents(gaussian, condition(1), seeds, torch.zeros_like(zero), settings)
    count = got.numel()
    assert got.mean().item() == pytest.approx(MEAN, abs=4 * STD / count**0.5)
    assert got.std().item() == pytest.approx(STD, rel=0.03)
    assert (got - exact(NoiseStreams(seeds, torch.zeros_like(zero)).draw())).std() > 0.5 * STD  # another sample


@pytest.mark.parametrize("settings", SOLVERS)
def test_a_zero_start_is_free_of_noise(predictor, settings):
    details, (seeds, zero) = condition(2), seeds_of(2, 4)
    got = draw_latents(predictor, details, seeds, zero, settings)
    other = draw_latents(predictor, details, seeds + 1, zero, settings)
    assert torch.equal(got[:, 0], other[:, 0])
    assert (got[:, 1:] - other[:, 1:]).abs().amax((1, 2)).min() > 0.1
    plain = draw_latents(predictor, details, seeds, zero, SamplerSettings(calls=settings.calls, solver=settings.solver))
    assert_close(got[:, 0], plain[:, 0])  # and eta is no concern of it


# --- seeds, batches, memory -------------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [*SOLVERS, SamplerSettings(guidance=0.6)])
def test_a_hypothesis_does_not_depend_on_its_company(predictor, settings):
    details, (seeds, zero), marks = condition(4), seeds_of(4, 6), seen(4)
    together = draw_latents(predictor, details, seeds, zero, settings, landmarks=marks)
    for rows in (1, 4, 7, 13):
        assert_close(
            draw_latents(predictor, details, seeds, zero, settings, landmarks=marks, rows=rows), together,
            atol=1e-4, rtol=1e-5,
        )  # fmt: skip
    one = torch.tensor([2])
    alone = draw_latents(
        predictor, details.select(one), seeds[2:3, 1:3], zero[2:3, 1:3], settings, landmarks=marks[2:3]
    )
    assert_close(together[2:3, 1:3], alone, atol=1e-4, rtol=1e-5)


def test_the_network_never_sees_more_rows_than_asked(predictor):
    sizes, prepared = [], []

    class Watched:
        def prepare(self, condition: Condition) -> Condition:
            prepared.append(len(condition.betas))
            return Condition(condition.betas, {**condition.context, "ready": condition.betas})

        def __call__(self, latents, steps, condition):
            assert "ready" in condition.context
            sizes.append(latents.shape[:2])
            return predictor(latents, steps, condition)

    found = draw_latents(Watched(), condition(3), *seeds_of(3, 200), SamplerSettings(), rows=96)
    assert found.shape == (3, 200, DIMS) and found.isfinite().all()
    assert set(sizes) == {(1, 96), (1, 8)} and len(sizes) == 3 * 3 * 4
    assert prepared == [1, 1, 1]  # once for each image, whatever the calls and the size of the group
    sizes.clear()
    draw_latents(Watched(), condition(3), *seeds_of(3, 20), SamplerSettings(), rows=96)
    assert sizes == [(3, 20)] * 4


def test_a_group_of_200_holds_the_group_of_20(predictor):
    large, small = (draw_latents(predictor, condition(2), *seeds_of(2, size)) for size in (200, 20))
    assert_close(large[:, :20], small, atol=1e-4, rtol=1e-5)


def test_seeds_depend_on_run_draw_group_and_place():
    seeds = group_seeds(0, "round0", ["a", "b"], 3)
    assert len(set(seeds.ravel().tolist())) == 6
    assert (seeds == group_seeds(0, "round0", ["a", "b"], 5)[:, :3]).all()
    assert not (seeds == group_seeds(1, "round0", ["a", "b"], 3)).any()
    assert not (seeds == group_seeds(0, "round1", ["a", "b"], 3)).any()


def test_streams_start_with_the_noise_of_the_seed_and_zero_starts_stay_zero():
    streams = NoiseStreams(torch.tensor([[1, 2]]), torch.tensor([[True, False]]))
    first, second = streams.draw(), streams.draw()
    assert torch.equal(first[0, 1], torch.randn(DIMS, generator=torch.Generator().manual_seed(2)))
    assert first[0, 0].abs().sum() == second[0, 0].abs().sum() == 0
    assert (first[0, 1] - second[0, 1]).abs().min() > 0


# --- settings ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"calls": 1}, "calls = 1 must be from 2 to 1000"),
        ({"calls": 1001}, "calls = 1001 must be"),
        ({"eta": 1.5}, "eta = 1.5 must be from 0 to 1"),
        ({"eta": math.nan}, "eta = nan must be"),
        ({"temperature": 0}, "temperature = 0 must be above 0"),
        ({"guidance": -0.1}, "guidance = -0.1 must be from 0 to 1"),
        ({"eta": 0.5, "solver": "second_order"}, "eta = 0.5 belongs to solver ddim"),
    ],
)
def test_settings_that_do_not_fit_are_refused(given, says):
    with pytest.raises(SamplerError, match=says):
        SamplerSettings(**given)


def test_eta_and_guidance_say_what_they_lack(predictor):
    with pytest.raises(SamplerError, match="needs the landmarks"):
        draw_latents(predictor, condition(1), *seeds_of(1, 2), SamplerSettings(guidance=0.5))
    with pytest.raises(SamplerError, match="needs the streams"):
        denoise(predictor, condition(1), torch.zeros(1, 2, DIMS), SamplerSettings(eta=0.5))


@pytest.mark.parametrize("settings", SOLVERS)
def test_zero_noise_ends_in_one_place_at_any_temperature(predictor, settings):
    details, (seeds, _) = condition(2), seeds_of(2, 3)
    zero = torch.tensor([[True, False, False]] * 2)
    cold, hot = (draw_latents(predictor, details, seeds, zero, replace(settings, temperature=t)) for t in (1.0, 3.0))
    assert torch.equal(cold[:, 0], hot[:, 0]) and not torch.equal(cold[:, 1:], hot[:, 1:])


def test_temperature_spreads_the_group(predictor):
    seeds, zero = seeds_of(1, 40)
    details, zero = condition(1), torch.zeros_like(zero)
    narrow, wide = (
        draw_latents(predictor, details, seeds, zero, SamplerSettings(temperature=t)).std(1).mean() for t in (1.0, 2.5)
    )
    assert wide > 1.2 * narrow


def test_full_guidance_puts_sure_joints_on_their_landmarks(predictor):
    marks = seen(2)
    marks[0, 15, 3] = 0.4  # the left wrist of the first person is a guess
    settings = SamplerSettings(guidance=1)
    got = draw_latents(predictor, condition(2), *seeds_of(2, 5), settings, landmarks=marks) / DATA_SCALE
    knee, wrist = (got[..., 3 * joint : 3 * joint + 2] for joint in (4, 20))
    assert_close(knee, marks[:, None, 25, :2].expand_as(knee), atol=1e-4, rtol=0)
    assert_close(wrist[1], marks[None, 1, 15, :2].expand(5, 2), atol=1e-4, rtol=0)
    assert (wrist[0] - marks[0, 15, :2]).norm(dim=-1).min() > 0.05


def test_preconditioning_gives_back_the_noise_of_the_mean(predictor):
    """With F = 0 the answer for x0 lies between the mean and y; at much noise it is the mean itself."""
    plain = ResidualMlp(width=32, blocks=1)  # its last layer starts at zero
    details = condition(1)
    x0 = details.context["mean"][:, None].expand(1, 4, DIMS)
    noise = torch.randn(1, 4, DIMS)
    steps = torch.full((1, 4), 999)
    got = plain(diffuse(x0, noise, steps, alpha_bars()), steps, details)
    assert_close(got, noise, atol=0.03, rtol=0)


def test_temperatures_of_a_group_are_spread_evenly_in_their_logarithm_and_belong_to_the_seeds():
    seeds, zero = seeds_of(50, 81)
    found = NoiseStreams(seeds, zero).temperatures(1.5, 2.0)
    assert (found[:, 0] == 1).all()  # zero starts
    places = torch.log2(found[:, 1:] / 1.5)
    assert -1 <= places.min() < -0.99 and 0.99 < places.max() <= 1
    assert places.mean().abs() < 0.03 and abs(places.var() - 1 / 3) < 0.02  # 4,000 draws of U(-1, 1)
    order = torch.randperm(81, generator=torch.Generator().manual_seed(0))
    shuffled = NoiseStreams(seeds[:, order], zero[:, order]).temperatures(1.5, 2.0)
    assert_close(shuffled, found[:, order], rtol=0, atol=0)


@torch.no_grad()
def test_a_spread_of_temperatures_gives_each_hypothesis_what_its_own_temperature_gives(predictor):
    seeds, zero = seeds_of(2, 5)
    spread = SamplerSettings(temperature=1.5, temperature_spread=3)
    group = draw_latents(predictor, condition(2), seeds, zero, spread)
    heats = NoiseStreams(seeds, zero).temperatures(1.5, 3)
    for image, member in ((0, 1), (1, 4)):
        alone = draw_latents(
            predictor, condition(2), seeds, zero, SamplerSettings(temperature=float(heats[image, member]))
        )
        assert_close(group[image, member], alone[image, member], rtol=0, atol=1e-4)
    assert_close(draw_latents(predictor, condition(2), seeds, zero, spread, rows=3), group, rtol=0, atol=1e-4)
    plain = draw_latents(predictor, condition(2), seeds, zero, SamplerSettings(temperature=1.5))
    assert_close(group[:, 0], plain[:, 0], rtol=0, atol=0)  # from zero noise: as ever
    assert (group[:, 1:] - plain[:, 1:]).abs().max() > 1e-3


def test_a_spread_of_temperatures_needs_seeds_and_a_factor_of_one_or_more(predictor):
    with pytest.raises(SamplerError, match=r"temperature_spread = 0\.5 must be 1 or more"):
        SamplerSettings(temperature_spread=0.5)
    with pytest.raises(SamplerError, match="temperature_spread = 2 needs the streams"):
        denoise(predictor, condition(1), torch.randn(1, 2, DIMS), SamplerSettings(temperature_spread=2))
