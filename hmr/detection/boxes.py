"""Boxes about people: how far two overlap, and which found person an annotated one is.

Boxes are x0, y0, x1, y1 in px of the photograph.
"""

import numpy as np
from jaxtyping import Float, Int


def overlaps(first: Float[np.ndarray, "n 4"], second: Float[np.ndarray, "m 4"]) -> Float[np.ndarray, "n m"]:
    """Intersection over union of each of `first` with each of `second`; 0 where a box is empty or inside out."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    both = (high - low).clip(0).prod(-1)
    sizes = [(box[:, 2:] - box[:, :2]).clip(0).prod(-1) for box in (first, second)]
    whole = sizes[0][:, None] + sizes[1][None] - both
    return np.divide(both, whole, out=np.zeros_like(whole), where=whole > 0)


def matches(overlap: Float[np.ndarray, "n m"], least: float) -> Int[np.ndarray, " n"]:
    """Column matched to each row, -1 for none: greatest overlaps (0-1) first, each column once, none below `least`."""
    left = np.where(overlap >= least, overlap, -1.0)
    taken = np.full(len(left), -1, np.int64)
    while left.size and left.max() >= 0:
        row, column = np.unravel_index(left.argmax(), left.shape)
        taken[row] = column
        left[row], left[:, column] = -1.0, -1.0
    return taken


def boxes_of(points: Float[np.ndarray, "n point 2"]) -> Float[np.ndarray, "n 4"]:
    """The bounding box of the points of each row, in the unit of the points (px)."""
    return np.concatenate([points.min(1), points.max(1)], -1)


def within(box: Float[np.ndarray, "n 4"], size: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "n 4"]:
    """Boxes clipped to pictures of these sizes (width, height), px."""
    return np.clip(box, 0, np.concatenate([size, size], -1))
