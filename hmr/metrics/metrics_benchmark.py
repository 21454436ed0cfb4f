"""Speed and memory of the metrics: PA-MPJPE against a loop over samples, and a whole benchmark of many hypotheses."""

import resource
import sys
import time
from statistics import median
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from hmr.body.body import load_body
from hmr.diffusion.latent import Decoding, encode
from hmr.metrics.evaluation import MEASURED, Framing, TrueBodies, evaluate_groups, pose_groups
from hmr.metrics.pose_metrics import mpjpe, pa_mpjpe, pve

LOOP = "a loop over samples with numpy's singular value decomposition"
PEOPLE, HYPOTHESES, JOINTS, VERTICES = 35_515, 100, 14, 6890
"""3DPW's test people at M = 100, as published."""
STREAMED = 3000
"""People of a benchmark of groups: estimates, medoid and spread too, by joints alone."""


def measure_metrics(*, samples: int = 100_000, rounds: int = 5, share: float = 0.1) -> list[dict[str, Any]]:
    """Samples per second of PA-MPJPE of 24 joints; time and memory of all metrics of a benchmark, and of all estimates.

    The loop runs on a fiftieth of the samples and is counted 50 times. The benchmark runs on `share` of 3DPW's test
    people, 100 hypotheses each, person by person, and is counted 1 / share times; the estimates are those of the same
    share of 3,000 people. Each result has metric, value, unit, baseline and ratio (above 1 is better).
    """
    random = np.random.default_rng(0)
    pa_mpjpe(*random.normal(0, 0.4, (2, 2, 24, 3)))  # compiles, or loads what was compiled
    # What needs little memory first: the most that was used so far hides a growth below it.
    seconds, grown = _whole_benchmark(random, max(1, round(PEOPLE * share)))
    each, most, growth = _estimates(max(1, round(STREAMED * share)))
    true = random.normal(0, 0.4, (samples, 24, 3))
    predicted = true + random.normal(0, 0.05, true.shape)
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

    def result(metric: str, value: float, unit: str, baseline: str | None = None, ratio: float | None = None) -> dict:
        return {"metric": metric, "value": value, "unit": unit, "baseline": baseline, "ratio": ratio}

    details = f"s for {PEOPLE} people x {HYPOTHESES}, extrapolated from {share:.0%}" if share < 1 else "s"
    return [
        result("metrics.pa_mpjpe", samples / median(ours), "samples/s", LOOP, median(loop) / median(ours)),
        result("metrics.pa_mpjpe_difference", worst, "of the loop's value, largest"),
        result("metrics.full_seconds", seconds / share, details),
        result("metrics.memory_mb", grown, "MB over one person's"),
        result("metrics.estimates_ms", 1e3 * each, f"ms a hypothesis, {HYPOTHESES} each, all estimates without PVE"),
        result("metrics.estimates_growth_mb", growth, "MB over the first people's"),
        result("metrics.process_mb", most, "MB, the whole process at most"),
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


def _estimates(people: int) -> tuple[float, float, float]:
    """Seconds a hypothesis of `evaluate_groups` on made-up people, as many at a time as `benchmark` gives it; the most
    memory of the process, and by how much that grew after the first of them, MB.
    """
    body, at_once = load_body(), MEASURED // HYPOTHESES
    random = torch.Generator().manual_seed(0)
    truth = TrueBodies(
        rotations=torch.eye(3).expand(at_once, 24, 3, 3).contiguous(),
        betas=torch.randn(at_once, 10, generator=random),
        translation=torch.tensor([0.0, 0.0, 4.0]).repeat(at_once, 1),
    )
    camera = torch.tensor([700.0, 700.0, 256.0, 256.0]).repeat(at_once, 1)
    crop = torch.tensor([256.0, 256.0, 400.0]).repeat(at_once, 1)
    framing = Framing(truth.betas, camera, crop, Decoding())
    exact = encode(truth.rotations, truth.translation, body.rest_joints(truth.betas), camera, crop)
    latents = exact[:, None] + torch.randn(at_once, HYPOTHESES, exact.shape[1], generator=random)
    posed = pose_groups(body, latents, framing)
    scores = torch.rand(at_once, HYPOTHESES, generator=random).double().numpy()
    seconds, first, done = 0.0, 0.0, 0
    while done < people + at_once:
        start = time.perf_counter()
        evaluate_groups(body, truth, latents, posed, framing, true_camera=camera, scores=scores, vertices=False)
        done += at_once
        if not first:
            first = _peak_mb()  # what is loaded and compiled once is not counted
        else:
            seconds += time.perf_counter() - start
    return seconds / max(done - at_once, 1) / HYPOTHESES, _peak_mb(), _peak_mb() - first


def _peak_mb() -> float:
    """Most memory that the process has used so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
