"""The temperature of a base's sampler: a spread that is too small or too large comes back to nominal coverage."""

import pytest
import torch

from hmr.body.body import load_body
from hmr.diffusion.sampler import draw_latents, group_seeds
from hmr.metrics.evaluation import Framing, pose_groups
from hmr.models.model_file import load_model
from hmr.pretraining.labels import undrawn_people
from hmr.pretraining.pretraining import examples
from hmr.pretraining.spread_calibration import calibrate_spread
from hmr.studio.simulated_detection import DetectionNoise, simulate
from hmr.studio.studio import Look


@pytest.mark.parametrize("wrong", [0.7, 1.5])
def test_a_wrong_spread_is_found(wrong):
    """The truth is drawn by the model itself at a known temperature."""
    body, model = load_body(), load_model("default")
    model.architecture["sampler"] = {"temperature": 1 / wrong}
    people = undrawn_people(body, 60, (Look(lab=False, poses="free"),))
    batch = examples(people, simulate(people, DetectionNoise(), torch.Generator().manual_seed(0)))
    told = model.observe(batch.observation)
    seeds = torch.from_numpy(group_seeds(1, "truth", [str(k) for k in range(60)], 1))
    latents = draw_latents(model.predictor, told, seeds, torch.zeros(60, 1, dtype=torch.bool), model.sampler)
    true = pose_groups(body, latents, Framing(told.betas, batch.camera, batch.crop, model.decoding)).joints[:, 0]
    chosen = (0.5, 1 / 1.5, 1.0, 1 / 0.7, 2.0)
    found = calibrate_spread(model, body, batch.observation, batch.camera, batch.crop, true - true[:, :1], chosen)
    assert found["temperature"] == model.sampler.temperature == pytest.approx(1 / wrong)
    assert abs(found["coverage_80"] - 0.8) < 0.06
