"""Direct preference optimisation on pairs of a group: the baseline that a group objective must beat."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import one_hot, softplus

from hmr.alignment.advantage import Advantages
from hmr.alignment.objectives.errors import GroupErrors
from hmr.alignment.objectives.objective import better
from hmr.alignment.objectives.settings import ObjectiveSettings


def pairwise(errors: GroupErrors, advantages: Advantages, settings: ObjectiveSettings) -> Float[Tensor, "image head"]:
    """mean over pairs of -log sigmoid(-beta (D_winner - neg_scale D_loser))

    Source: Diffusion-DPO, Wallace et al. 2024 (arXiv:2311.12908); beta here holds its beta T omega(lambda_t). The code
    of ADHMR (Shen et al. 2025, arXiv:2505.10250) has a factor 1/2 beside its beta: beta here is half of that one. Which
    pairs: `pairs`, `top_k` and `pair_margin`. Abstentions and ties make no pair. Unit-free, like the errors.
    """
    pairs = _pairs(advantages, settings)
    change = errors.change
    margin = change[:, :, None] - settings.neg_scale * change[:, None, :]  # image, winner, loser, head
    terms = softplus(settings.beta * margin).where(pairs[..., None], 0.0)
    return terms.sum((1, 2)) / pairs.sum((1, 2)).clamp(min=1)[:, None]


def _pairs(advantages: Advantages, settings: ObjectiveSettings) -> Bool[Tensor, "image winner loser"]:
    """True where the first hypothesis is to win over the second."""
    allowed = better(advantages, settings.pair_margin)
    if settings.pairs == "all_pairs":
        return allowed
    values, judged = advantages.values, advantages.judged
    size = values.shape[1]
    count = min(settings.top_k, size) if settings.pairs == "top_bottom" else 1
    best = values.where(judged, -torch.inf).argsort(dim=-1, descending=True, stable=True)[:, :count]
    worst = values.where(judged, torch.inf).argsort(dim=-1, stable=True)[:, :count]
    meets = one_hot(best, size)[..., :, None] * one_hot(worst, size)[..., None, :]  # image, place, winner, loser
    return allowed & meets.any(1)
