"""Errors of hypotheses against ground truth, image by image: the numbers behind every benchmark table.

All errors are millimetres after subtracting the pelvis, camera-aligned axes; MPJPE over `EVAL_14`, PVE over all
vertices. The free body's errors do not compare with published ones, which are SMPL's.

Groups are posed once (`pose_groups`); critics and errors then read the posed bodies.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from torch import Tensor

from hmr.body.body import Body
from hmr.body.camera import project, step_back
from hmr.body.skeleton import EVAL_14
from hmr.diffusion.latent import Decoding, decode, mean_latent
from hmr.metrics.pose_metrics import (
    critic_choice,
    joint_spread,
    keypoint_error_px,
    medoid,
    mpjpe,
    pa_mpjpe,
    pve,
    top_ranked,
)

METRICS = ("mpjpe_mm", "pa_mpjpe_mm", "pve_mm")
ESTIMATES = ("zero_noise", "mean", "medoid", "selected", "fused", "best_of_g")
"""Ways to make one body of a group; see `evaluate_groups`."""
FUSED = 5
"""The fused estimate is the mean of this many hypotheses, as in ScoreHypo (Xu et al. 2024)."""
CHUNK = 320
"""Bodies made at once; their vertices take 0.1 MB each."""
MEASURED = 4000
"""Hypotheses measured at once; intermediate results take some kB each."""
_EVAL = list(EVAL_14)


class TrueBodies(NamedTuple):
    """Ground truth of n people; metres, camera frame."""

    rotations: Float[Tensor, "n 24 3 3"]
    betas: Float[Tensor, "n 10"]
    translation: Float[Tensor, "n 3"]


class TrueJoints(NamedTuple):
    """Ground truth of n people of whom joints alone are known; metres, camera frame."""

    joints: Float[Tensor, "n 29 3"]  # NaN = no label
    placed: Bool[Tensor, " n"]  # whether they lie where they are, instead of about a root


Truth = TrueBodies | TrueJoints
"""What is known of n people."""


def some_of(truth: Truth, part: slice | Tensor) -> Truth:
    """The truth of some of the people."""
    return type(truth)(*(values[part] for values in truth))  # type: ignore[return-value]


def true_joints(body: Body, truth: Truth) -> Float[Tensor, "n 29 3"]:
    """The true joints, metres, camera frame; NaN = no label."""
    return body.points(*truth).joints if isinstance(truth, TrueBodies) else truth.joints


class Framing(NamedTuple):
    """What is needed to turn the diffused vectors of n people into bodies; camera and crop in px."""

    betas: Float[Tensor, "n 10"]
    camera: Float[Tensor, "n 4"]
    crop: Float[Tensor, "n 3"]
    decoding: Decoding
    root_depth: Float[Tensor, " n"] | None = None  # metres; none = fitted, as it must be without ground truth

    def rows(self, part: slice) -> "Framing":
        """The framing of some of the people."""
        betas, camera, crop, how, depth = self
        return Framing(betas[part], camera[part], crop[part], how, None if depth is None else depth[part])


class PosedGroups(NamedTuple):
    """Groups as bodies; metres, camera frame."""

    rotations: Float[Tensor, "n g 24 3 3"]
    translation: Float[Tensor, "n g 3"]
    joints: Float[Tensor, "n g 29 3"]  # translation included


class Errors(NamedTuple):
    """Errors per image and hypothesis, mm; arrays (image, hypothesis)."""

    mpjpe_mm: NDArray[np.float64]
    pa_mpjpe_mm: NDArray[np.float64]
    pve_mm: NDArray[np.float64]


class Evaluation(NamedTuple):
    """The results of one model on one split; every array has one row per image."""

    errors: dict[str, dict[str, NDArray[np.float64]]]  # estimate -> metric -> (image,); best_of_g: per-metric minimum
    group: Errors  # of every hypothesis
    keypoint_px: NDArray[np.float64]  # mean 2-D error of the zero-noise hypothesis' 14 joints, px; NaN = not known
    diversity_mm: NDArray[np.float64]  # mean distance of joints to the group's mean joint, pelvis removed
    joint_spread_mm: NDArray[np.float64]  # (image, 29) the same joint by joint: how unsure the group is of each
    joint_error_mm: NDArray[np.float64]  # (image, 29) of the zero-noise hypothesis, root removed; NaN = no label

    def means(self) -> dict[str, dict[str, float]]:
        """Means over images: {estimate: {metric: mm}}."""
        return {e: {m: float(np.mean(v)) for m, v in by.items()} for e, by in self.errors.items()}


@torch.no_grad()
def pose_groups(body: Body, latents: Float[Tensor, "n g 133"], framing: Framing, *, chunk: int = CHUNK) -> PosedGroups:
    """Decode all hypotheses of n images to bodies, metres. chunk: bodies posed at once; a group is never split."""
    size = latents.shape[1]

    def repeated(values: Tensor) -> Tensor:
        return values.repeat_interleave(size, 0)

    parts = []
    for part in in_parts(len(latents), size, chunk):
        view = framing.rows(part)
        posed = decode(
            latents[part].flatten(0, 1), repeated(body.rest_joints(view.betas)), repeated(view.camera),
            repeated(view.crop), view.decoding,
            root_depth=None if view.root_depth is None else repeated(view.root_depth),
        )  # fmt: skip
        back = step_back(posed.joints)  # a camera inside a body sees only skin
        posed = posed._replace(translation=posed.translation + back, joints=posed.joints + back[:, None])
        parts.append([x.unflatten(0, (-1, size)) for x in posed])
    return PosedGroups(*(torch.cat(x) for x in zip(*parts)))


def joint_errors(
    joints: Float[Tensor, "n g 29 3"], true: Float[Tensor, "n 29 3"]
) -> tuple[Float[np.ndarray, "n g"], Float[np.ndarray, "n g"]]:
    """MPJPE and PA-MPJPE of hypotheses, mm, from joints in metres with any translation.

    NaN = no label: such joints are left out, and where the pelvis has none the middle of the hips stands for it. NaN
    where neither is known.
    """
    seen = (joints - root_of(joints, true[:, None]))[:, :, _EVAL]
    want = (true - root_of(true, true))[:, None, _EVAL].expand(seen.shape)
    if not bool(want.isnan().any()):
        return mpjpe(seen, want), pa_mpjpe(seen, want)
    given = want.isfinite().all(-1)
    clean = want.where(given[..., None], 0.0)
    return mpjpe(seen, clean, given), pa_mpjpe(seen, clean, given)


def root_of(joints: Float[Tensor, "*some 29 3"], true: Float[Tensor, "*other 29 3"]) -> Float[Tensor, "*some 1 3"]:
    """The pelvis; the middle of the hips where the truth has no pelvis."""
    pelvis, hips = joints[..., :1, :], joints[..., 1:3, :].mean(-2, keepdim=True)
    return pelvis.where(~true[..., :1, :].isnan(), hips)


@torch.no_grad()
def group_errors(
    body: Body,
    truth: Truth,
    posed: PosedGroups,
    betas: Float[Tensor, "n 10"],
    *,
    vertices: bool = True,
    chunk: int = CHUNK,
) -> Errors:
    """Errors of all hypotheses of n images.

    vertices=False leaves PVE as NaN and saves most of the time; without true bodies it is NaN too. chunk:
    bodies whose vertices are made at once; a group is never split.
    """
    count, size = posed.joints.shape[:2]
    found = Errors(*(np.full((count, size), np.nan) for _ in METRICS))
    for part in in_parts(count, size, chunk):
        people = some_of(truth, part)
        true = true_joints(body, people)
        found.mpjpe_mm[part], found.pa_mpjpe_mm[part] = joint_errors(posed.joints[part], true)
        if vertices and isinstance(people, TrueBodies):
            rotations, translation, joints = (x[part].flatten(0, 1) for x in posed)
            mesh = body(rotations, betas[part], translation - joints[:, 0]).vertices  # about the pelvis
            mesh = mesh.unflatten(0, (-1, size))
            goal = body(*people._replace(translation=people.translation - true[:, 0])).vertices
            found.pve_mm[part] = pve(mesh, goal[:, None].expand(mesh.shape))
    return found


@torch.no_grad()
def evaluate_groups(
    body: Body,
    truth: Truth,
    latents: Float[Tensor, "n g 133"],
    posed: PosedGroups,
    framing: Framing,
    *,
    true_camera: Float[Tensor, "n 4"],
    scores: Float[np.ndarray, "n g"] | None = None,
    vertices: bool = True,
) -> Evaluation:
    """Evaluate groups whose hypothesis 0 started from zero noise; `posed` is what `framing` makes of the latents.

    zero_noise: hypothesis 0. mean: one mesh from the mean of the group's diffused vectors. medoid: the hypothesis
    nearest to the others. selected: the hypothesis that `scores` (0-100, NaN = abstained) rank first. fused: one mesh
    from the mean of the five that they rank first. best_of_g: minimum over the group for each metric by itself, an
    oracle's choice. Without scores, selected and fused are left out.

    Works on some images at a time: memory beside the groups themselves does not grow with the number of images.
    """
    count, size = latents.shape[:2]
    return joined(
        [
            _evaluate(
                body, some_of(truth, part), latents[part], PosedGroups(*(x[part] for x in posed)),
                framing.rows(part), true_camera[part], None if scores is None else scores[part], vertices,
            )
            for part in in_parts(count, size, MEASURED)
        ]
    )  # fmt: skip


def joined(parts: Sequence[Evaluation]) -> Evaluation:
    """Evaluations of several parts of the images as one."""

    def together(*arrays: NDArray) -> NDArray:
        return np.concatenate(arrays)

    errors, group, *rest = zip(*parts)
    return Evaluation(
        {e: {m: together(*(one[e][m] for one in errors)) for m in METRICS} for e in errors[0]},
        Errors._make(together(*arrays) for arrays in zip(*group)),
        *(together(*arrays) for arrays in rest),
    )


def _evaluate(
    body: Body, truth: Truth, latents: Tensor, posed: PosedGroups, framing: Framing, true_camera: Tensor,
    scores: NDArray[np.float64] | None, vertices: bool,
) -> Evaluation:  # fmt: skip
    zero_start = np.zeros(latents.shape[:2], bool)
    zero_start[:, 0] = True
    centred = posed.joints - posed.joints[:, :, :1]
    chosen = {"zero_noise": np.zeros(len(latents), np.int64), "medoid": medoid(centred[:, :, _EVAL])}
    made = {"mean": [mean_latent(group) for group in latents]}
    if scores is not None:
        chosen["selected"] = critic_choice(scores, zero_start)
        best = top_ranked(scores, zero_start, FUSED)
        made["fused"] = [mean_latent(group[torch.from_numpy(places)]) for group, places in zip(latents, best)]
    group = group_errors(body, truth, posed, framing.betas, vertices=vertices)
    means = pose_groups(body, torch.stack([torch.stack(one) for one in made.values()], 1), framing)
    of_means = group_errors(body, truth, means, framing.betas, vertices=vertices)
    errors: dict[str, dict[str, NDArray]] = {estimate: {} for estimate in ESTIMATES if estimate in {*chosen, *made}}
    errors["best_of_g"] = {}
    for metric, values, averaged in zip(METRICS, group, of_means):
        for estimate, places in chosen.items():
            errors[estimate][metric] = values[np.arange(len(values)), places]
        for estimate, column in zip(made, averaged.T):
            errors[estimate][metric] = column
        errors["best_of_g"][metric] = values.min(1)
    true = true_joints(body, truth)
    spread = joint_spread(centred)
    about, goal = posed.joints[:, 0] - root_of(posed.joints[:, 0], true), true - root_of(true, true)
    return Evaluation(
        errors=errors,
        group=group,
        keypoint_px=keypoint_error_px(
            project(posed.joints[:, 0, _EVAL], framing.camera),
            project(true[:, _EVAL].nan_to_num(1.0), true_camera),
            _seen_by_camera(truth, true, true_camera).numpy(),
        ),
        diversity_mm=spread[:, _EVAL].mean(1),
        joint_spread_mm=spread,
        joint_error_mm=1000 * (about - goal).norm(dim=-1).double().cpu().numpy(),
    )


def _seen_by_camera(truth: Truth, true: Tensor, camera: Tensor) -> Bool[Tensor, "n 14"]:
    """Which of the 14 joints have a true place in the picture."""
    known = true[:, _EVAL].isfinite().all(-1) & camera.isfinite().all(-1, keepdim=True)
    return known if isinstance(truth, TrueBodies) else known & truth.placed[:, None]


def in_parts(count: int, size: int, bodies: int) -> list[slice]:
    """`count` images in parts of about `bodies` hypotheses, `size` per image; a group is never split."""
    step = max(1, bodies // size)
    return [slice(start, start + step) for start in range(0, count, step)]
