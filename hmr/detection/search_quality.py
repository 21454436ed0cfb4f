"""How well people are found: found, missed and false, against people who were marked by eye.

Boxes are x0, y0, x1, y1 in shares of the picture's width and height, so that a picture may change its size.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from hmr.detection.boxes import matches, overlaps

LEAST_OVERLAP = 0.3
"""Least intersection over union at which a found box counts as a marked person: marks by eye are rough."""


class Searched(NamedTuple):
    """How many people of one picture, or of several together, were found or missed, and how many finds are false."""

    found: int
    missed: int
    false: int  # things taken for people, and people found a second time


def search_quality(
    found: Float[np.ndarray, "n 4"], people: Float[np.ndarray, "m 4"], uncounted: Float[np.ndarray, "k 4"]
) -> Searched:
    """Found boxes against those of the marked people, each taken once, the greatest overlaps first.

    Boxes as in the module's docstring: x0, y0, x1, y1 in shares of width and height, 0-1. uncounted: regions whose
    people were not counted (a crowd, someone cut off by the edge). A find that is no marked person and lies in such a
    region by more than half is neither found nor false.
    """
    taken = matches(overlaps(found, people), LEAST_OVERLAP) if len(people) else np.full(len(found), -1)
    right = int((taken >= 0).sum())
    stray = found[taken < 0]
    false = len(stray) - int((_share_inside(stray, uncounted) > 0.5).any(1).sum())
    return Searched(right, len(people) - right, false)


def search_quality_by_count(found: int, people: int) -> Searched:
    """As `search_quality`, if only numbers are known: a false find can then hide a missed person."""
    return Searched(min(found, people), max(0, people - found), max(0, found - people))


def added(parts: list[Searched]) -> Searched:
    """The sum of the counts over pictures."""
    return Searched(*(sum(part[k] for part in parts) for k in range(3)))


def _share_inside(boxes: Float[np.ndarray, "n 4"], regions: Float[np.ndarray, "k 4"]) -> Float[np.ndarray, "n k"]:
    low = np.maximum(boxes[:, None, :2], regions[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], regions[None, :, 2:])
    size = (boxes[:, 2:] - boxes[:, :2]).clip(1e-9).prod(-1)
    return (high - low).clip(0).prod(-1) / size[:, None]
