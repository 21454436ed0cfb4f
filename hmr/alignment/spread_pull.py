"""Takes out of advantages what nearness to the group's mean explains, so that learning moves a policy and leaves its
spread as it is.

A hypothesis near its group's mean has the smaller error on average, whichever way the truth lies, so critics prefer it.
That part of the advantages says nothing about direction: it narrows the policy, and the best of many hypotheses gets
worse. Our own, chosen on `val`. For a Gaussian group with variances v_d, the gradient of E[A log p] with respect to all
variances together is E[A q] with q = mean_d (x_d - mean_d)^2 / v_d, so this is what is made zero, on average over
groups; one slope for all of them, because that of twenty members by themselves is mostly noise.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from hmr.alignment.advantage import Advantages

__all__ = ["SpreadPull", "spread_pull", "without_spread_pull"]

TINY = 1e-6


class SpreadPull(NamedTuple):
    """What some groups say about nearness to the mean."""

    variances: Float[Tensor, " dim"]
    """Mean variance within groups of each dim of the diffused vectors, in their units squared."""
    slope: float
    """Correlation within groups of advantage and distance q; below 0 where critics prefer what is near the mean."""


def spread_pull(latents: Float[Tensor, "image hypothesis dim"], advantages: Advantages) -> SpreadPull:
    """Measured on groups of diffused vectors; dropped groups and abstentions have no part in it."""
    counted = (advantages.judged & advantages.kept[:, None]).to(latents.dtype)
    deviations = _deviations(latents, counted)
    variances = deviations.square().sum((0, 1)) / counted.sum().clamp(min=1)
    far = _standard(_distances(deviations, variances), counted)
    values = _standard(advantages.values.to(latents.dtype), counted)
    products, squares = (values * far).sum(), far.square().sum()
    return SpreadPull(variances, float(products / squares) if squares > 0 else 0.0)


def without_spread_pull(
    advantages: Advantages, latents: Float[Tensor, "image hypothesis dim"], pull: SpreadPull
) -> Advantages:
    """A - slope q of each group, both standardised, with the size (root mean square) that its advantages had.

    They still sum to zero over the judged members of a group, and over the groups that `pull` was measured on, the sum
    of their products with q is zero but for this change of size.
    """
    counted = advantages.judged.to(latents.dtype)
    far = _standard(_distances(_deviations(latents, counted), pull.variances.to(latents)), counted)
    values = advantages.values.to(latents.dtype)
    left = _standard(values, counted) - pull.slope * far
    size, now = _size(values, counted), _size(left, counted)
    # What is left of rounding alone is no preference.
    left = left * torch.where(now > TINY, size / now.clamp(min=TINY), 0.0)
    return advantages._replace(values=left.where(advantages.judged, 0.0).to(advantages.values.dtype))


def _deviations(latents: Tensor, counted: Tensor) -> Tensor:
    """(image, hypothesis, dim) differences to the mean of the group's counted members; 0 for the others."""
    known = latents.where(counted[..., None] > 0, 0.0)  # a hypothesis nobody judged may hold NaN
    mean = known.sum(1, keepdim=True) / counted.sum(1)[:, None, None].clamp(min=1)
    return (known - mean) * counted[..., None]


def _distances(deviations: Tensor, variances: Tensor) -> Tensor:
    moving = variances > 0
    return (deviations[..., moving].square() / variances[moving]).sum(-1) / moving.sum().clamp(min=1)


def _size(values: Tensor, counted: Tensor) -> Tensor:
    return ((values * counted).square().sum(1, keepdim=True) / counted.sum(1, keepdim=True).clamp(min=1)).sqrt()


def _standard(values: Tensor, counted: Tensor) -> Tensor:
    """Values with mean 0 and root mean square 1 over the counted members of each group; 0 where all are alike."""
    mean = (values * counted).sum(1, keepdim=True) / counted.sum(1, keepdim=True).clamp(min=1)
    centred = (values - mean) * counted
    return centred / _size(centred, counted).clamp(min=TINY)
