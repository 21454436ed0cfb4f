"""What every objective is computed from: squared noise errors, per hypothesis and head."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from hmr.alignment.objectives.settings import Head

__all__ = ["GroupErrors", "centred_noise", "noise_errors"]


class GroupErrors(NamedTuple):
    """Squared noise errors, each a mean over the dims of a head. The noise has variance 1."""

    policy: Float[Tensor, "image hypothesis head"]
    """L_theta = ||eps_theta - eps||^2 / dims"""
    reference: Float[Tensor, "image hypothesis head"] | None = None
    """L_ref = ||eps_ref - eps||^2 / dims; None where the reference was not run"""
    distance: Float[Tensor, "image hypothesis head"] | None = None
    """||eps_theta - eps_ref||^2 / dims"""

    def weighted(self, weights: Float[Tensor, "image ..."]) -> "GroupErrors":
        """All three errors times the weights lambda_t, one per group or one per hypothesis; unit-free."""
        weights = weights.reshape(len(weights), -1, 1)
        return GroupErrors._make(None if part is None else part * weights for part in self)

    @property
    def change(self) -> Float[Tensor, "image hypothesis head"]:
        """D = L_theta - L_ref, squared noise errors; L_theta alone if the reference was not run: the same gradient."""
        return self.policy if self.reference is None else self.policy - self.reference


def noise_errors(
    policy: Float[Tensor, "image hypothesis dim"],
    noise: Float[Tensor, "image #hypothesis dim"],  # noqa: F821
    reference: Float[Tensor, "image hypothesis dim"] | None = None,
    *,
    heads: Sequence[Head],
) -> GroupErrors:
    """Errors of the noise that policy and reference predict for the same x_t, in float32 at least.

    The two errors nearly cancel in L_theta - L_ref, so predictions in half precision are refused.

    Raises TypeError if a prediction is not float32 or float64, ValueError if its dims do not match the heads.
    """
    for name, predicted in (("policy", policy), ("noise", noise), ("reference", reference)):
        if predicted is not None:
            refuse_half_precision(predicted, f"noise_errors: {name}")
    total = sum(head.dims for head in heads)
    if total != policy.shape[-1]:
        layout = ", ".join(f"{head.name} {head.dims}" for head in heads)
        raise ValueError(f"noise_errors: {policy.shape[-1]} dims do not split into heads ({layout}: {total} dims)")
    with torch.autocast(policy.device.type, enabled=False):
        policy_error = _per_head(policy - noise, heads)
        if reference is None:
            return GroupErrors(policy_error)
        reference = reference.detach()
        return GroupErrors(policy_error, _per_head(reference - noise, heads), _per_head(policy - reference, heads))


def centred_noise(
    noise: Float[Tensor, "image #hypothesis dim"],  # noqa: F821
    reference: Float[Tensor, "image hypothesis dim"],
) -> Float[Tensor, "image hypothesis dim"]:
    """A noise target under which the reference's mean error over each group is zero.

        eps'_i = eps_i + mean_j (eps_ref,j - eps_j),    so that  e'_i = eps_ref,i - eps'_i = e_i - mean_j e_j

    A reference that was itself trained on preferences is no longer a denoiser of its own samples: it moves all of them
    by the same offset b, which the last round taught it. At an x_t from which good and bad members can be
    distinguished, A_i b does not cancel, and the next round takes back among the good members what the last one gained
    (measured: with the truth itself as critic, a second round lost a third of the first one's gain). For a reference
    that was never aligned, b is about 0. The noise is of standard normal scale. Our own.
    """
    return noise + (reference.detach() - noise).mean(1, keepdim=True)


def refuse_half_precision(values: Tensor, name: str) -> None:
    """Raise TypeError unless `values` (predicted noise, any shape) are float32 or float64; `name` is for the error."""
    if values.dtype not in (torch.float32, torch.float64):
        raise TypeError(
            f"{name} is {str(values.dtype).removeprefix('torch.')}: differences of near-equal noise errors "
            "would be rounding noise. Run the noise predictor in float32 (less is for image encoders)"
        )


def _per_head(difference: Tensor, heads: Sequence[Head]) -> Tensor:
    parts = difference.square().split([head.dims for head in heads], dim=-1)
    return torch.stack([part.mean(-1) for part in parts], dim=-1)
