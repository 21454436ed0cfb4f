"""Where BlazePose places its 33 landmarks on a body: points fixed to joints' frames.

The offsets in `assets/landmark_points.json` were fitted by least squares to the detector's landmarks of drawn people
with known ground truth (deploy/assets/build_landmark_points.py); they are metres in the rest pose's axes.
"""

import json
from functools import lru_cache
from importlib import resources

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

LANDMARKS = 33

CARRIERS = (
    *[15] * 11,  # face
    16, 17, 18, 19, 20, 21,  # shoulders, elbows, wrists
    22, 23, 22, 23, 22, 23,  # little fingers, index fingers, thumbs
    0, 0, 4, 5, 7, 8,  # hips (with the pelvis), knees, ankles
    7, 8, 10, 11,  # heels, big toes
)  # fmt: skip
"""Joint of the 29 in whose frame each landmark is fixed."""


@lru_cache(maxsize=1)
def landmark_offsets() -> Float[np.ndarray, "33 3"]:
    """The shipped offsets, metres."""
    with (resources.files("hmr") / "assets" / "landmark_points.json").open() as file:
        return np.array(json.load(file)["offsets_m"], np.float32)


def landmark_places(
    joints: Float[Tensor, "n 29 3"], rotations: Float[Tensor, "n 24 3 3"], offsets: Float[Tensor, "33 3"] | None = None
) -> Float[Tensor, "n 33 3"]:
    """The landmarks of posed bodies, metres; rotations are those of every joint, in the frame of the joints."""
    given = torch.from_numpy(landmark_offsets()) if offsets is None else offsets
    carriers = list(CARRIERS)
    return joints[:, carriers] + (rotations[:, carriers] @ given.to(joints)[None, :, :, None])[..., 0]


def fit_landmark_points(
    joints: Float[np.ndarray, "n 29 3"],
    rotations: Float[np.ndarray, "n 24 3 3"],
    camera: Float[np.ndarray, "n 4"],
    seen: Float[np.ndarray, "n 33 4"],
    *,
    visible: float = 0.8,
    rounds: int = 12,
) -> Float[np.ndarray, "33 3"]:
    """Offsets (33, 3), metres, that bring the projected landmarks nearest to the detector's (x, y in px, visibility).

    Gauss-Newton on the reprojection error, each landmark on its own, with weights 1 / (1 + (error / 4 px)^2) so that
    wrong detections do not count; landmarks of visibility below `visible` are left out. A weak pull (1 px per 5 cm)
    towards the joint keeps depths finite where no view shows them.
    """
    offsets = np.zeros((LANDMARKS, 3))
    carriers = list(CARRIERS)
    start, frames = joints[:, carriers].astype(np.float64), rotations[:, carriers].astype(np.float64)
    focal = camera[:, None, :2].astype(np.float64)
    sure = seen[..., 3] > visible
    for _ in range(rounds):
        points = start + np.einsum("npij,pj->npi", frames, offsets)
        depth = points[..., 2:].clip(0.05)
        gap = seen[..., :2] - (focal * points[..., :2] / depth + camera[:, None, 2:])
        weights = sure / (1 + np.square(gap).sum(-1) / 16)
        by_place = np.zeros((*gap.shape, 3))  # of (x, y) with the point
        by_place[..., 0, 0], by_place[..., 1, 1] = focal[..., 0] / depth[..., 0], focal[..., 1] / depth[..., 0]
        by_place[..., 2] = -focal * points[..., :2] / depth**2
        slope = by_place @ frames
        gram = np.einsum("np,npai,npaj->pij", weights, slope, slope)
        right = np.einsum("np,npai,npa->pi", weights, slope, gap)
        pull = weights.sum(0)[:, None, None] * np.eye(3) / 0.05**2 + 1e-9 * np.eye(3)
        offsets += np.linalg.solve(gram + pull, (right - (pull @ offsets[..., None])[..., 0])[..., None])[..., 0]
    return offsets
