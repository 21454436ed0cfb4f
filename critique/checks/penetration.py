"""Do body parts pass through each other?"""

import numpy as np

from critique.checks.finding import Finding, weigh
from storage.records import DrawnGroup

HALF = 0.04
"""Depth that gives half of the full penalty, metres."""


def penetration(drawn: DrawnGroup) -> Finding:
    """Deepest self-penetration, metres, as measured when the group was drawn; NaN counts as none."""
    depth = np.nan_to_num(drawn.penetration.astype(np.float64))[:, None]
    return weigh(depth, np.ones(1), HALF, ("body parts",), "{place} pass {size:.0f} cm into each other", shown=100.0)
