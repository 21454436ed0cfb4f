"""The whole ranking at once: each hypothesis is chosen before all that are worse."""

import torch
from jaxtyping import Float
from torch import Tensor

from hmr.alignment.advantage import Advantages
from hmr.alignment.objectives.errors import GroupErrors
from hmr.alignment.objectives.objective import better, over_group
from hmr.alignment.objectives.settings import ObjectiveSettings


def plackett_luce(
    errors: GroupErrors, advantages: Advantages, settings: ObjectiveSettings
) -> Float[Tensor, "image head"]:
    """-sum_i log( exp(-beta D_i) / sum_{j = i or worse than i} exp(-beta D_j) )

    Source: Diffusion-LPO, Bai et al. 2025 (arXiv:2510.01540), on the model of Plackett 1975 and Luce 1959; with
    two hypotheses it is `pairwise`. Only the order of the advantages counts. Ties are not compared with each
    other (our choice); abstentions are left out; neg_scale has no effect.
    """
    utility = -settings.beta * errors.change
    itself = torch.eye(utility.shape[1], dtype=torch.bool, device=utility.device)
    rivals = better(advantages) | itself  # image, chosen, candidate
    among = utility[:, None].where(rivals[..., None], -torch.inf).logsumexp(2)
    return over_group(among - utility, settings)
