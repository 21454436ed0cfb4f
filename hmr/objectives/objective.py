"""The protocol that every objective follows, and the group statistic that several share."""

from typing import Protocol

from jaxtyping import Float
from torch import Tensor

from hmr.advantage import Advantages
from hmr.objectives.settings import ObjectiveSettings

__all__ = ["Objective", "damped", "group_statistic", "over_group"]


class Objective(Protocol):
    """Preference term of each image and head, to be minimised.

    The mean over images is taken later, outside it. `change` is D = L_theta - L_ref, or L_theta alone where
    the reference was not run.
    """

    def __call__(
        self,
        change: Float[Tensor, "image hypothesis head"],
        advantages: Advantages,
        settings: ObjectiveSettings,
    ) -> Float[Tensor, "image head"]: ...


def damped(values: Float[Tensor, "image hypothesis"], neg_scale: float) -> Float[Tensor, "image hypothesis"]:
    """Advantages with those of the losers times `neg_scale`."""
    return values.where(values >= 0, neg_scale * values)


def over_group(
    terms: Float[Tensor, "image hypothesis head"], settings: ObjectiveSettings
) -> Float[Tensor, "image head"]:
    """Sum (or mean) over the hypotheses of each group."""
    return terms.sum(1) if settings.group_reduce == "sum" else terms.mean(1)


def group_statistic(
    change: Float[Tensor, "image hypothesis head"], advantages: Advantages, settings: ObjectiveSettings
) -> Float[Tensor, "image head"]:
    """S = sum_i A_i D_i: negative once winners are predicted better, or losers worse, than before."""
    return over_group(damped(advantages.values, settings.neg_scale)[..., None] * change, settings)
