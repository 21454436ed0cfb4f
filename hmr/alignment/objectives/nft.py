"""Negative-aware fine-tuning: losers push the policy away, but only from where the reference is."""

from jaxtyping import Float
from torch import Tensor

from hmr.alignment.advantage import Advantages
from hmr.alignment.objectives.errors import GroupErrors
from hmr.alignment.objectives.objective import group_statistic
from hmr.alignment.objectives.settings import ObjectiveSettings


def nft(errors: GroupErrors, advantages: Advantages, settings: ObjectiveSettings) -> Float[Tensor, "image head"]:
    """beta sum_i A_i (D_i - ||d_i||^2) = beta sum_i 2 A_i (eps_ref - eps).d_i,  d_i = eps_theta - eps_ref

    Source: DiffusionNFT, Zheng et al. 2025 (arXiv:2509.16117). With its r = (1 + A) / 2, its loss
    r ||v+ - v||^2 + (1 - r) ||v- - v||^2 is this plus the kappa term and a constant, where beta and
    kappa_per_beta both equal its beta. Linear in the outputs: any kappa above 0 makes it convex, for any A.
    Unit-free. Raises ValueError if `errors.distance` is None.
    """
    if errors.distance is None:
        raise ValueError("nft: errors.distance is None; noise_errors fills it from the reference's prediction")
    return settings.beta * group_statistic(errors.change - errors.distance, advantages, settings)
