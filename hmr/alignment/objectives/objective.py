"""The protocol that every objective follows, and what several of them share."""

from typing import Protocol, runtime_checkable

from jaxtyping import Bool, Float
from torch import Tensor

from hmr.alignment.advantage import Advantages
from hmr.alignment.objectives.errors import GroupErrors
from hmr.alignment.objectives.settings import ObjectiveSettings

__all__ = ["Objective", "better", "damped", "group_statistic", "over_group"]


@runtime_checkable
class Objective(Protocol):
    """Preference term of each image and head, to be minimised; the mean over images is taken later, outside it.

    It may depend only on how each hypothesis' error changed: `errors.change` is D = L_theta - L_ref, or
    L_theta alone where the reference was not run, and `errors.distance` is ||eps_theta - eps_ref||^2.
    """

    def __call__(
        self, errors: GroupErrors, advantages: Advantages, settings: ObjectiveSettings
    ) -> Float[Tensor, "image head"]: ...


def damped(values: Float[Tensor, "image hypothesis"], neg_scale: float) -> Float[Tensor, "image hypothesis"]:
    """Advantages (in standard deviations), those below 0 times `neg_scale`."""
    return values.where(values >= 0, neg_scale * values)


def over_group(
    terms: Float[Tensor, "image hypothesis head"], settings: ObjectiveSettings
) -> Float[Tensor, "image head"]:
    """Sum over the hypotheses of each group, or mean if `group_reduce` is "mean"; in the unit of `terms`."""
    return terms.sum(1) if settings.group_reduce == "sum" else terms.mean(1)


def group_statistic(
    change: Float[Tensor, "image hypothesis head"], advantages: Advantages, settings: ObjectiveSettings
) -> Float[Tensor, "image head"]:
    """S = sum_i A_i D_i, unit-free: negative once winners are predicted better, or losers worse, than before.

    `change` is D, the change of each squared noise error.
    """
    return over_group(damped(advantages.values, settings.neg_scale)[..., None] * change, settings)


def better(advantages: Advantages, margin: float = 0.0) -> Bool[Tensor, "image winner loser"]:
    """True where the first hypothesis has the greater advantage, by `margin` at least; never for an abstention."""
    ahead = advantages.values[:, :, None] - advantages.values[:, None, :]
    return (ahead > 0) & (ahead >= margin) & advantages.judged[:, :, None] & advantages.judged[:, None, :]
