"""The published networks against the numbers of the original ones, and their quirks one by one."""

import pytest
import torch
from torch.testing import assert_close

from hmr.body.skeleton import CHILDREN, PARENTS
from hmr.diffusion.condition import Condition, Observation
from hmr.diffusion.noise_predictor import NoisePredictor, PreparingPredictor
from hmr.diffusion.sampler import denoise
from hmr.published.attention import linear, sinusoid
from hmr.published.hrnet import HRNetCondition, heat_joints, normalised, sample_local
from hmr.published.hyponet import HypoNet
from hmr.published.plain_hyponet import sample_plainly
from hmr.published.scorenet import ScoreModel, ScoreNet
from hmr.published.token_graph import ATTENTION_REACH, adjacency, linear_mask, within
from tests.golden_networks import deviation, official_names, outputs, recipe_input, with_recipe_weights

NEAR = 1e-4
"""Of the golden array's standard deviation."""


@pytest.fixture(scope="module")
def hyponet() -> HypoNet:
    return with_recipe_weights(HypoNet())


@pytest.fixture(scope="module")
def hrnet() -> HRNetCondition:
    return with_recipe_weights(HRNetCondition())


@pytest.fixture(scope="module")
def condition() -> Condition:
    context = {
        "global": recipe_input("ctx.global", (2, 512, 8, 8), 1),
        "local": recipe_input("ctx.local", (2, 52, 256), 1),
    }
    return Condition(torch.zeros(2, 10), context)


def latents(joints: str, twists: str, size: int, scale: float) -> torch.Tensor:
    parts = [recipe_input(joints, (2 * size, 87), scale), recipe_input(twists, (2 * size, 46), scale)]
    return torch.cat(parts, 1).unflatten(0, (2, size))


def halves(found: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    flat = found.flatten(0, 1)
    return flat[:, :87], flat[:, 87:]


# --- against the original -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("network", "names", "parameters"),
    [(HypoNet, "hyponet", 28_343_173), (HRNetCondition, "hrnet_cond", 75_986_151), (ScoreNet, "scorenet", 53_447_937)],
)
def test_names_shapes_and_their_order_are_the_official_ones(network, names, parameters):
    with torch.device("meta"):
        made = network()
    assert [(n, list(t.shape)) for n, t in made.state_dict().items()] == list(official_names(names).items())
    assert sum(p.numel() for p in made.parameters()) == parameters


def test_the_encoder_of_scorenet_lacks_the_head_for_betas():
    with torch.device("meta"):
        made = ScoreModel().encoder
    assert sum(p.numel() for p in made.parameters()) == 75_965_661
    wanted = [n for n in official_names("hrnet_cond") if not n.startswith(("pred_beta", "init_shape"))]
    assert list(made.state_dict()) == wanted


@torch.no_grad()
def test_hyponet_predicts_what_the_original_does(hyponet, condition):
    found = hyponet(latents("xinj", "xint", 1, 20), torch.tensor([[3], [721]]), condition)
    for part, name in zip(halves(found), ("a_j", "a_t")):
        assert deviation(part, name) < NEAR


@torch.no_grad()
@pytest.mark.parametrize("prepared", [True, False])
def test_hypotheses_share_their_images_memory(hyponet, condition, prepared):
    details = hyponet.prepare(condition) if prepared else condition
    found = hyponet(latents("xinj_m", "xint_m", 3, 20), torch.full((2, 3), 333), details)
    for part, name in zip(halves(found), ("m_j", "m_t")):
        assert deviation(part, name) < NEAR


def test_four_calls_of_ddim_end_where_the_original_does(hyponet, condition):
    found = denoise(hyponet, hyponet.prepare(condition), latents("ddim_j", "ddim_t", 3, 1))
    for part, name in zip(halves(found), ("d_j", "d_t")):
        assert deviation(part, name) < NEAR


@torch.no_grad()
def test_hrnet_sees_what_the_original_does(hrnet):
    lowest, local_map = hrnet.features(recipe_input("img", (1, 3, 256, 256), 1))
    betas = hrnet.pred_beta(hrnet.final_feat_layer(lowest).mean((2, 3))) + hrnet.init_shape
    places = heat_joints(hrnet.hmap_layer(local_map))
    assert deviation(hrnet.fmap_layer(lowest), "h_global") < NEAR
    assert deviation(betas, "h_shape") < NEAR
    assert deviation(places, "h_2d") < NEAR
    # Recipe weights make logits of 85,000, so that the soft-argmax multiplies the rounding of the convolutions: even
    # float64 is 1.5e-4 from the golden features when it samples at its own places. At the original's it is not.
    there = torch.from_numpy(outputs()["h_2d"])
    assert deviation(sample_local(local_map, there[:, None])[:, 0], "h_local") < NEAR
    assert deviation(sample_local(local_map, places[:, None])[:, 0], "h_local") < 10 * NEAR


