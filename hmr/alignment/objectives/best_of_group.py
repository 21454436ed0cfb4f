"""Supervised fine-tuning on the hypotheses that the critic scores highest, as pseudo-labels."""

import torch
from jaxtyping import Float
from torch import Tensor

from hmr.alignment.advantage import Advantages
from hmr.alignment.objectives.errors import GroupErrors
from hmr.alignment.objectives.settings import ObjectiveSettings


def best_of_group(
    errors: GroupErrors, advantages: Advantages, settings: ObjectiveSettings
) -> Float[Tensor, "image head"]:
    """Mean of D over the `top_k` judged hypotheses of greatest advantage.

    That is their plain denoising error minus the reference's, which has the same gradient. beta and group_reduce
    have no effect. Groups with fewer judged members use those they have.
    """
    change = errors.change
    order = advantages.values.where(advantages.judged, -torch.inf).argsort(dim=-1, descending=True, stable=True)
    best = order[:, : settings.top_k]
    chosen = change.gather(1, best[..., None].expand(-1, -1, change.shape[-1]))
    counted = advantages.judged.gather(1, best)[..., None]
    return chosen.where(counted, 0.0).sum(1) / counted.sum(1).clamp(min=1)
