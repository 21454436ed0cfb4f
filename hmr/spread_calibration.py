"""Calibration of a base's spread: one factor, so that intervals of hypotheses hold as many truths as they say."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from hmr.base_model import BaseModel
from hmr.body import Body
from hmr.condition import Condition, Observation
from hmr.coverage import LEVELS, coverage
from hmr.evaluation import Framing, pose_groups
from hmr.sampler import draw_latents, group_seeds

FACTORS = (0.8, 0.9, 1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.8)
HYPOTHESES = 40


@torch.no_grad()
def calibrate_spread(
    model: BaseModel, body: Body, observation: Observation, camera: Float[Tensor, "n 4"], crop: Float[Tensor, "n 3"],
    joints: Float[Tensor, "n 29 3"], factors: Sequence[float] = FACTORS,
) -> dict[str, float]:  # fmt: skip
    """Widen or narrow a `landmarks` model's spread in place; returns the factor taken and the coverage it gives.

    The factor is that whose coverage of the joints about the pelvis (metres, camera axes) is nearest to nominal where
    it is farthest. The people should be none of those that the model learned from.
    """
    view = Framing(torch.empty(0), camera, crop, model.decoding)
    found = {factor: _coverage(model, body, observation, view, joints, factor) for factor in factors}
    best = min(found, key=lambda factor: max(abs(found[factor][level] - level) for level in LEVELS))
    model.encoder.spread_head.bias += float(np.log(best))  # type: ignore[union-attr, operator]
    return {"factor": best, **{f"coverage_{100 * level:.0f}": found[best][level] for level in LEVELS}}


def _coverage(
    model: BaseModel, body: Body, observation: Observation, view: Framing, joints: Tensor, factor: float
) -> dict[float, float]:
    told = model.observe(observation)
    told = Condition(told.betas, {**told.memory, "spread": factor * told.memory["spread"]})
    seeds = torch.from_numpy(group_seeds(0, "calibration", [str(k) for k in range(len(joints))], HYPOTHESES))
    latents = draw_latents(model.predictor, told, seeds, torch.zeros(seeds.shape, dtype=torch.bool), model.sampler)
    drawn = pose_groups(body, latents, view._replace(betas=told.betas)).joints
    about = (drawn - drawn[:, :, :1])[:, :, 1:].numpy()
    return {level: float(coverage(about, joints[:, 1:].numpy(), level).mean()) for level in LEVELS}
