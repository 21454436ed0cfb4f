"""Numbers fitted on labelled people: those of assets/evidence.json, made by deploy/assets/build_evidence.py."""

import json
from functools import lru_cache
from importlib import resources
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Fitted(NamedTuple):
    """The content of assets/evidence.json."""

    weights: dict[str, float]  # of the checks in the evidence critic's sum
    scales: dict[str, float]  # standard deviation of a check's evidence times penalty inside a group
    camera_offsets: Floats  # (23, 3) metres from a world landmark to our keypoint, along the camera's axes
    body_offsets: Floats  # (23, 3) metres, the rest of the way along the trunk's axes: left, up, forward


@lru_cache(maxsize=1)
def fitted() -> Fitted:
    """The shipped numbers, read once per process."""
    kept = json.loads((resources.files("critique") / "assets" / "evidence.json").read_text())
    offsets = (np.array(kept["offsets"][axes], dtype=np.float64) for axes in ("camera", "body"))
    return Fitted(kept["weights"], kept["scales"], *offsets)
