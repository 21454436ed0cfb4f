"""Policy-gradient form: the ratio itself in place of its logarithm, and PPO's clip."""

import torch
from jaxtyping import Float
from torch import Tensor

from hmr.advantage import Advantages
from hmr.objectives.objective import damped, over_group
from hmr.objectives.settings import ObjectiveSettings


def ratio(
    change: Float[Tensor, "image hypothesis head"], advantages: Advantages, settings: ObjectiveSettings
) -> Float[Tensor, "image head"]:
    """-sum_i min(A_i r_i, A_i clip(r_i, 1 - e, 1 + e)),  r_i = exp(-beta D_i)

    and -sum_i A_i r_i where `clip_eps` is None.
    Source: PPO, Schulman et al. 2017 (arXiv:1707.06347), Eq. 7, with the reference as the old policy and the
    ratio of the diffusion bound. At the reference the gradient is the linear one. Clipped, with a zero sum
    of A, it is at least -2 e times the sum of the positive A.
    """
    weights = damped(advantages.values, settings.neg_scale)[..., None]
    ratios = torch.exp(-settings.beta * change)
    gain = weights * ratios
    if settings.clip_eps is not None:
        gain = torch.minimum(gain, weights * ratios.clamp(1 - settings.clip_eps, 1 + settings.clip_eps))
    return -over_group(gain, settings)
