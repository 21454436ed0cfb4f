"""Numbers about a training step that show whether it goes well, and advice on beta."""

import math
from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from hmr.alignment.advantage import Advantages
from hmr.alignment.objectives.errors import GroupErrors
from hmr.alignment.objectives.objective import Objective, group_statistic
from hmr.alignment.objectives.settings import ObjectiveSettings

__all__ = ["ADVISED_AT", "advice_after", "beta_advice", "watch"]

ADVISED_AT = 50
"""Steps after which the policy has moved far enough from the reference to advise on beta."""


@torch.no_grad()
def watch(
    errors: GroupErrors,
    group: Advantages,
    anchors: Float[Tensor, "image hypothesis"],
    objective: Objective,
    settings: ObjectiveSettings,
) -> dict[str, Tensor]:
    """Scalars to log, unit-free; every group given must be kept. D = L_theta - L_ref; means over groups unless stated.

    S/<head>                                    group statistic sum_i A_i D_i; negative is progress
    median_abs_beta_s                           over groups and heads; see `beta_advice`
    winner_change/<head>, loser_change/<head>   mean D where A > 0, A < 0; both rising = running away
    policy_error/<head>, distance/<head>        mean L_theta; mean ||eps_theta - eps_ref||^2
    convexity_margin                            half the smallest curvature in an output: below 0 the loss
                                                pushes some prediction away without limit
    clip_fraction                               members that PPO's clip stops, of those with A != 0
    advantage_sum                               mean |sum_i A_i|: how far clipping broke the zero sum

    Those that need the reference are left out if it was not run.
    """
    names = [head.name for head in settings.heads] if settings.per_head else ["all"]
    pull, push = _slopes(errors, group, objective, settings)
    watched = {f"policy_error/{name}": errors.policy[..., h].mean() for h, name in enumerate(names)}
    watched["advantage_sum"] = group.values.sum(1).abs().mean()
    watched["convexity_margin"] = _convexity_margin(pull + push, anchors, settings)
    if settings.clip_eps is not None:
        watched["clip_fraction"] = (pull == 0)[group.values != 0].to(pull).mean()
    if errors.distance is not None:
        watched |= {f"distance/{name}": errors.distance[..., h].mean() for h, name in enumerate(names)}
    if errors.reference is None:
        return watched
    statistic = group_statistic(errors.change, group, settings)
    watched["median_abs_beta_s"] = (settings.beta * statistic).abs().median()
    for h, name in enumerate(names):
        watched[f"S/{name}"] = statistic[:, h].mean()
        watched[f"winner_change/{name}"] = _mean_where(errors.change[..., h], group.values > 0)
        watched[f"loser_change/{name}"] = _mean_where(errors.change[..., h], group.values < 0)
    return watched


def beta_advice(median_abs_beta_s: float) -> str | None:
    """What to do about beta if the median of |beta S|, after about 50 steps, is not 0.5-2; else None."""
    if 0.5 <= median_abs_beta_s <= 2:
        return None
    if median_abs_beta_s > 2:
        return f"median |beta S| {median_abs_beta_s:.2g}: the sigmoid is saturated. Lower beta until 0.5-2"
    return f"median |beta S| {median_abs_beta_s:.2g}: the sigmoid hardly bends. Raise beta until 0.5-2"


def advice_after(row: Mapping[str, float], settings: ObjectiveSettings) -> str | None:
    """Advice on beta from the logged row of a step: given once, after `ADVISED_AT` steps, and only where it applies."""
    median = row.get("median_abs_beta_s", math.nan)
    if settings.objective != "log_sigmoid" or row["step"] != ADVISED_AT or math.isnan(median):
        return None
    said = beta_advice(median)
    return said and f"after {ADVISED_AT} steps, {said} (now {settings.beta:g}; [train] overrides = {{ beta = ... }})"


def _slopes(
    errors: GroupErrors, group: Advantages, objective: Objective, settings: ObjectiveSettings
) -> tuple[Tensor, Tensor]:
    """d preference / d L_theta,i and d preference / d ||eps_theta - eps_ref||^2_i."""
    policy = errors.policy.detach().requires_grad_()
    distance = None if errors.distance is None else errors.distance.detach().requires_grad_()
    leaves = [policy] if distance is None else [policy, distance]
    with torch.enable_grad():
        preference = objective(GroupErrors(policy, errors.reference, distance), group, settings).sum()
        found = torch.autograd.grad(preference, leaves, allow_unused=True)
    slopes = [torch.zeros_like(policy) if slope is None else slope for slope in found]
    return slopes[0], slopes[1] if distance is not None else torch.zeros_like(policy)


def _convexity_margin(weights: Tensor, anchors: Tensor, settings: ObjectiveSettings) -> Tensor:
    """Smallest pref_weight (w_i + kappa) + anchor_i; `weights` w_i hold all slopes in squares of output i.

    Twice this, over the dims, is the curvature of the loss in output i, except for a term of the sigmoids
    that is never negative. Head weights are not included.
    """
    kappa = settings.kappa if settings.group_reduce == "sum" else settings.kappa / weights.shape[1]
    return (settings.pref_weight * (weights + kappa) + anchors[..., None]).min()


def _mean_where(values: Tensor, chosen: Tensor) -> Tensor:
    return values.where(chosen, 0.0).sum() / chosen.sum().clamp(min=1)
