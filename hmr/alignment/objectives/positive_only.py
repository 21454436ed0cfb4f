"""Learn from winners alone: bounded below, and so a baseline for what the losers add."""

from jaxtyping import Float
from torch import Tensor

from hmr.alignment.advantage import Advantages
from hmr.alignment.objectives.errors import GroupErrors
from hmr.alignment.objectives.objective import over_group
from hmr.alignment.objectives.settings import ObjectiveSettings


def positive_only(
    errors: GroupErrors, advantages: Advantages, settings: ObjectiveSettings
) -> Float[Tensor, "image head"]:
    """beta sum_i max(A_i, 0) D_i: advantage-weighted regression on the better half of the group."""
    return settings.beta * over_group(advantages.values.clamp(min=0)[..., None] * errors.change, settings)
