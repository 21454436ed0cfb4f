"""How far a drawn body agrees with what the detector saw: keypoints beside landmarks, silhouette beside mask.

The detector's evidence is not ground truth, but every photograph has it, so these two measures can be used where
there are no labels: on people's own photographs.
"""

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray

__all__ = ["CROP", "LANDMARK_OF_KEYPOINT", "SHARED", "cells_inside", "keypoint_distance", "mask_iou"]

CROP = 256.0
"""Side of the crop, px, in which keypoint distances are given: people near and far count alike."""

# fmt: off
LANDMARK_OF_KEYPOINT = np.array([
    0, 2, 5, 7, 8, 11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28,  # COCO-17
    31, -1, 29, 32, -1, 30,  # big toe, small toe, heel of the left and the right foot
])
# fmt: on
"""(23,) BlazePose landmark (Bazarevsky et al. 2020) of each of `KEYPOINT_NAMES`; -1 = it has none."""

SHARED = np.flatnonzero(LANDMARK_OF_KEYPOINT >= 0)
"""(21,) the keypoints that the detector sees too: all but the small toes."""


def keypoint_distance(
    projected: Float[np.ndarray, "n 23 2"], landmarks: Float[np.ndarray, "n 33 4"], crop: Float[np.ndarray, "n 3"]
) -> Float[np.ndarray, " n"]:
    """Mean distance of projected keypoints to the detector's landmarks, px of a crop of 256 px; (n,) float64.

        d = 256 / side * sum_k v_k |p_k - l_k| / sum_k v_k        over the 21 keypoints that both have

    Args:
        projected: keypoints, px of the photograph, as `KEYPOINT_NAMES` orders them.
        landmarks: x, y (px of the photograph), z, visibility v in 0..1.
        crop: centre x, centre y, side of the person's square crop, px of the photograph.

    A landmark that is not finite counts as unseen; NaN where no landmark is seen.
    """
    seen = np.asarray(landmarks, np.float64)[:, LANDMARK_OF_KEYPOINT[SHARED]]
    finite = np.asarray(np.isfinite(seen).all(-1))
    weight = np.where(finite, np.clip(seen[..., 3], 0.0, 1.0), 0.0)
    places = np.where(finite[..., None], seen[..., :2], 0.0)
    gaps = np.linalg.norm(np.asarray(projected, np.float64)[:, SHARED] - places, axis=-1)
    total = weight.sum(-1)
    mean = np.divide(
        np.where(weight > 0, weight * gaps, 0.0).sum(-1), total, out=np.full(len(gaps), np.nan), where=total > 0
    )
    return mean * CROP / np.asarray(crop, np.float64)[:, 2]


def mask_iou(
    silhouette: NDArray, mask: NDArray, inside: Bool[np.ndarray, "n 64 64"] | None = None
) -> Float[np.ndarray, " n"]:
    """Intersection over union of silhouettes and masks inside the photograph; (n,) float64.

    A cell belongs to silhouette or mask where its value is a half or more. (The probabilities of a mask fall off over
    several cells at its border, so an overlap of the values themselves would stay below .9 for a perfect body.)

    Args:
        silhouette: (n, 64, 64) the drawn body over the crop, 0..1, or bytes 0..255.
        mask: (n, 64, 64) the detector's person probability over the same crop, 0..1, or bytes 0..255.
        inside: cells that lie in the photograph (`cells_inside`); the others are ignored. None = all.

    NaN where both are empty.
    """
    s, p = (_belongs(x) if inside is None else _belongs(x) & inside for x in (silhouette, mask))
    common, union = (s & p).sum((1, 2)), (s | p).sum((1, 2))
    return np.divide(common, union, out=np.full(len(s), np.nan), where=union > 0)


def cells_inside(
    crop: Float[np.ndarray, "n 3"], width: NDArray | int, height: NDArray | int, cells: int = 64
) -> Bool[np.ndarray, "n cells cells"]:
    """Cells of crops (px) whose centre lies in the photograph. width, height: (n,) or one number, px."""
    crop = np.asarray(crop, np.float64)
    steps = ((np.arange(cells) + 0.5) / cells - 0.5) * crop[:, 2:]
    x, y = crop[:, :1] + steps, crop[:, 1:2] + steps
    across = (x >= 0) & (x <= np.reshape(width, (-1, 1)))
    down = (y >= 0) & (y <= np.reshape(height, (-1, 1)))
    return down[:, :, None] & across[:, None, :]


def _belongs(cells: NDArray) -> NDArray[np.bool_]:
    return np.asarray(cells) >= (128 if np.asarray(cells).dtype == np.uint8 else 0.5)
