"""The headroom probe: how much better could this base become on a target domain, if its labels were known?

Supervised fine-tuning of the noise predictor on declared labels, with the same parts frozen as in alignment. Look
at this number before any preference run: gains of an alignment are shares of it.
"""

import copy
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from pydantic import BaseModel as Settings
from pydantic import ConfigDict
from torch import Tensor

from hmr.diffusion.condition import Condition
from hmr.diffusion.noise_schedule import STEPS, diffuse
from hmr.models.base_model import HmrModel


class HeadroomSettings(Settings):
    """One supervised fine-tuning."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    steps: int = 600
    batch: int = 256
    learning_rate: float = 3e-4
    lowest_step: int = 100
    evaluate_every: int = 50
    patience: int = 5  # evaluations without a new best one before it stops
    seed: int = 0


def fine_tune_on_labels(
    model: HmrModel,
    condition: Condition,
    latents: Float[Tensor, "n 133"],
    settings: HeadroomSettings,
    validate: Callable[[HmrModel], float],
    report: Callable[[int, float], None] | None = None,
) -> HmrModel:
    """Train the noise predictor on true x0; returns the model of the step with the smallest error by `validate`.

    The loss is the residual's denoising in preconditioned form, as in pretraining: x0 error over the spread,
    divided by c_out, at steps from `lowest_step` up.
    """
    tuned = copy.deepcopy(model)
    predictor: Any = tuned.predictor.train()  # any network's: the buffers and `spread_of` are of ours
    optimiser = torch.optim.Adam(predictor.parameters(), settings.learning_rate)
    best, best_error, waited = copy.deepcopy(predictor.state_dict()), validate(model), 0
    if report:
        report(0, best_error)
    for step in range(settings.steps):
        generator = torch.Generator().manual_seed(settings.seed * 1_000_003 + step)
        rows = torch.randint(len(latents), (settings.batch,), generator=generator)
        steps = torch.randint(settings.lowest_step, STEPS, (settings.batch, 1), generator=generator)
        noise = torch.randn(settings.batch, 1, latents.shape[1], generator=generator)
        noisy = diffuse(latents[rows][:, None], noise, steps, predictor.alpha_bars)
        kept = predictor.alpha_bars[steps][..., None]
        details = condition.select(rows)
        error = (predictor(noisy, steps, details) - noise) * ((1 - kept) / kept).sqrt()
        spread = predictor.spread_of(details)
        sigma = ((1 - kept) / kept).sqrt() / spread
        loss = (error / spread * (sigma.square() + 1).sqrt() / sigma).square().mean()
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(predictor.parameters(), 1.0)
        optimiser.step()
        if (step + 1) % settings.evaluate_every == 0:
            value = validate(tuned.eval())
            predictor.train()
            if report:
                report(step + 1, value)
            waited += 1
            if value < best_error:
                best, best_error, waited = copy.deepcopy(predictor.state_dict()), value, 0
            if waited >= settings.patience:
                break
    predictor.load_state_dict(best)
    return tuned.eval()
