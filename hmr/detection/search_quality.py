"""How well people are found: found, missed and false, against people whom somebody marked by eye.

Boxes are x0, y0, x1, y1 in shares of the picture's width and height, so that a picture may change its size.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from hmr.detection.boxes import matches, overlaps

LEAST_OVERLAP = 0.3
"""Intersection over union from which a found box is that of a marked person: marks by eye are rough."""


class Searched(NamedTuple):
    """What became of the people of one picture, or of several together."""

    found: int
    missed: int
    false: int  # things taken for people, and people found a second time


def search_quality(
    found: Float[np.ndarray, "n 4"], people: Float[np.ndarray, "m 4"], uncounted: Float[np.ndarray, "k 4"]
) -> Searched:
    """Found boxes against those of the marked people, each taken once, the greatest overlaps first.

    uncounted: regions whose people nobody counted (a crowd, somebody cut off by the edge). A find that lies there by
    more than a half of itself, and is no marked person, is neither right nor false.
    """
    taken = matches(overlaps(found, people), LEAST_OVERLAP) if len(people) else np.full(len(found), -1)
    right = int((taken >= 0).sum())
    stray = found[taken < 0]
    false = len(stray) - int((_share_inside(stray, uncounted) > 0.5).any(1).sum())
    return Searched(right, len(people) - right, false)


def search_quality_by_count(found: int, people: int) -> Searched:
    """The same where only the number of people is known: a false one may then hide one that was missed."""
    return Searched(min(found, people), max(0, people - found), max(0, found - people))


def added(parts: list[Searched]) -> Searched:
    """The sum over pictures."""
    return Searched(*(sum(part[k] for part in parts) for k in range(3)))


def _share_inside(boxes: Float[np.ndarray, "n 4"], regions: Float[np.ndarray, "k 4"]) -> Float[np.ndarray, "n k"]:
    low = np.maximum(boxes[:, None, :2], regions[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], regions[None, :, 2:])
    size = (boxes[:, 2:] - boxes[:, :2]).clip(1e-9).prod(-1)
    return (high - low).clip(0).prod(-1) / size[:, None]
