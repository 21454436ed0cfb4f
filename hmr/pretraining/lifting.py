"""Linear lifting: ridge regression from detections to 3-D joints. The floor that every learned model must beat."""

from importlib import resources
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from hmr.body.body import Body
from hmr.body.skeleton import EVAL_14
from hmr.diffusion.condition import PLACES
from hmr.metrics import evaluation
from hmr.metrics.evaluation import TrueJoints
from hmr.metrics.pose_metrics import mpjpe, pa_mpjpe
from hmr.pretraining.labels import KnownPeople
from hmr.studio.observation import SeenPeople, landmarks_in_crop
from storage.finished_file import finished_file

Floats = NDArray[np.float64]
HIPS = [EVAL_14.index(2), EVAL_14.index(1)]
INPUTS = ("places", "landmarks", "world", "everything")
"""What is lifted: what the `lab` base reads, 2-D landmarks, world landmarks, all that `default` reads."""


class Ridge(NamedTuple):
    """A fitted ridge regression; apply with `lift`."""

    mean: Floats  # (f,)
    scale: Floats  # (f,)
    weights: Floats  # (f + 1, 14 * 3)


class Liftings(NamedTuple):
    """The liftings and the mean pose of one training set; joints are `EVAL_14`, metres minus the pelvis."""

    places: Ridge  # from where 13 joints are in the crop
    landmarks: Ridge  # from the 2-D landmarks and their visibility, in crop coordinates
    world: Ridge  # from the world landmarks
    everything: Ridge  # from the landmarks with depth and visibility and the world landmarks
    mean_pose: Floats  # (14, 3)


def fit_ridge(features: NDArray, joints: NDArray, ridge: float = 1e-2) -> Ridge:
    """Fit a linear map from features (n, f) to joints (n, 14, 3), metres minus the pelvis, by ridge regression.

    `ridge` is the penalty weight per sample, on standardised features.
    """
    mean, scale = features.mean(0, dtype=np.float64), features.std(0, dtype=np.float64) + 1e-6
    inputs = _inputs(features, mean, scale)
    gram = inputs.T @ inputs + ridge * len(inputs) * np.eye(inputs.shape[1])
    weights: Floats = np.linalg.solve(gram, inputs.T @ joints.reshape(len(joints), -1)).astype(np.float64, copy=False)
    return Ridge(mean, scale, weights)


def lift(ridge: Ridge, features: NDArray) -> Floats:
    """Joints (n, 14, 3), metres minus the pelvis, from features (n, f)."""
    return (_inputs(features, ridge.mean, ridge.scale) @ ridge.weights).reshape(len(features), -1, 3)


def fit_liftings(parts: list[tuple[SeenPeople, NDArray]]) -> Liftings:
    """Fit on parts of seen people and their true joints (n, 14, 3), metres minus the pelvis."""
    joints = np.concatenate([true for _, true in parts])
    features = {name: np.concatenate([_features(seen, name) for seen, _ in parts]) for name in INPUTS}
    return Liftings(**{name: fit_ridge(features[name], joints) for name in INPUTS}, mean_pose=joints.mean(0))


class LiftingErrors(NamedTuple):
    """Errors of the mean pose and of the liftings, by name, (n,) mm."""

    mpjpe_mm: dict[str, NDArray[np.float64]]
    pa_mpjpe_mm: dict[str, NDArray[np.float64]]


def lifting_errors(liftings: Liftings, body: Body, seen: SeenPeople, truth: KnownPeople) -> LiftingErrors:
    """Errors, mm, of the mean pose and of each lifting on people whose truth is known."""
    true = true_joints(body, truth)
    known = np.asarray(np.isfinite(true).all(-1))
    given = None if known.all() else known
    guesses = {"mean_pose": np.broadcast_to(liftings.mean_pose, true.shape).copy()}
    for name in INPUTS:
        guesses[f"lifting_{name}"] = lift(getattr(liftings, name), _features(seen, name))
    if isinstance(truth.bodies, TrueJoints):
        hipless = truth.bodies.joints[:, 0].isnan().any(-1).numpy()[:, None, None]  # about the middle of the hips then
        guesses = {name: guess - hipless * guess[:, HIPS].mean(1, keepdims=True) for name, guess in guesses.items()}
    true = np.where(known[..., None], true, 0)
    return LiftingErrors(
        {name: mpjpe(guess, true, given) for name, guess in guesses.items()},
        {name: pa_mpjpe(guess, true, given) for name, guess in guesses.items()},
    )


@torch.no_grad()
def true_joints(body: Body, truth: KnownPeople) -> Floats:
    """True joints (n, 14, 3), metres minus the pelvis (`root_of`); NaN = no label."""
    found = []
    for start in range(0, len(truth.camera), 64):
        joints = evaluation.true_joints(body, evaluation.some_of(truth.bodies, slice(start, start + 64)))
        found.append((joints[:, list(EVAL_14)] - evaluation.root_of(joints, joints)).double().numpy())
    return np.concatenate(found)


def save_liftings(liftings: Liftings, path: Path) -> None:
    """Write as .npz, float32."""
    ridges = {name: getattr(liftings, name) for name in INPUTS}
    arrays = {f"{n}_{f}": v.astype(np.float32) for n, r in ridges.items() for f, v in r._asdict().items()}
    with finished_file(path) as unfinished:
        np.savez_compressed(unfinished, mean_pose=liftings.mean_pose.astype(np.float32), **arrays)


def load_liftings(base: str) -> Liftings:
    """The liftings fitted on a shipped base's own training people."""
    with resources.as_file(resources.files("hmr") / "assets" / f"lifting_{base}.npz") as path, np.load(path) as kept:
        ridges = {n: Ridge._make(kept[f"{n}_{f}"].astype(np.float64) for f in Ridge._fields) for n in INPUTS}
        return Liftings(**ridges, mean_pose=kept["mean_pose"].astype(np.float64))


def _features(seen: SeenPeople, name: str) -> NDArray:
    if name == "world":
        return seen.world.reshape(len(seen.world), -1)
    marks = landmarks_in_crop(seen.landmarks, seen.crop)
    if name == "places":
        return marks[:, list(PLACES), :2].reshape(len(marks), -1)
    if name == "everything":
        return np.concatenate([marks.reshape(len(marks), -1), seen.world.reshape(len(marks), -1)], 1)
    return np.concatenate([marks[..., :2].reshape(len(marks), -1), marks[..., 3]], 1)


def _inputs(features: NDArray, mean: Floats, scale: Floats) -> Floats:
    scaled = (features.astype(np.float64) - mean) / scale
    return np.concatenate([scaled, np.ones((len(scaled), 1))], 1)
