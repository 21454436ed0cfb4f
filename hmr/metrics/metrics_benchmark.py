"""Speed and memory of the metrics: PA-MPJPE against a loop over samples, and a whole benchmark of many hypotheses."""

import resource
import sys
import time
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hmr.metrics.pose_metrics import mpjpe, pa_mpjpe, pve

LOOP = "a loop over samples with numpy's singular value decomposition"
PEOPLE, HYPOTHESES, JOINTS, VERTICES = 35_515, 100, 14, 6890
"""3DPW's test people at M = 100, as published."""


def measure_metrics(*, samples: int = 100_000, rounds: int = 5, share: float = 0.1) -> list[dict[str, Any]]:
    """Samples per second of PA-MPJPE of 24 joints; seconds and memory of all metrics of a benchmark.

    The loop runs on a fiftieth of the samples and is counted 50 times. The benchmark runs on `share` of 3DPW's test
    people, 100 hypotheses each, person by person, and is counted 1 / share times. Each result has metric, value, unit,
    baseline and ratio (above 1 is better).
    """
    random = np.random.default_rng(0)
    true = random.normal(0, 0.4, (samples, 24, 3))
    predicted = true + random.normal(0, 0.05, true.shape)
    pa_mpjpe(predicted[:2], true[:2])  # compiles, or loads what was compiled
    ours, loop, some = [], [], max(samples // 50, 1)
    found = plain = np.empty(0)
    for _ in range(rounds):
        start = time.perf_counter()
        found = pa_mpjpe(predicted, true)
        ours.append(time.perf_counter() - start)
        start = time.perf_counter()
        plain = np.array([pa_mpjpe_plainly(*pair) for pair in zip(predicted[:some], true[:some])])
        loop.append((time.perf_counter() - start) * samples / some)
    worst = float(np.abs(found[:some] / plain - 1).max())
    seconds, grown = _whole_benchmark(random, max(1, round(PEOPLE * share)))

    def result(metric: str, value: float, unit: str, baseline: str | None = None, ratio: float | None = None) -> dict:
        return {"metric": metric, "value": value, "unit": unit, "baseline": baseline, "ratio": ratio}

    details = f"s for {PEOPLE} people x {HYPOTHESES}, extrapolated from {share:.0%}" if share < 1 else "s"
    return [
        result("metrics.pa_mpjpe", samples / median(ours), "samples/s", LOOP, median(loop) / median(ours)),
        result("metrics.pa_mpjpe_difference", worst, "of the loop's value, largest"),
        result("metrics.full_seconds", seconds / share, details),
        result("metrics.memory_mb", grown, "MB over one person's"),
    ]


def pa_mpjpe_plainly(predicted: NDArray, true: NDArray) -> float:
    """PA-MPJPE of one sample (J, 3), mm, from points in metres, as it is usually written: the baseline."""
    moving, fixed = predicted - predicted.mean(0), true - true.mean(0)
    u, singular, vt = np.linalg.svd(moving.T @ fixed)
    turned = np.ones(3)
    turned[2] = -1.0 if np.linalg.det(u) * np.linalg.det(vt) < 0 else 1.0
    scale = (singular * turned).sum() / np.square(moving).sum()
    return float(1000 * np.linalg.norm(scale * (moving @ (u * turned) @ vt) - fixed, axis=1).mean())


def _whole_benchmark(random: np.random.Generator, people: int) -> tuple[float, float]:
    """Seconds that the metrics took, and MB that memory grew by after the first person."""
    joints = random.normal(0, 0.4, (HYPOTHESES, JOINTS, 3))
    vertices = random.normal(0, 0.4, (HYPOTHESES, VERTICES, 3)).astype(np.float32)
    least = np.full((people, 3), np.inf)
    seconds, first = 0.0, 0.0
    for person in range(people):
        start = time.perf_counter()
        true = np.broadcast_to(joints[person % HYPOTHESES], joints.shape)
        surface = np.broadcast_to(vertices[person % HYPOTHESES], vertices.shape)
        errors = (mpjpe(joints, true), pa_mpjpe(joints, true), pve(vertices, surface))
        least[person] = [error.min() for error in errors]
        seconds += time.perf_counter() - start
        if person == 0:
            first = _peak_mb()
    return seconds, _peak_mb() - first


def _peak_mb() -> float:
    """Most memory that the process has used so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
