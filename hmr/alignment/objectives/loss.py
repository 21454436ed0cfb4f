"""The training loss of a batch of groups: preference, pull to the reference, anchor; and what to watch."""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from hmr.alignment.advantage import Advantages
from hmr.alignment.objectives.awr import awr
from hmr.alignment.objectives.best_of_group import best_of_group
from hmr.alignment.objectives.diagnostics import watch
from hmr.alignment.objectives.errors import GroupErrors, refuse_half_precision
from hmr.alignment.objectives.linear import linear
from hmr.alignment.objectives.log_sigmoid import log_sigmoid
from hmr.alignment.objectives.nft import nft
from hmr.alignment.objectives.objective import Objective, over_group
from hmr.alignment.objectives.pairwise import pairwise
from hmr.alignment.objectives.plackett_luce import plackett_luce
from hmr.alignment.objectives.positive_only import positive_only
from hmr.alignment.objectives.ratio import ratio
from hmr.alignment.objectives.settings import ObjectiveSettings

__all__ = ["OBJECTIVES", "AlignmentLoss", "alignment_loss"]

OBJECTIVES: Mapping[str, Objective] = {
    "linear": linear,
    "log_sigmoid": log_sigmoid,
    "pairwise": pairwise,
    "plackett_luce": plackett_luce,
    "ratio": ratio,
    "nft": nft,
    "positive_only": positive_only,
    "awr": awr,
    "best_of_group": best_of_group,
}


class AlignmentLoss(NamedTuple):
    """The loss of a batch, and numbers about it that carry no gradient."""

    loss: Float[Tensor, ""]
    diagnostics: dict[str, Tensor]
    """Scalars: the parts as they enter the loss (loss/preference, loss/kappa, loss/anchor), the counts groups/kept,
    groups/dropped and abstentions, and where a group was kept those of `diagnostics.watch`."""


def alignment_loss(
    errors: GroupErrors, advantages: Advantages, settings: ObjectiveSettings, *, images: int | None = None
) -> AlignmentLoss:
    """The training loss of whole groups.

        mean over images, sum over heads of
          pref_weight (preference + kappa sum_i ||eps_theta - eps_ref||^2_i) + anchor_weight mean_i L_theta,i

    Dropped groups have no part in it. `images` is what the mean divides by, by default the kept groups given
    here: where a batch is split into micro-batches, give those of the whole batch and add the parts up.

    Raises ValueError if the errors' shapes do not match advantages and heads, or if the settings need the reference's
    errors or the distance and these are None.
    """
    _check(errors, advantages, settings)
    objective = OBJECTIVES[settings.objective]
    kept = advantages.kept
    group = Advantages(advantages.values[kept].to(errors.policy.dtype), kept[kept], advantages.judged[kept])
    errors = GroupErrors._make(None if error is None else _join_heads(error[kept], settings) for error in errors)
    weights = _head_weights(errors.policy, settings)
    count = int(kept.sum()) if images is None else images

    def mean(terms: Float[Tensor, "image head"]) -> Float[Tensor, ""]:
        return (terms * weights).sum() / max(count, 1)

    anchors = _anchor_shares(group, settings)
    preference = settings.pref_weight * mean(objective(errors, group, settings))
    anchor = mean((anchors[..., None] * errors.policy).sum(1))
    loss = preference + anchor
    parts = {"loss/preference": preference, "loss/anchor": anchor}
    if settings.kappa > 0 and errors.distance is not None:
        parts["loss/kappa"] = settings.pref_weight * settings.kappa * mean(over_group(errors.distance, settings))
        loss = loss + parts["loss/kappa"]

    diagnostics = {
        **parts,
        "groups/kept": kept.sum(),
        "groups/dropped": (~kept).sum(),
        "abstentions": (~advantages.judged).sum(),
    }
    if kept.any():
        diagnostics |= watch(errors, group, anchors, objective, settings)
    return AlignmentLoss(loss, {name: value.detach() for name, value in diagnostics.items()})


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
        raise ValueError("alignment_loss: kappa > 0 needs errors.distance; noise_errors fills it from the reference")


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
    members = torch.ones_like(group.values) if settings.anchor_on == "all" else (group.values > 0).to(group.values)
    return settings.anchor_weight * members / members.sum(1, keepdim=True).clamp(min=1)
