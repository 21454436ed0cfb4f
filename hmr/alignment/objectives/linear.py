"""The paper's own objective: linear in the noise errors."""

from jaxtyping import Float
from torch import Tensor

from hmr.alignment.advantage import Advantages
from hmr.alignment.objectives.errors import GroupErrors
from hmr.alignment.objectives.objective import group_statistic
from hmr.alignment.objectives.settings import ObjectiveSettings


def linear(errors: GroupErrors, advantages: Advantages, settings: ObjectiveSettings) -> Float[Tensor, "image head"]:
    """beta sum_i A_i D_i

    Source: Shen et al. 2026 (arXiv:2602.19180), Eq. 6 without its kappa term, which any objective may have.
    A loser's error has no upper limit, so this is unbounded below unless kappa > beta max(-A_i): use it with
    kappa, or with the stability guard. Its gradient does not depend on the reference model.
    """
    return settings.beta * group_statistic(errors.change, advantages, settings)
