"""Speed of training: what the skipped reference saves, how long loading takes, how memory grows; on a GPU, groups/s."""

import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from statistics import median
from typing import Any

import psutil
import torch
from jaxtyping import Int
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from hmr.alignment.group_source import GroupBatch, GroupSource, ScoredGroups
from hmr.alignment.train_settings import TrainSettings
from hmr.alignment.trainer import StepTaker
from hmr.diffusion.condition import PICTURE, Condition, Observation
from hmr.diffusion.latent import DIMS
from hmr.models.base_model import HmrModel

__all__ = ["measure_device", "measure_reference", "measure_step", "measure_stream"]

GROUP = 20


def measure_reference(*, rounds: int = 40, groups: int = 12) -> list[dict[str, Any]]:
    """Steps per second of the paper's linear objective without its reference, against the same steps with it.

    The embedded network, with all its weights trained, and with adapters where peft is installed. Each round takes one
    step and then runs the reference on its groups: the baseline is the sum, so that diagnostics, which a reference
    would also allow, are in neither. A rate is that of the median. A network whose backward pass takes as long as two
    forward ones can gain 4 / 3 at most; adapters need half of the backward pass, and can gain 3 / 2.
    """
    model = HmrModel().eval()
    source = _made_up(model, 4 * groups)
    rows = []
    for name, rank in (("train.skip_reference", 0), ("train.skip_reference_lora", 8)):
        if rank and find_spec("peft") is None:
            continue
        taker = _taker(model, source, groups, watch_every=10**9, lora_rank=rank)
        steps, references = _seconds([taker.take, lambda step, taker=taker: taker.reference_pass(step)], rounds)
        rates = {"without": 1 / median(steps), "with": 1 / median(a + b for a, b in zip(steps, references))}
        rows.append(
            {
                "metric": name,
                "value": rates["without"],
                "unit": "steps/s",
                "baseline": "the same step with the reference's forward pass",
                "ratio": rates["without"] / rates["with"],
            }
        )
    return rows


def measure_step(*, rounds: int = 40, groups: int = 24) -> list[dict[str, Any]]:
    """Where the time of a step of our own objective goes, %, and how near it is to the machine's matrix rate.

    The embedded network, all weights trained. What is left is the objective, the optimiser, averaging and the batch.
    The matrix rate is that of one product of 1,024 x 1,024 matrices in float32, measured in between.
    """
    model = HmrModel().eval()
    taker = _taker(model, _made_up(model, 4 * groups), groups, preset="keep_spread")
    square = torch.rand(1024, 1024)
    jobs = [taker.take, taker.reference_pass, taker.policy_pass, lambda step: lambda: square @ square]
    step, reference, policy, product = (median(taken) for taken in _seconds(jobs, rounds))
    with FlopCounterMode(display=False) as counter:
        taker.reference_pass(0)()
    rate, work = 2 * 1024**3 / product, counter.get_total_flops()

    def row(metric: str, value: float, unit: str) -> dict[str, Any]:
        return {"metric": f"train.{metric}", "value": value, "unit": unit, "baseline": None, "ratio": None}

    return [
        row("step_ms", 1e3 * step, f"ms, {groups} groups of {GROUP}"),
        row("share_reference", 100 * reference / step, "% of a step, the reference's forward pass"),
        row("share_policy", 100 * policy / step, "% of a step, forward and backward of the policy"),
        row("share_rest", 100 * (1 - (reference + policy) / step), "% of a step: objective, optimiser, average, batch"),
        row(
            "matrix_share",
            100 * 4 * work / step / rate,
            f"% of {rate / 1e9:.0f} GFLOP/s, a forward pass counted 4 times",
        ),
    ]


def measure_stream(model: HmrModel, source: GroupSource, seen: GroupSource, *, steps: int) -> list[dict[str, Any]]:
    """Share of a step's time that loading takes, percent, and growth of resident memory over two epochs, percent.

    source: conditions, on which training takes its steps; seen: observations, which are larger and are only loaded.
    Memory counts from when the source's window is full.
    """
    timed = _Timed(source)
    taker = StepTaker(model, timed, TrainSettings(groups_per_step=12, warmup=0))
    taker.take(0)
    timed.seconds, start = 0.0, time.perf_counter()
    for step in range(1, steps):
        taker.take(step)
    share = 100 * timed.seconds / (time.perf_counter() - start)
    process = psutil.Process()
    size, sizes = sum(seen.shards), []
    full = sum(list(seen.shards)[: seen.window])
    for turn in range(2):
        for first in range(0, size, 4):
            seen.fetch(torch.arange(first, min(first + 4, size)))
            if turn or first >= full:
                sizes.append(process.memory_info().rss)
    growth = 100 * max(abs(one / sizes[0] - 1) for one in sizes)
    return [
        {"metric": "train.loading_percent", "value": share, "unit": "% of step time", "baseline": None, "ratio": None},
        {
            "metric": "train.memory_growth_percent",
            "value": growth,
            "unit": f"% over a store of {size / full:.0f} times what is held",
            "baseline": None,
            "ratio": None,
        },
    ]


