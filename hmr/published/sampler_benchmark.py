"""Speed and memory of the published sampler, against the same network written plainly."""

import resource
import sys
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import torch

from hmr.diffusion.condition import Condition
from hmr.diffusion.latent import DIMS
from hmr.diffusion.sampler import draw_latents
from hmr.models.compute import Compute, PlacedPredictor
from hmr.published.hyponet import HypoNet
from hmr.published.plain_hyponet import sample_plainly

PLAIN = "the network written plainly: features repeated and projected for each hypothesis at every call"
GROUP, LARGE_GROUP = 20, 200


def measure_sampler(*, rounds: int = 7, images: int | None = None) -> list[dict[str, Any]]:
    """Images per second at M = 20, and what M = 200 adds to the memory; weights and features are random.

    On a CPU in float32, one image at a time; on a GPU in bfloat16 as CUDA graphs, `images` (8) at a time, against
    the plain network in float32. Each round runs both in turn, so that other work on the machine slows both alike;
    a value is the median of the rounds. Each result has metric, value, unit, baseline and ratio (above 1 is better).
    """
    on_gpu = torch.cuda.is_available()
    kind = "cuda" if on_gpu else "cpu"
    device = torch.device(kind)
    count = images or (8 if on_gpu else 1)
    torch.manual_seed(0)
    network = HypoNet().eval().to(device)
    context = {"global": torch.randn(count, 512, 8, 8), "local": torch.randn(count, 52, 256)}
    condition = Condition(torch.zeros(count, 10), context).to(device)
    predictor = PlacedPredictor(network, Compute(kind, bf16=on_gpu, compiled=on_gpu))

    def ours(size: int) -> torch.Tensor:
        seeds = torch.arange(count * size).reshape(count, size)
        return draw_latents(predictor, condition, seeds, seeds % size == 0, rows=count * GROUP)

    def plain() -> torch.Tensor:
        return sample_plainly(network, condition, torch.randn(count, GROUP, DIMS).to(device)).cpu()

    name = "gpu" if on_gpu else "cpu"
    small, large = _peak(lambda: ours(GROUP), device), _peak(lambda: ours(LARGE_GROUP), device)
    growth = {
        "metric": f"sampler.memory_m{LARGE_GROUP}_{name}", "value": large - small, "unit": "MB over M = 20",
        "baseline": None, "ratio": None,
    }  # fmt: skip
    rates = _rates({"ours": lambda: ours(GROUP), "plain": plain}, rounds, count)
    speed = {
        "metric": f"sampler.m{GROUP}_{name}", "value": rates["ours"], "unit": "images/s",
        "baseline": PLAIN, "ratio": rates["ours"] / rates["plain"],
    }  # fmt: skip
    return [speed, growth]


def _rates(jobs: dict[str, Callable[[], object]], rounds: int, images: int) -> dict[str, float]:
    seconds: dict[str, list[float]] = {name: [] for name in jobs}
    for turn in range(rounds + 1):
        for name, job in jobs.items():
            start = time.perf_counter()
            job()
            if turn:  # the first turn compiles and fills caches
                seconds[name].append(time.perf_counter() - start)
    return {name: images / median(taken) for name, taken in seconds.items()}


def _peak(job: Callable[[], object], device: torch.device) -> float:
    """Most memory in use during a job, MB: of the GPU, or of the process so far."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
        job()
        return torch.cuda.max_memory_allocated() / 2**20
    job()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
