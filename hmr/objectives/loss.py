"""The training loss of a batch of groups: preference, pull to the reference, anchor; and what to watch."""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from hmr.advantage import Advantages
from hmr.objectives.best_of_group import best_of_group
from hmr.objectives.errors import GroupErrors, refuse_half_precision
from hmr.objectives.linear import linear
from hmr.objectives.log_sigmoid import log_sigmoid
from hmr.objectives.objective import Objective, group_statistic, over_group
from hmr.objectives.pairwise import pairwise
from hmr.objectives.positive_only import positive_only
from hmr.objectives.ratio import ratio
from hmr.objectives.settings import ObjectiveSettings

__all__ = ["OBJECTIVES", "AlignmentLoss", "alignment_loss", "beta_advice"]

OBJECTIVES: Mapping[str, Objective] = {
    "linear": linear,
    "log_sigmoid": log_sigmoid,
    "pairwise": pairwise,
    "ratio": ratio,
    "positive_only": positive_only,
    "best_of_group": best_of_group,
}


class AlignmentLoss(NamedTuple):
    """The loss of a batch, and detached numbers about it."""

    loss: Float[Tensor, ""]
    diagnostics: dict[str, Tensor]
    """Scalars; D = L_theta - L_ref, means over the kept groups unless said. Those that need the reference, or
    at least one kept group, are left out without it.

    loss/preference, loss/kappa, loss/anchor    the parts, as they enter the loss
    S/<head>                                    group statistic sum_i A_i D_i; negative is progress
    median_abs_beta_s                           over groups and heads; see `beta_advice`
    winner_change/<head>, loser_change/<head>   mean D where A > 0, A < 0; both rising = running away
    policy_error/<head>, distance/<head>        mean L_theta; mean ||eps_theta - eps_ref||^2
    convexity_margin                            half the smallest curvature in an output: below 0 the loss
                                                pushes some prediction away with no limit of its own
    advantage_sum                               mean |sum_i A_i|: what clipping took from the zero sum
    groups/kept, groups/dropped, abstentions    counts
    """


def alignment_loss(
    errors: GroupErrors, advantages: Advantages, settings: ObjectiveSettings, *, images: int | None = None
) -> AlignmentLoss:
    """The training loss of whole groups.

        mean over images, sum over heads of
          pref_weight (preference + kappa sum_i ||eps_theta - eps_ref||^2_i) + anchor_weight mean_i L_theta,i

    Dropped groups have no part in it. `images` is what the mean divides by, by default the kept groups given
    here: where a batch is split into micro-batches, give those of the whole batch and add the parts up.
    """
    _check(errors, advantages, settings)
    kept = advantages.kept
    group = Advantages(advantages.values[kept].to(errors.policy.dtype), kept[kept], advantages.judged[kept])
    errors = GroupErrors._make(
        None if error is None else _join_heads(error[kept], settings) for error in errors
    )
    weights = _head_weights(errors.policy, settings)
    count = int(kept.sum()) if images is None else images

    def mean(terms: Float[Tensor, "image head"]) -> Float[Tensor, ""]:
        return (terms * weights).sum() / max(count, 1)

    anchors = _anchor_shares(group, settings)
    preference = settings.pref_weight * mean(OBJECTIVES[settings.objective](errors.change, group, settings))
    anchor = mean((anchors[..., None] * errors.policy).sum(1))
    loss = preference + anchor
    parts = {"loss/preference": preference, "loss/anchor": anchor}
    if settings.kappa > 0 and errors.distance is not None:
        parts["loss/kappa"] = (
            settings.pref_weight * settings.kappa * mean(over_group(errors.distance, settings))
        )
        loss = loss + parts["loss/kappa"]

    diagnostics = {
        **parts,
        "groups/kept": kept.sum(),
        "groups/dropped": (~kept).sum(),
        "abstentions": (~advantages.judged).sum(),
    }
    if kept.any():
        diagnostics |= _watch(errors, group, anchors, settings)
    return AlignmentLoss(loss, {name: value.detach() for name, value in diagnostics.items()})


def beta_advice(median_abs_beta_s: float) -> str | None:
    """What to do about beta if the median of |beta S|, after some 50 steps, is not 0.5-2; else None."""
    if 0.5 <= median_abs_beta_s <= 2:
        return None
    if median_abs_beta_s > 2:
        return f"median |beta S| {median_abs_beta_s:.2g}: the sigmoid is saturated. Lower beta until 0.5-2"
    return f"median |beta S| {median_abs_beta_s:.2g}: the sigmoid hardly bends. Raise beta until 0.5-2"


