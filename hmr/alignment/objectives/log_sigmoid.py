"""A sigmoid over the whole group: fades once the group is in order."""

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import softplus

from hmr.alignment.advantage import Advantages
from hmr.alignment.objectives.errors import GroupErrors
from hmr.alignment.objectives.objective import group_statistic
from hmr.alignment.objectives.settings import ObjectiveSettings


def log_sigmoid(
    errors: GroupErrors, advantages: Advantages, settings: ObjectiveSettings
) -> Float[Tensor, "image head"]:
    """-log sigmoid(-beta S),  S = sum_i A_i D_i

    Source: DGPO, Luo et al. 2025 (arXiv:2510.08425). Its own code divides S by the group's size G, which is
    `group_reduce = "mean"` here, and has beta inside the sigmoid alone, which `pref_weight = G / beta` adds. The
    group must be whole: S is not a sum over parts. At the reference the value is log 2 and the gradient half the
    linear one.
    """
    return softplus(settings.beta * group_statistic(errors.change, advantages, settings))
