"""Direct preference optimisation on pairs of a group: the baseline that a group objective must beat."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import softplus

from hmr.advantage import Advantages
from hmr.objectives.settings import ObjectiveSettings


def pairwise(
    change: Float[Tensor, "image hypothesis head"], advantages: Advantages, settings: ObjectiveSettings
) -> Float[Tensor, "image head"]:
    """mean over pairs of -log sigmoid(-beta (D_winner - neg_scale D_loser))

    Source: Diffusion-DPO, Wallace et al. 2024 (arXiv:2311.12908); beta here holds its beta T omega(lambda_t).
    The published code has a factor 1/2 beside its beta: beta here is half of that one. Abstentions and ties
    make no pair.
    """
    pairs = _pairs(advantages, settings)
    margin = change[:, :, None] - settings.neg_scale * change[:, None, :]  # image, winner, loser, head
    terms = softplus(settings.beta * margin).where(pairs[..., None], 0.0)
    return terms.sum((1, 2)) / pairs.sum((1, 2)).clamp(min=1)[:, None]


def _pairs(advantages: Advantages, settings: ObjectiveSettings) -> Bool[Tensor, "image winner loser"]:
    """True where the first hypothesis is to win over the second."""
    values, judged = advantages.values, advantages.judged
    better = (values[:, :, None] > values[:, None, :]) & judged[:, :, None] & judged[:, None, :]
    if settings.pairs == "all_pairs":
        return better
    size = values.shape[1]
    winner = _one_hot(values.where(judged, -torch.inf).argmax(-1), size)
    loser = _one_hot(values.where(judged, torch.inf).argmin(-1), size)
    return better & winner[:, :, None] & loser[:, None, :]


def _one_hot(index: Tensor, size: int) -> Tensor:
    return torch.nn.functional.one_hot(index, size).bool()