@torch.no_grad()
def test_scorenet_scores_as_the_original_does():
    network = with_recipe_weights(ScoreNet())
    scores = network(
        50 * recipe_input("score_in", (6, 133), 0.3).unflatten(0, (2, 3)),
        recipe_input("sg", (2, 512, 8, 8), 1),
        recipe_input("sl", (2, 256, 64, 64), 1),
    )
    assert deviation(scores.flatten(), "s_score") < NEAR


@torch.no_grad()
def test_bfloat16_stays_within_three_percent(hyponet, condition):
    # In standard deviations of the output; bf16 keeps 8 bits, so one rounding is 0.4 %.
    noisy, steps = latents("xinj_m", "xint_m", 3, 20), torch.full((2, 3), 333)
    with torch.autocast("cpu", torch.bfloat16):
        found = hyponet(noisy, steps, hyponet.prepare(condition))
    for part, name in zip(halves(found.float()), ("m_j", "m_t")):
        assert deviation(part, name) < 0.03


def test_the_plain_baseline_gives_the_same_samples(hyponet, condition):
    start = latents("ddim_j", "ddim_t", 3, 1)
    plain = sample_plainly(hyponet, condition, start)
    ours = denoise(hyponet, hyponet.prepare(condition), start)
    assert (plain - ours).abs().max() < NEAR * ours.std()


# --- the quirks, one by one ---------------------------------------------------------------------------------


def test_the_networks_stand_behind_the_protocols(hyponet):
    assert isinstance(hyponet, NoisePredictor)
    assert isinstance(hyponet, PreparingPredictor)


def test_blocked_shares_of_the_attention_masks():
    blocked = [1 - float(within(k).double().mean()) for k in ATTENTION_REACH]
    assert [round(share, 3) for share in blocked] == [0.021, 0.077, 0.192, 0.364, 0.560, 0.876]
    assert torch.equal(adjacency(), adjacency().T)
    assert bool(adjacency().diagonal().all())


def test_a_twist_stands_where_its_joint_stands():
    near = adjacency()
    knee = 4
    assert near[28 + knee, :29].nonzero()[:, 0].tolist() == sorted([PARENTS[knee], knee, CHILDREN[knee]])


def test_zeroed_shares_of_the_linear_layers():
    joints, twists = linear_mask(slice(0, 29), 256, 3), linear_mask(slice(29, 52), 256, 2)
    assert (joints.shape, twists.shape) == ((7424, 87), (5888, 46))
    assert round(1 - float(joints.mean()), 3) == 0.825
    assert round(1 - float(twists.mean()), 3) == 0.612


def test_masked_weights_count_as_zero_and_stay_without_gradient(hyponet):
    layer = hyponet.linear_start_j
    assert layer.weight[layer.mask == 0].abs().min() > 0  # the recipe fills them; the checkpoint keeps them
    x = torch.randn(2, 87)
    assert_close(layer(x), torch.nn.functional.linear(x, layer.weight * layer.mask, layer.bias))
    (gradient,) = torch.autograd.grad(layer(x).sum(), layer.weight)
    assert gradient[layer.mask == 0].abs().max() == 0


def test_a_network_of_zeros_predicts_its_input(condition):
    network = HypoNet().eval()
    for parameter in network.parameters():
        torch.nn.init.zeros_(parameter)
    x = latents("xinj_m", "xint_m", 3, 20)
    assert_close(network(x, torch.full((2, 3), 500), condition), x)


@torch.no_grad()
def test_time_enters_once_before_the_first_block(hyponet, condition):
    seen = []
    hooks = [block.register_forward_pre_hook(lambda _, args: seen.append(args[0])) for block in hyponet.blocks]
    x = latents("xinj", "xint", 1, 20)
    for step in (3, 721):
        hyponet(x, torch.full((2, 1), step), condition)
    for hook in hooks:
        hook.remove()
    change = seen[6] - seen[0]  # the first block's input at one step and at the other
    assert_close(change, change[:, :1].expand_as(change), atol=1e-4, rtol=0)
    assert change.abs().max() > 0.01


def test_the_time_code_has_sines_before_cosines():
    code = sinusoid(torch.tensor([0.0, 1.0]), 128)
    assert_close(code[0], torch.cat([torch.zeros(64), torch.ones(64)]))
    assert_close(code[1, [0, 64]], torch.tensor([0.841471, 0.540302]), atol=1e-6, rtol=0)
    assert_close(code[1, 63], torch.tensor(1e-4).sin())


