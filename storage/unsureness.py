"""How unsure a critic's first choice in a group is: what a re-score looks at first."""

import numpy as np
from jaxtyping import Float32, Int
from numpy.typing import NDArray

__all__ = ["unsureness"]


def unsureness(
    sizes: Int[np.ndarray, " group"], scores: NDArray[np.floating], errors: NDArray[np.floating]
) -> Float32[np.ndarray, " group"]:
    """How unsure the first choice of each group is, points: its standard error, if known, less its lead over the
    second.

    Infinite if fewer than two hypotheses have a score: then nothing is known. float32, as manifests keep it.

    sizes: hypotheses of each group. scores, errors: of all hypotheses, group after group; NaN is a score that is
    missing or an error that is not known.
    """
    if not len(scores):
        return np.full(len(sizes), np.inf, np.float32)
    starts = np.cumsum(sizes) - sizes
    group = np.repeat(np.arange(len(sizes)), sizes)
    judged = np.bincount(group, ~np.isnan(scores), len(sizes))
    order = np.lexsort((-scores, group))  # of each group the best first; NaN comes last
    best, second = (order[np.minimum(starts + place, len(scores) - 1)] for place in (0, 1))
    with np.errstate(invalid="ignore"):
        found = np.nan_to_num(errors[best]) - (scores[best] - scores[second])
    return np.where(judged < 2, np.inf, found).astype(np.float32)
