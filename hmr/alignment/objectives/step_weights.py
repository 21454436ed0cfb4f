"""lambda_t: how much the noise errors of a diffusion step count."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from hmr.alignment.objectives.settings import ObjectiveSettings

__all__ = ["step_weights"]

MIN_SNR = 5.0  # gamma of Hang et al. 2023, their default


def step_weights(
    settings: ObjectiveSettings,
    steps: Int[Tensor, "*draw"],
    table: Float[Tensor, " step"],
    spread: Float[Tensor, ""],
) -> Float[Tensor, "*draw"]:
    """lambda_t at each step drawn.

        const    1                                    plain noise errors, as the papers train
        x0       1 + 1 / SNR_t                        errors of x0, in units of the spread
        min_snr  min(1, 5 / SNR_t)                    Hang et al. 2023 (arXiv:2303.09556)
        elbo     T beta_t / (2 alpha_t (1 - abar_t))  the variational bound, Ho et al. 2020, Eq. 12, sigma_t^2 = beta_t

    with SNR_t = spread^2 abar_t / (1 - abar_t). At data scale 50 the noise errors of two different x0 hardly differ
    near t = T, where the choice between them is made: with x0 weights a step counts as the unit-variance output of
    a preconditioned network does (Karras et al. 2022). `spread` is the residual standard deviation of x0 about its
    conditional mean; `table` the cumulative products abar.
    """
    kept = table[steps]
    if settings.lambda_t == "const":
        return torch.ones_like(kept)
    if settings.lambda_t == "elbo":
        alpha = kept / torch.where(steps > 0, table[(steps - 1).clamp(min=0)], 1.0)
        return len(table) * (1 - alpha) / (2 * alpha * (1 - kept))
    noise_to_signal = (1 - kept) / kept / spread.square()
    return 1 + noise_to_signal if settings.lambda_t == "x0" else (MIN_SNR * noise_to_signal).clamp(max=1)