def test_soft_argmax_is_sharpened_and_ends_below_one():
    heat = torch.zeros(1, 1, 64, 64)
    heat[0, 0, 16, 48] = 2.0  # row, column
    chance = torch.e**30 / (torch.e**30 + 64 * 64 - 1)
    place = heat_joints(heat)[0, 0]
    assert_close(
        place, torch.tensor([2 * (48 / 64 - 0.5), 2 * (16 / 64 - 0.5)]), atol=2e-3 * (1 - chance) + 1e-5, rtol=0
    )
    heat[0, 0] = 0
    heat[0, 0, 63, 63] = 10.0
    assert_close(heat_joints(heat)[0, 0], torch.full((2,), 2 * (63 / 64 - 0.5)))
    # Fifteen times sharper: a difference of 0.1 in the map weighs e^1.5.
    two = torch.full((1, 1, 64, 64), -100.0)
    two[0, 0, 0, 0], two[0, 0, 0, 32] = 0.1, 0.0
    share = 1 / (1 + torch.e**1.5)
    assert_close(heat_joints(two)[0, 0, 0], torch.tensor(2 * (32 * share / 64 - 0.5), dtype=torch.float32))


def test_x_and_y_change_places_amid_the_bones():
    side = 64
    columns = torch.arange(side).float().expand(side, -1)
    local_map = torch.stack([columns, columns.T])[None]  # channel 0 tells the column, channel 1 the row
    places = torch.rand(1, 1, 29, 2, generator=torch.Generator().manual_seed(0)) - 0.5
    found = sample_local(local_map, places)[0, 0]
    pixels = (places[0, 0] + 1) / 2 * (side - 1)
    assert_close(found[:29], pixels, atol=1e-3, rtol=0)
    amid = torch.stack([(pixels[PARENTS[j]] + pixels[j]) / 2 for j in range(1, 24)])
    assert_close(found[29:], amid.flip(-1), atol=1e-3, rtol=0)


def test_channels_are_normalised_in_the_published_order():
    picture = torch.zeros(1, 256, 256, 3, dtype=torch.uint8)
    picture[..., 0] = 255  # red
    found = normalised(picture)[0, :, 0, 0]
    assert_close(found, torch.tensor([(1 - 0.406) / 0.225, -0.457 / 0.224, -0.480 / 0.229]))


@torch.no_grad()
def test_the_encoder_reads_observations(hrnet):
    rng = torch.Generator().manual_seed(0)
    observation = Observation(
        picture=torch.randint(0, 256, (2, 256, 256, 3), generator=rng, dtype=torch.uint8),
        mask=torch.zeros(2, 64, 64, dtype=torch.uint8),
        landmarks=torch.zeros(2, 33, 4),
        world=torch.zeros(2, 33, 3),
    )
    made = hrnet(observation)
    assert made.betas.shape == (2, 10)
    assert {name: tuple(part.shape) for name, part in made.context.items()} == {
        "global": (2, 512, 8, 8),
        "local": (2, 52, 256),
    }
    assert_close(
        hrnet(observation.select(torch.tensor([1]))).context["global"], made.context["global"][1:], rtol=1e-3, atol=1.0
    )


def test_the_fast_linear_layer_is_a_linear_layer_with_its_gradients():
    generator = torch.Generator().manual_seed(0)
    x, weight, bias = (
        torch.randn(*shape, generator=generator, requires_grad=True) for shape in ((3, 5, 7), (4, 7), (4,))
    )
    ours, torchs = linear(x, weight, bias), torch.nn.functional.linear(x, weight, bias)
    assert_close(ours, torchs)
    for mine, theirs in zip(
        torch.autograd.grad(ours.square().sum(), (x, weight, bias)),
        torch.autograd.grad(torchs.square().sum(), (x, weight, bias)),
    ):
        assert_close(mine, theirs)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
@torch.no_grad()
def test_on_a_gpu_the_same_numbers(condition):
    network = with_recipe_weights(HypoNet()).cuda()
    details = network.prepare(condition.to(torch.device("cuda")))
    noisy, steps = latents("xinj_m", "xint_m", 3, 20).cuda(), torch.full((2, 3), 333).cuda()
    for part, name in zip(halves(network(noisy, steps, details).cpu()), ("m_j", "m_t")):
        assert deviation(part, name) < 1e-3
    with torch.autocast("cuda", torch.bfloat16):
        found = network(noisy, steps, details)
    for part, name in zip(halves(found.float().cpu()), ("m_j", "m_t")):
        assert deviation(part, name) < 0.03
