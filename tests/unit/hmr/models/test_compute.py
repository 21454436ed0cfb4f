"""Precision, device and compilation change how a network is run, not what it says."""

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from hmr.diffusion.condition import Condition, Observation
from hmr.diffusion.latent import DIMS
from hmr.diffusion.noise_predictor import PreparingPredictor
from hmr.diffusion.sampler import draw_latents, group_seeds
from hmr.models.base_model import HmrModel
from hmr.models.compute import CompileError, Compute, PlacedPredictor, encode
from hmr.models.model_file import load_model

SMALL = {
    "encoder": {"image": False, "width": 16, "features": 16},
    "predictor": {"width": 32, "blocks": 1, "features": 16},
}


def people(count: int) -> Observation:
    generator = torch.Generator().manual_seed(0)
    return Observation(
        torch.randint(0, 256, (count, 128, 128, 3), dtype=torch.uint8, generator=generator),
        torch.randint(0, 256, (count, 64, 64), dtype=torch.uint8, generator=generator),
        0.5 * torch.randn(count, 33, 4, generator=generator),
        0.4 * torch.randn(count, 33, 3, generator=generator),
    )


def drawn(base: HmrModel, compute: Compute, size: int = 6) -> Tensor:
    details = encode(base, people(4), compute).to(torch.device(compute.device))
    seeds = torch.from_numpy(group_seeds(0, "x", list("abcd"), size))
    return draw_latents(PlacedPredictor(base.predictor, compute), details, seeds, seeds < 0)


@pytest.fixture(scope="module")
def small() -> HmrModel:
    torch.manual_seed(0)
    return HmrModel(SMALL).eval()


@pytest.mark.parametrize("name", ["lab", "default"])
def test_bf16_stays_within_one_percent(name):
    """The stated tolerance on the embedded bases, by root mean square over all numbers of x0."""
    base = load_model(name)
    exact, fast = drawn(base, Compute()), drawn(base, Compute(bf16=True))
    assert 0 < (fast - exact).norm() < 0.01 * exact.norm()


def test_conditions_and_samples_come_back_as_float32(small):
    for compute in (Compute(), Compute(bf16=True)):
        details = encode(small, people(2), compute)
        parts = [details.betas, *details.context.values(), drawn(small, compute)]
        assert {part.dtype for part in parts} == {torch.float32}
        assert {part.device.type for part in parts} == {"cpu"}


def test_float32_is_the_network_itself(small):
    assert_close(drawn(small, Compute()), draw_directly(small), rtol=0, atol=0)


def draw_directly(base: HmrModel, size: int = 6) -> Tensor:
    seeds = torch.from_numpy(group_seeds(0, "x", list("abcd"), size))
    return draw_latents(base.predictor, base.observe(people(4)), seeds, seeds < 0)


def test_a_network_prepares_its_condition_in_the_same_precision():
    class Prepares(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(10, 3)

        def prepare(self, condition: Condition) -> Condition:
            return Condition(condition.betas, {"made": self.layer(condition.betas)})

    details = Condition(torch.ones(2, 10), {})
    for compute, kind in ((Compute(), torch.float32), (Compute(bf16=True), torch.bfloat16)):
        placed = PlacedPredictor(Prepares(), compute)
        assert isinstance(placed, PreparingPredictor)
        assert placed.prepare(details).context["made"].dtype == kind


def test_a_network_that_prepares_nothing_is_left_its_condition(small):
    details = Condition(torch.ones(2, 10), {})
    assert PlacedPredictor(small.predictor, Compute()).prepare(details) is details


def test_answers_are_not_written_over(small):
    """As a CUDA graph's would be: each answer is a tensor of its own, even of a network that returns one buffer."""
    buffer = torch.zeros(1, 1, DIMS)

    class Counts(torch.nn.Module):
        def forward(self, latents, steps, condition):
            return buffer.add_(1)

    placed, details = PlacedPredictor(Counts(), Compute()), Condition(torch.zeros(1, 10), {})
    first, second = (placed(buffer, torch.zeros(1, 1, dtype=torch.long), details) for _ in range(2))
    assert first.unique().tolist() == [1] and second.unique().tolist() == [2]


@pytest.mark.slow
def test_compiled_says_the_same(small):
    assert_close(drawn(small, Compute(compiled=True)), drawn(small, Compute()), rtol=1e-4, atol=1e-3)


def test_without_a_compiler_the_mend_is_named(small, monkeypatch, tmp_path):
    import torch._inductor.config as inductor
    from torch._inductor.cpp_builder import cpp_compiler_search

    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(inductor.cpp, "cxx", (None, "no-such-compiler"))
    monkeypatch.setattr(inductor, "force_disable_caches", True)
    cpp_compiler_search.cache_clear()
    torch.compiler.reset()
    with pytest.raises(CompileError, match=r"no-such-compiler.*install a C\+\+ compiler.*compile = false"):
        drawn(small, Compute(compiled=True))
    torch.compiler.reset()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
@pytest.mark.parametrize("compiled", [False, True])
def test_a_gpu_draws_the_same_groups(compiled):
    base = load_model("default")
    here = drawn(base, Compute())
    for bf16, tolerance in ((False, 1e-3), (True, 0.01)):
        there = drawn(base, Compute("cuda", bf16=bf16, compiled=compiled))
        assert there.device.type == "cpu" and there.dtype == torch.float32
        assert (there - here).norm() < tolerance * here.norm()
