"""Regression to every hypothesis, with weights that grow with its advantage."""

import torch
from jaxtyping import Float
from torch import Tensor

from hmr.alignment.advantage import Advantages
from hmr.alignment.objectives.errors import GroupErrors
from hmr.alignment.objectives.settings import ObjectiveSettings


def awr(errors: GroupErrors, advantages: Advantages, settings: ObjectiveSettings) -> Float[Tensor, "image head"]:
    """sum_i w_i D_i,  w_i = exp(A_i / tau) / sum over the judged,  tau = `awr_temperature`

    Source: advantage-weighted regression, Peng et al. 2019 (arXiv:1910.00177), with the weights made to sum to one
    in each group. Every weight is positive, so it is bounded below. It lies between `best_of_group` (tau to 0)
    and plain denoising of the group (tau to infinity); beta and group_reduce have no effect.
    """
    logits = (advantages.values / settings.awr_temperature).where(advantages.judged, -torch.inf)
    return (logits.softmax(1)[..., None] * errors.change).sum(1)
