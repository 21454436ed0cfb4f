"""Calibration of a base's spread: a temperature at which intervals of hypotheses hold as many truths as they say."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from hmr.body.body import Body
from hmr.diffusion.condition import Condition, Observation
from hmr.diffusion.sampler import SamplerSettings, draw_latents, group_seeds
from hmr.metrics.coverage import LEVELS, coverage
from hmr.metrics.evaluation import Framing, pose_groups
from hmr.models.base_model import BaseModel

TEMPERATURES = (0.8, 0.9, 1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.8)
HYPOTHESES = 40


@torch.no_grad()
def calibrate_spread(
    model: BaseModel, body: Body, observation: Observation, camera: Float[Tensor, "n 4"], crop: Float[Tensor, "n 3"],
    joints: Float[Tensor, "n 29 3"], temperatures: Sequence[float] = TEMPERATURES,
) -> dict[str, float]:  # fmt: skip
    """Set the temperature of a model's own sampler; returns it and the coverage that it gives.

    It is the one whose coverage of the joints about the pelvis (metres, camera axes) is nearest to nominal at the level
    where it is farthest. The people should be none of those that the model learned from.
    """
    told = model.observe(observation)
    view = Framing(told.betas, camera, crop, model.decoding)

    def covered(temperature: float) -> dict[float, float]:
        sampler = replace(model.sampler, temperature=temperature)
        drawn = pose_groups(body, _latents(model, told, sampler, observation.landmarks), view).joints
        about = (drawn - drawn[:, :, :1])[:, :, 1:].numpy()
        return {level: float(coverage(about, joints[:, 1:].numpy(), level).mean()) for level in LEVELS}

    found = {temperature: covered(temperature) for temperature in temperatures}
    best = min(found, key=lambda one: max(abs(found[one][level] - level) for level in LEVELS))
    model.architecture["sampler"] = {**model.architecture.get("sampler", {}), "temperature": best}
    return {"temperature": best, **{f"coverage_{100 * level:.0f}": found[best][level] for level in LEVELS}}


def _latents(model: BaseModel, told: Condition, sampler: SamplerSettings, landmarks: Tensor) -> Tensor:
    seeds = torch.from_numpy(group_seeds(0, "calibration", [str(k) for k in range(len(landmarks))], HYPOTHESES))
    noisy = torch.zeros(seeds.shape, dtype=torch.bool)
    return draw_latents(model.predictor, told, seeds, noisy, sampler, landmarks=landmarks)
