"""Errors of hypotheses against ground truth, image by image: the numbers behind every benchmark table.

All errors are millimetres after subtracting the pelvis, camera-aligned axes; MPJPE over `EVAL_14`, PVE over all
vertices. The free body's errors do not compare with published ones, which are SMPL's.
"""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from hmr.body import Body
from hmr.camera import project
from hmr.latent import decode, mean_latent
from hmr.metrics import critic_choice, diversity, keypoint_error_px, mpjpe, pa_mpjpe
from hmr.skeleton import EVAL_14

METRICS = ("mpjpe_mm", "pa_mpjpe_mm", "pve_mm")
ESTIMATES = ("zero_noise", "mean", "selected", "best_of_g")


class TrueBodies(NamedTuple):
    """Ground truth of n people; metres, camera frame."""

    rotations: Float[Tensor, "n 24 3 3"]
    betas: Float[Tensor, "n 10"]
    translation: Float[Tensor, "n 3"]


class Errors(NamedTuple):
    """Errors per image and hypothesis, mm; arrays (image, hypothesis)."""

    mpjpe_mm: NDArray[np.float64]
    pa_mpjpe_mm: NDArray[np.float64]
    pve_mm: NDArray[np.float64]


class Evaluation(NamedTuple):
    """What a benchmark knows of one model on one split; every array has one entry per image."""

    errors: dict[str, dict[str, NDArray[np.float64]]]  # estimate -> metric -> (image,); best_of_g: per-metric minimum
    keypoint_px: NDArray[np.float64]  # mean 2-D error of the zero-noise hypothesis' 14 joints, px
    diversity_mm: NDArray[np.float64]  # mean distance of joints to the group's mean joint, pelvis removed

    def means(self) -> dict[str, dict[str, float]]:
        """Means over images: {estimate: {metric: mm}}."""
        return {e: {m: float(np.mean(v)) for m, v in by.items()} for e, by in self.errors.items()}


@torch.no_grad()
def group_errors(
    body: Body,
    truth: TrueBodies,
    latents: Float[Tensor, "n g 133"],
    betas: Float[Tensor, "n 10"],
    camera: Float[Tensor, "n 4"],
    crop: Float[Tensor, "n 3"],
    *,
    vertices: bool = True,
    chunk: int = 16,
) -> tuple[Errors, Float[Tensor, "n g 29 3"]]:
    """Errors of all hypotheses of n images, and their joints (metres, camera frame).

    vertices=False leaves PVE as NaN and saves most of the time. chunk: images posed at once.
    """
    count, size = latents.shape[:2]
    found = Errors(*(np.full((count, size), np.nan) for _ in METRICS))
    joints = torch.empty(count, size, 29, 3)
    for start in range(0, count, chunk):
        part = slice(start, min(start + chunk, count))
        n = part.stop - start
        shape = betas[part].repeat_interleave(size, 0)
        posed = decode(
            latents[part].flatten(0, 1),
            body.rest_joints(betas[part]).repeat_interleave(size, 0),
            camera[part].repeat_interleave(size, 0),
            crop[part].repeat_interleave(size, 0),
        )
        true = body(truth.rotations[part], truth.betas[part], truth.translation[part])
        eval14 = list(EVAL_14)
        seen = (posed.joints[:, eval14] - posed.joints[:, :1]).unflatten(0, (n, size))
        want = (true.joints[:, eval14] - true.joints[:, :1])[:, None].expand(-1, size, -1, -1)
        found.mpjpe_mm[part] = mpjpe(seen.numpy(), want.numpy())
        found.pa_mpjpe_mm[part] = pa_mpjpe(seen.numpy(), want.numpy())
        if vertices:
            mesh = body(posed.rotations, shape, posed.translation).vertices - posed.joints[:, :1]
            goal = true.vertices - true.joints[:, :1]
            gaps = (mesh.unflatten(0, (n, size)) - goal[:, None]).norm(dim=-1).mean(-1)
            found.pve_mm[part] = 1000 * gaps.double().numpy()
        joints[part] = posed.joints.unflatten(0, (n, size))
    return found, joints


def evaluate_groups(
    body: Body,
    truth: TrueBodies,
    latents: Float[Tensor, "n g 133"],
    betas: Float[Tensor, "n 10"],
    camera: Float[Tensor, "n 4"],
    crop: Float[Tensor, "n 3"],
    *,
    true_camera: Float[Tensor, "n 4"] | None = None,
    scores: Float[np.ndarray, "n g"] | None = None,
    vertices: bool = True,
) -> Evaluation:
    """Evaluate groups whose hypothesis 0 started from zero noise.

    zero_noise: hypothesis 0. mean: one mesh from the group's mean in the model's space. selected: the hypothesis that
    `scores` (NaN = abstained) ranks first; left out without scores. best_of_g: minimum over the group for each
    metric on its own, an oracle's choice.
    """
    means = torch.stack([mean_latent(group) for group in latents])[:, None]
    all_errors, joints = group_errors(
        body, truth, torch.cat([latents, means], 1), betas, camera, crop, vertices=vertices
    )
    zero_start = np.zeros(latents.shape[:2], bool)
    zero_start[:, 0] = True
    rows = np.arange(len(latents))
    errors: dict[str, dict[str, NDArray]] = {estimate: {} for estimate in ESTIMATES}
    for metric, values in zip(METRICS, all_errors):
        group = values[:, :-1]
        errors["zero_noise"][metric] = group[:, 0]
        errors["mean"][metric] = values[:, -1]
        if scores is not None:
            errors["selected"][metric] = group[rows, critic_choice(scores, zero_start)]
        errors["best_of_g"][metric] = group.min(1)
    if scores is None:
        del errors["selected"]
    true = body(truth.rotations, truth.betas, truth.translation).joints[:, list(EVAL_14)]
    cameras = camera if true_camera is None else true_camera
    keypoints = keypoint_error_px(
        _pixels(joints[:, 0, list(EVAL_14)], camera), _pixels(true, cameras), np.ones(true.shape[:2], bool)
    )
    centred = (joints[:, :-1] - joints[:, :-1, :1])[:, :, list(EVAL_14)]
    return Evaluation(errors, keypoints, diversity(centred.numpy()))


def _pixels(joints: Tensor, camera: Tensor) -> NDArray:
    return project(joints, camera).numpy()
