"""Small drawn groups for tests of remote critics, and settings for the loopback server."""

import numpy as np

from critique.endpoint.loopback import LoopbackVlm
from critique.vlm.vlm_settings import VlmSettings
from storage.records import DrawnGroup
from tests.factories import make_group, make_person


def figures(size: int = 6, seed: int = 0) -> DrawnGroup:
    """A bright figure on a dark photograph; mesh k lies k pixels to its side, so that a lower k agrees better."""
    rng = np.random.default_rng(seed)
    photograph = np.zeros((48, 64, 3), np.uint8)
    photograph[8:40, 20:30] = 200
    photograph[-8:, -8:] = 2 * (seed % 100)  # no two photographs are the same
    overlays = []
    for k in range(size):
        overlay = photograph.copy()
        overlay[8:40, 20 + k : 30 + k] = (90, 120, 240)
        overlays.append(overlay)
    return DrawnGroup(
        make_group(rng, size, make_person(rng)),
        np.zeros((size, 64, 64), np.uint8),
        np.zeros(size, np.float32),
        photograph,
        tuple(overlays),
    )


def settings(server: LoopbackVlm, **given) -> VlmSettings:
    return VlmSettings(base_url=server.base_url, model="loopback", **({"encoding": "png"} | given))