def _check(errors: GroupErrors, advantages: Advantages, settings: ObjectiveSettings) -> None:
    for name, error in errors._asdict().items():
        if error is None:
            continue
        refuse_half_precision(error, f"alignment_loss: errors.{name}")
        expected = (*advantages.values.shape, len(settings.heads))
        if tuple(error.shape) != expected:
            raise ValueError(
                f"alignment_loss: errors.{name} has shape {tuple(error.shape)}, but advantages and heads "
                f"({', '.join(head.name for head in settings.heads)}) call for {expected}"
            )
    if settings.needs_reference and errors.reference is None:
        cause = f"objective '{settings.objective}'" if settings.kappa == 0 else f"kappa = {settings.kappa:g}"
        raise ValueError(
            f"alignment_loss: {cause} needs the reference model's errors, and errors.reference is None; "
            "run the reference model on the same x_t and give its prediction to noise_errors"
        )
    if settings.kappa > 0 and errors.distance is None:
        raise ValueError(
            "alignment_loss: kappa > 0 needs errors.distance; noise_errors fills it from the reference"
        )


def _join_heads(error: Tensor, settings: ObjectiveSettings) -> Tensor:
    """One mean over all dims where the settings ask for a single head."""
    if settings.per_head:
        return error
    dims = error.new_tensor([head.dims for head in settings.heads])
    return (error * dims).sum(-1, keepdim=True) / dims.sum()


def _head_weights(error: Tensor, settings: ObjectiveSettings) -> Tensor:
    return error.new_tensor([head.weight for head in settings.heads] if settings.per_head else [1.0])


def _anchor_shares(group: Advantages, settings: ObjectiveSettings) -> Float[Tensor, "image hypothesis"]:
    """Weight of each member's plain error: anchor_weight, shared evenly by those it rests on."""
    members = (
        torch.ones_like(group.values) if settings.anchor_on == "all" else (group.values > 0).to(group.values)
    )
    return settings.anchor_weight * members / members.sum(1, keepdim=True).clamp(min=1)


@torch.no_grad()
def _watch(
    errors: GroupErrors, group: Advantages, anchors: Tensor, settings: ObjectiveSettings
) -> dict[str, Tensor]:
    names = [head.name for head in settings.heads] if settings.per_head else ["all"]
    change = errors.change
    watched = {f"policy_error/{name}": errors.policy[..., h].mean() for h, name in enumerate(names)}
    watched["advantage_sum"] = group.values.sum(1).abs().mean()
    watched["convexity_margin"] = _convexity_margin(change, group, anchors, settings)
    if errors.distance is not None:
        watched |= {f"distance/{name}": errors.distance[..., h].mean() for h, name in enumerate(names)}
    if errors.reference is None:
        return watched
    statistic = group_statistic(change, group, settings)
    watched["median_abs_beta_s"] = (settings.beta * statistic).abs().median()
    for h, name in enumerate(names):
        watched[f"S/{name}"] = statistic[:, h].mean()
        watched[f"winner_change/{name}"] = _mean_where(change[..., h], group.values > 0)
        watched[f"loser_change/{name}"] = _mean_where(change[..., h], group.values < 0)
    return watched


def _convexity_margin(
    change: Tensor, group: Advantages, anchors: Tensor, settings: ObjectiveSettings
) -> Tensor:
    """Smallest pref_weight (w_i + kappa) + anchor_i, where w_i = d preference / d L_theta,i.

    Twice this, over the dims, is the curvature of the loss in output i, but for a term of the sigmoids
    that is never negative. Head weights are left aside.
    """
    with torch.enable_grad():
        leaf = change.detach().requires_grad_()
        (weights,) = torch.autograd.grad(OBJECTIVES[settings.objective](leaf, group, settings).sum(), leaf)
    kappa = settings.kappa if settings.group_reduce == "sum" else settings.kappa / change.shape[1]
    return (settings.pref_weight * (weights + kappa) + anchors[..., None]).min()


def _mean_where(values: Tensor, chosen: Tensor) -> Tensor:
    return values.where(chosen, 0.0).sum() / chosen.sum().clamp(min=1)
