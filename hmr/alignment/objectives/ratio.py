"""Policy-gradient form: the ratio itself in place of its logarithm, and PPO's clip."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from hmr.alignment.advantage import Advantages
from hmr.alignment.objectives.errors import GroupErrors
from hmr.alignment.objectives.objective import damped, over_group
from hmr.alignment.objectives.settings import ObjectiveSettings


def ratio(errors: GroupErrors, advantages: Advantages, settings: ObjectiveSettings) -> Float[Tensor, "image head"]:
    """-sum_i min(A_i r_i, A_i clip(r_i, 1 - e, 1 + e)),  r_i = exp(-beta D_i)

    and -sum_i A_i r_i where `clip_eps` is None.
    Source: PPO, Schulman et al. 2017 (arXiv:1707.06347), Eq. 7, with the reference as the old policy and the
    ratio of the diffusion bound. At the reference the gradient is the linear one. Clipped, with a zero sum
    of A, it is at least -2 e times the sum of the positive A. Unit-free: A counts standard deviations.
    """
    weights = damped(advantages.values, settings.neg_scale)[..., None]
    log_ratio = -settings.beta * errors.change
    if settings.clip_eps is not None:  # the minimum, written so that a stopped ratio can not overflow into NaN
        ceiling, floor = math.log1p(settings.clip_eps), math.log1p(-settings.clip_eps)
        log_ratio = torch.where(weights >= 0, log_ratio.clamp(max=ceiling), log_ratio.clamp(min=floor))
    return -over_group(weights * torch.exp(log_ratio), settings)
