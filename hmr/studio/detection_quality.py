"""How a detector errs on people whose truth is known: the figures with which simulated detections are compared."""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from hmr.body.camera import project
from hmr.diffusion.mirror import LANDMARK_SWAP
from hmr.metrics.pose_metrics import procrustes_align
from hmr.studio.simulated_detection import Detections, PlacedPeople, as_the_crop_sees

BODY = tuple(range(11, 33))
LIMBS = (13, 14, 15, 16, 25, 26, 27, 28)
BINS = (0.0, 0.3, 0.6, 0.8, 0.95, 1.01)
"""Bins of visibility."""


def detection_quality(people: PlacedPeople, seen: Detections) -> dict[str, float]:
    """Figures by name: 2-D errors in px of a 256 px crop, shares 0..1, world landmarks in mm.

    The 2-D error is that of a body landmark (shoulders to toes) from its place on the true body. `gross`: people whose
    median error is more than 8 % of their size. `swapped`: people whose limbs fit better with left and right exchanged.
    """
    body = list(BODY)
    true = project(people.marks, people.camera)
    unit = 256 / seen.crop[:, None, 2]
    errors = ((seen.landmarks[..., :2] - true).norm(dim=-1) * unit).numpy()
    crossed = ((seen.landmarks[..., :2] - true[:, LANDMARK_SWAP]).norm(dim=-1) * unit).numpy()
    visible = seen.landmarks[..., 3].numpy()
    found: dict[str, float] = {
        "people": float(len(errors)),
        "error_median": float(np.median(errors[:, body])),
        "error_mean": float(errors[:, body].mean()),
        "error_p90": float(np.quantile(errors[:, body], 0.9)),
        "face_median": float(np.median(errors[:, :11])),
        "gross": float((np.median(errors[:, body], 1) > 0.08 * 256 / 1.25).mean()),
        "swapped": float((crossed[:, LIMBS].mean(1) < 0.8 * errors[:, LIMBS].mean(1)).mean()),
    }
    for low, high in pairwise(BINS):
        inside = (visible[:, body] >= low) & (visible[:, body] < high)
        name = f"visibility_{low:.2f}"
        found[f"{name}_share"] = float(inside.mean())
        found[f"{name}_error_median"] = float(np.median(errors[:, body][inside])) if inside.any() else float("nan")
        found[f"{name}_error_p90"] = float(np.quantile(errors[:, body][inside], 0.9)) if inside.any() else float("nan")
    return found | world_quality(people, seen)


def world_quality(people: PlacedPeople, seen: Detections) -> dict[str, float]:
    """How the world landmarks err: size, compression of depth, noise; in millimetres unless a name has another unit."""
    hips = people.marks[:, 23:25].mean(1, keepdim=True)
    true = as_the_crop_sees(people.marks - hips, hips).numpy().astype(np.float64)
    world = seen.world.numpy().astype(np.float64)
    right = [i for i in BODY if i not in (23, 24)]
    sizes = _limb_lengths(world) / _limb_lengths(true)
    gap = np.linalg.norm(world - true, axis=-1)[:, right]
    slope = [np.dot(t, w) / max(np.dot(t, t), 1e-6) for t, w in zip(true[:, right, 2], world[:, right, 2])]
    aligned = np.stack([_aligned(w, t) for w, t in zip(world[:, right], true[:, right])])
    across = np.abs(world - true)[:, right]
    return {
        "world_median": 1000 * float(np.median(gap)),
        "world_mean": 1000 * float(gap.mean()),
        "world_pa_median": 1000 * float(np.median(aligned)),
        "world_x_median": 1000 * float(np.median(across[..., 0])),
        "world_y_median": 1000 * float(np.median(across[..., 1])),
        "world_z_median": 1000 * float(np.median(across[..., 2])),
        "world_size_median": float(np.median(sizes)),
        "world_size_spread": float(np.std(np.log(sizes))),
        "depth_slope_p10": float(np.quantile(slope, 0.1)),
        "depth_slope_median": float(np.median(slope)),
        "depth_slope_p90": float(np.quantile(slope, 0.9)),
    }


def _limb_lengths(points: NDArray) -> NDArray:
    pairs = ((11, 13), (13, 15), (12, 14), (14, 16), (23, 25), (25, 27), (24, 26), (26, 28))
    return np.sum([np.linalg.norm(points[:, a] - points[:, b], axis=-1) for a, b in pairs], axis=0)


def _aligned(points: NDArray, goal: NDArray) -> NDArray:
    return np.linalg.norm(procrustes_align(points, goal) - goal, axis=-1)
