"""Whether the spread of hypotheses means something: how often the truth lies inside their central intervals.

A calibrated group of g hypotheses puts the truth at each of the g + 1 places among them equally often, so that an
interval which leaves out k places at each end holds it in a share 1 - 2 k / (g + 1) of cases, for any g.
Source: rank histograms of ensemble forecasts (Hamill 2001, Monthly Weather Review 129).
"""

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

LEVELS = (0.5, 0.8, 0.95)
"""Nominal shares."""


def ranks(hypotheses: Float[np.ndarray, "n hypothesis *what"], true: NDArray[np.floating]) -> NDArray[np.float64]:
    """(n, *what) rank of the truth among g hypotheses, 0 (below all) to g (above all); ties count half. Any unit."""
    below = (hypotheses < true[:, None]).sum(1)
    level = (hypotheses == true[:, None]).sum(1)
    return below + level / 2


def coverage(
    hypotheses: Float[np.ndarray, "image hypothesis joint 3"], true: Float[np.ndarray, "image joint 3"], level: float
) -> Float[np.ndarray, "joint 3"]:
    """Share (0-1) of images whose truth lies inside the central interval of the nominal level, by joint and axis.

    Points are metres. A rank that the interval's end cuts counts in proportion, so that a calibrated group gets exactly
    `level`.
    """
    places = hypotheses.shape[1] + 1
    outside = (1 - level) / 2 * places  # places left out at each end, not a whole number
    found = ranks(hypotheses, true)
    nearer = np.minimum(found, places - 1 - found)  # whole places between the truth and the nearer end
    return np.clip(nearer + 1 - outside, 0, 1).mean(0)
