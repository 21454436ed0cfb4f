"""Settings of the training objective. The named ones with their sources are in `presets/`."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from hmr.alignment.advantage import AdvantageSettings

__all__ = ["Head", "ObjectiveSettings"]

NEEDS_REFERENCE = ("log_sigmoid", "pairwise", "plackett_luce", "ratio", "nft")
"""Objectives whose gradient depends on the reference model; of the others it only shifts the value."""


class Head(BaseModel):
    """A block of the diffused vector whose squared noise error is averaged by itself."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    dims: int = Field(ge=1)
    weight: float = Field(default=1.0, ge=0)


class ObjectiveSettings(BaseModel):
    """The whole training objective. The defaults are the preset `stable`.

    `beta` holds the paper's beta T lambda_t with constant lambda_t, and `kappa_per_beta` its kappa_t / (beta
    lambda_t): a change of T or lambda_t has the same effect as one of beta.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = "custom"
    """Printed in every report; see `preset`."""
    objective: Literal[
        "linear",
        "log_sigmoid",
        "pairwise",
        "plackett_luce",
        "ratio",
        "nft",
        "positive_only",
        "awr",
        "best_of_group",
    ] = "log_sigmoid"
    beta: float = Field(default=20.0, gt=0)
    """Strength of the preference."""
    pref_weight: float = Field(default=1.0, ge=0)
    """Weight of preference and kappa term beside the anchor."""
    group_reduce: Literal["sum", "mean"] = "sum"
    """Over the hypotheses, in preference and kappa term. `mean` divides both by the group's size."""
    neg_scale: float = Field(default=1.0, ge=0)
    """Factor on the pull away from losers (A < 0); below 1 it breaks the zero sum on purpose."""
    clip_eps: float | None = Field(default=None, gt=0, lt=1)
    """`ratio` only: PPO's clip of the ratio to 1 +- clip_eps."""
    pairs: Literal["best_worst", "top_bottom", "all_pairs"] = "best_worst"
    """`pairwise` only: which winner and loser of a group are paired. `top_bottom`: the i-th best and the i-th worst,
    for i up to `top_k`."""
    pair_margin: float = Field(default=0.0, ge=0)
    """`pairwise` only: the advantages of a pair differ by this at least."""
    top_k: int = Field(default=1, ge=1)
    """How many of the best hypotheses `best_of_group` imitates, and how many pairs `top_bottom` makes."""
    awr_temperature: float = Field(default=1.0, gt=0)
    """`awr` only: the advantage that makes a weight e times larger."""

    kappa_per_beta: float | Literal["auto"] = 0.1
    """Pull to the reference, in units of beta. `auto`: 1.1 x the clip of |A|, convex in every output."""
    anchor_weight: float = Field(default=0.5, ge=0)
    """Weight of the plain noise error, averaged over the members that `anchor_on` names."""
    anchor_on: Literal["all", "positive"] = "all"

    heads: tuple[Head, ...] = Field(default=(Head(name="joints", dims=87), Head(name="twists", dims=46)), min_length=1)
    per_head: bool = True
    """False joins all heads into one mean over all dims before anything else."""
    advantage: AdvantageSettings = AdvantageSettings()
    keep_spread: bool = False
    """Take out of the advantages what mere nearness to the group's mean explains, so that the policy is moved and not
    narrowed; see `hmr.alignment.spread_pull`."""

    lambda_t: Literal["const", "x0", "min_snr", "elbo"] = "const"
    """Weight of a step's noise errors; see `step_weights`."""
    timesteps: tuple[int, int] = (500, 1000)
    """Steps from which training draws, the first included, the last not."""
    antithetic: bool = False
    """Draw the steps of a batch in pairs t and first + last - 1 - t."""
    share_t: bool = True
    share_noise: bool = True
    """One step, one noise for a whole group; False draws them for every hypothesis by itself."""
    centre_residuals: bool = False
    """Subtract from each group the error that the reference makes on all its members alike; see `centred_noise`."""

    @model_validator(mode="after")
    def _fits_together(self) -> "ObjectiveSettings":
        low, high = self.timesteps
        if not 0 <= low < high:
            raise ValueError(f"timesteps: [{low}, {high}) holds no step; give 0 <= low < high, for example [500, 1000)")
        if self.kappa_per_beta == "auto" and self.advantage.clip is None:
            raise ValueError("kappa_per_beta: 'auto' needs a bound on |A|; set advantage.clip, for example to 3")
        if self.kappa_per_beta != "auto" and self.kappa_per_beta < 0:
            raise ValueError(f"kappa_per_beta: {self.kappa_per_beta} is negative; give 0 to switch the pull off")
        if self.objective == "nft" and self.kappa_per_beta == 0:
            raise ValueError(
                "kappa_per_beta: 0 leaves the objective 'nft' linear in the outputs, without a floor; "
                "give its pull, for example 1"
            )
        if self.centre_residuals and self.anchor_weight > 0:
            raise ValueError(
                "centre_residuals: an anchor would pull to the centred noise, which is no sample's own; set "
                "anchor_weight = 0"
            )
        if self.clip_eps is not None and self.objective != "ratio":
            raise ValueError(f"clip_eps: only the objective 'ratio' clips, not '{self.objective}'; drop one of the two")
        return self

    @property
    def kappa(self) -> float:
        """Weight of ||eps_theta - eps_ref||^2 of each hypothesis."""
        share = 1.1 * (self.advantage.clip or 0.0) if self.kappa_per_beta == "auto" else self.kappa_per_beta
        return self.beta * share

    @property
    def needs_reference(self) -> bool:
        """Whether the gradient depends on the reference model. If not, its forward pass may be skipped."""
        return self.objective in NEEDS_REFERENCE or self.kappa > 0 or self.centre_residuals