def measure_device(*, rounds: int = 7, groups: int = 8) -> list[dict[str, Any]]:
    """On a GPU: groups of 20 per second that the published networks are trained on, with the encoder, in float32 and
    with the encoder in bfloat16; and the memory of each, GB. Without a GPU, nothing."""
    if not torch.cuda.is_available():
        return []
    model = HmrModel({"network": "hyponet"}).eval()
    source = _made_up(model, 2 * groups, observations=True)
    rates, rows = {}, []
    for precision in ("float32", "bf16"):
        torch.cuda.reset_peak_memory_stats()
        taker = _taker(model, source, groups, train_encoder=True, encoder_precision=precision, preset="stable")
        rates |= {name: groups * rate for name, rate in _rates({precision: taker}, rounds).items()}
        del taker
        peak = torch.cuda.max_memory_allocated() / 2**30
        torch.cuda.empty_cache()
        baseline = None if precision == "float32" else "float32"
        rows += [
            {"metric": f"train.groups_{precision}_gpu", "value": rates[precision], "unit": "groups/s",
             "baseline": baseline, "ratio": baseline and rates[precision] / rates[baseline]},
            {"metric": f"train.memory_{precision}_gpu", "value": peak, "unit": "GB", "baseline": None, "ratio": None},
        ]  # fmt: skip
    return rows


class _Timed:
    """A source that measures how long its reads take."""

    def __init__(self, inner: GroupSource) -> None:
        self.inner, self.seconds = inner, 0.0
        self.scores, self.uncertainty = inner.scores, inner.uncertainty
        self.shards, self.window = inner.shards, inner.window

    def fetch(self, rows: Int[Tensor, " some"]) -> GroupBatch:
        start = time.perf_counter()
        batch = self.inner.fetch(rows)
        self.seconds += time.perf_counter() - start
        return batch


def _taker(model: HmrModel, source: GroupSource, groups: int, **given: Any) -> StepTaker:
    settings = {"preset": "paper_eq6", "groups_per_step": groups, "evaluate_every": 10**9, "warmup": 0, **given}
    return StepTaker(model, source, TrainSettings.model_validate(settings))


def _made_up(model: HmrModel, count: int, *, observations: bool = False) -> ScoredGroups:
    random = torch.Generator().manual_seed(0)
    side = model.picture_side or PICTURE
    seen = Observation(
        torch.randint(256, (count, side, side, 3), generator=random, dtype=torch.uint8),
        torch.randint(256, (count, 64, 64), generator=random, dtype=torch.uint8),
        torch.randn(count, 33, 4, generator=random),
        torch.randn(count, 33, 3, generator=random),
    )
    condition: Condition | Observation = seen if observations else model.observe(seen)
    latents = 10 * torch.randn(count, GROUP, DIMS, generator=random)
    return ScoredGroups(condition, latents, 100 * torch.rand(count, GROUP, generator=random, dtype=torch.float64))


def _rates(takers: dict[str, StepTaker], rounds: int) -> dict[str, float]:
    """Steps per second of each."""
    taken = _seconds([taker.take for taker in takers.values()], rounds)
    return {name: 1 / median(seconds) for name, seconds in zip(takers, taken)}


def _seconds(jobs: Sequence[Callable[[int], object]], rounds: int) -> list[list[float]]:
    """Seconds of each job in each round, in turn; the first round warms up, and counts for nothing.

    A job takes the number of a step; one that returns a function has only made ready, and the function is timed.
    """
    taken: list[list[float]] = [[] for _ in jobs]
    for turn in range(rounds + 1):
        for job, seconds in zip(jobs, taken):
            start = time.perf_counter()
            ready = job(turn + 1)
            spent = _timed(ready) if callable(ready) else time.perf_counter() - start
            if turn:
                seconds.append(spent)
    return taken


def _timed(job: Callable[[], object]) -> float:
    start = time.perf_counter()
    job()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start
