"""Speed and memory of the published sampler, against the same network written plainly."""

import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from hmr.diffusion.condition import Condition
from hmr.diffusion.latent import DIMS
from hmr.diffusion.sampler import NoisePredictor, draw_latents
from hmr.models.compute import Compute, PlacedPredictor
from hmr.published.hyponet import HypoNet
from hmr.published.plain_hyponet import sample_plainly

PLAIN = "the network written plainly: features repeated and projected for each hypothesis at every call"
GROUP, LARGE_GROUP = 20, 200


def measure_sampler(*, rounds: int = 7, images: int | None = None) -> list[dict[str, Any]]:
    """Images per second at M = 20, and what M = 200 adds to the memory; weights and features are random.

    On a CPU in float32, one image at a time, and in bfloat16 where the CPU has instructions for it; on a GPU in
    bfloat16 as CUDA graphs, `images` (8) at a time; against the plain network in float32. Each round runs all in turn,
    so that other work on the machine slows all alike; a value is the median of the rounds. Each result has metric,
    value, unit, baseline and ratio (above 1 is better). `sampler.matrix_share_cpu` is the share of the time that the
    products of the network would take at the rate of one product of 2,048 x 2,048 matrices, measured in turn too.
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

    def ours(size: int, by: NoisePredictor = predictor) -> torch.Tensor:
        seeds = torch.arange(count * size).reshape(count, size)
        return draw_latents(by, condition, seeds, seeds % size == 0, rows=count * GROUP)

    def plain() -> torch.Tensor:
        return sample_plainly(network, condition, torch.randn(count, GROUP, DIMS).to(device)).cpu()

    name = "gpu" if on_gpu else "cpu"
    small, large = _peak(lambda: ours(GROUP), device), _peak(lambda: ours(LARGE_GROUP), device)
    growth = {
        "metric": f"sampler.memory_m{LARGE_GROUP}_{name}", "value": large - small, "unit": "MB over M = 20",
        "baseline": None, "ratio": None,
    }  # fmt: skip
    jobs: dict[str, Callable[[], object]] = {"": lambda: ours(GROUP), "plain": plain}
    if not on_gpu:
        square = torch.rand(2048, 2048)
        jobs["product"] = lambda: square @ square
        if has_bf16():
            half = PlacedPredictor(network, Compute(kind, bf16=True))
            jobs["_bf16"] = lambda: ours(GROUP, half)
    rates = _rates(jobs, rounds, count)
    rows = [
        {
            "metric": f"sampler.m{GROUP}_{name}{way}", "value": rates[way], "unit": "images/s",
            "baseline": PLAIN, "ratio": rates[way] / rates["plain"],
        }
        for way in ("", "_bf16") if way in rates
    ]  # fmt: skip
    if not on_gpu:
        with FlopCounterMode(display=False) as counter:
            ours(GROUP, network)  # not prepared for speed: its products are those that PyTorch can count
        rate = 2 * 2048**3 * rates["product"]
        share = 100 * counter.get_total_flops() * rates[""] / rate
        rows.append({"metric": "sampler.matrix_share_cpu", "value": share,
                     "unit": f"% of {rate / 1e9:.0f} GFLOP/s", "baseline": None, "ratio": None})  # fmt: skip
    return [*rows, growth]


def has_bf16() -> bool:
    """Whether this CPU multiplies bfloat16 by instructions of its own (Linux on x86)."""
    try:
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags


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
