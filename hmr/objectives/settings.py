"""Settings of the training objective, and the named presets with the source of each number.

Marks in the comments: [paper] Shen et al. 2026, "VLM-Guided Group Preference Alignment for Diffusion-based
Human Mesh Recovery" (arXiv:2602.19180), its supplement or public notes on it; [code] what its released
training code does; [ours] our choice; [unsaid] no public source gives it, so the value is ours.
"""

from difflib import get_close_matches
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from hmr.advantage import AdvantageSettings

__all__ = ["PRESETS", "Head", "ObjectiveSettings", "preset"]

NEEDS_REFERENCE = ("log_sigmoid", "pairwise", "ratio")
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
    lambda_t): a change of T or lambda_t can not be told from one of beta.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = "custom"
    """Stands in every report; see `preset`."""
    objective: Literal["linear", "log_sigmoid", "pairwise", "ratio", "positive_only", "best_of_group"] = (
        "log_sigmoid"
    )
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
    pairs: Literal["best_worst", "all_pairs"] = "best_worst"
    """`pairwise` only: which winner and loser of a group meet."""
    top_k: int = Field(default=1, ge=1)
    """`best_of_group` only: how many of the best hypotheses are imitated."""

    kappa_per_beta: float | Literal["auto"] = 0.1
    """Pull to the reference, in units of beta. `auto`: 1.1 x the clip of |A|, convex in every output."""
    anchor_weight: float = Field(default=0.5, ge=0)
    """Weight of the plain noise error, averaged over the members that `anchor_on` names."""
    anchor_on: Literal["all", "positive"] = "all"

    heads: tuple[Head, ...] = Field(
        default=(Head(name="joints", dims=87), Head(name="twists", dims=46)), min_length=1
    )
    per_head: bool = True
    """False joins all heads into one mean over all dims before anything else."""
    advantage: AdvantageSettings = AdvantageSettings()
    lambda_t: Literal["const", "x0"] = "const"
    """Weight of a step's noise errors: all alike, or as errors of x0 count; see `draws.step_weights`."""
    timesteps: tuple[int, int] = (500, 1000)
    """Steps from which training draws, the first included, the last not. One per group."""

    @model_validator(mode="after")
    def _fits_together(self) -> "ObjectiveSettings":
        low, high = self.timesteps
        if not 0 <= low < high:
            raise ValueError(
                f"timesteps: [{low}, {high}) holds no step; give 0 <= low < high, for example [500, 1000)"
            )
        if self.kappa_per_beta == "auto" and self.advantage.clip is None:
            raise ValueError(
                "kappa_per_beta: 'auto' needs a bound on |A|; set advantage.clip, for example to 3"
            )
        if self.kappa_per_beta != "auto" and self.kappa_per_beta < 0:
            raise ValueError(
                f"kappa_per_beta: {self.kappa_per_beta} is negative; give 0 to switch the pull off"
            )
        if self.clip_eps is not None and self.objective != "ratio":
            raise ValueError(
                f"clip_eps: only the objective 'ratio' clips, not '{self.objective}'; drop one of the two"
            )
        return self

    @property
    def kappa(self) -> float:
        """Weight of ||eps_theta - eps_ref||^2 of each hypothesis."""
        share = 1.1 * (self.advantage.clip or 0.0) if self.kappa_per_beta == "auto" else self.kappa_per_beta
        return self.beta * share

    @property
    def needs_reference(self) -> bool:
        """Whether the gradient depends on the reference model. If not, its forward pass may be skipped."""
        return self.objective in NEEDS_REFERENCE or self.kappa > 0


PRESETS: dict[str, ObjectiveSettings] = {
    "paper_eq6": ObjectiveSettings(
        name="paper_eq6",
        objective="linear",  # [paper] Eq. 6
        beta=1.0,  # [unsaid]; with kappa 0 only the gradient clip can tell it from another
        group_reduce="sum",  # [paper] Eq. 6
        per_head=False,  # [paper] one loss; [ours] as the mean over all 133 dims
        kappa_per_beta=0.0,  # [paper] supplement: kappa_t = 0 in practice
        anchor_weight=0.0,  # [paper] Eq. 6 has none
        lambda_t="const",  # [paper] constant in practice
        timesteps=(0, 1000),  # [paper] t uniform over all steps
        # [paper] z-scores; [code] population std, eps 1e-8, no clip, no floor on the spread of a group
        advantage=AdvantageSettings(eps=1e-8, min_std=0.0, clip=None, min_members=2),
    ),
    "released_dgpo": ObjectiveSettings(
        name="released_dgpo",
        objective="log_sigmoid",  # [code] DGPO's form (arXiv:2510.08425) without its 1/G
        beta=100.0,  # [code] in the released configurations (the command line's default is 1000)
        group_reduce="sum",  # [code]
        per_head=True,  # [code] one sigmoid for joints, one for twists
        kappa_per_beta=0.0,  # [code]
        pref_weight=0.1,  # [code]
        anchor_weight=1.0,  # [code] on all members; [ours] without its shape and 2-D terms
        lambda_t="const",  # [code]
        timesteps=(500, 1000),  # [code]
        advantage=AdvantageSettings(eps=1e-8, min_std=0.0, clip=None, min_members=2),  # [code], as above
    ),
    "stable": ObjectiveSettings(
        name="stable",  # [ours], every number
        objective="log_sigmoid",  # bounded below, and fades once the group is in order
        beta=20.0,
        kappa_per_beta=0.1,  # zero value and gradient at the reference, a pull back beyond it
        anchor_weight=0.5,
        timesteps=(500, 1000),  # below 500 hardly any choice between modes is left at data scale 50
        advantage=AdvantageSettings(),  # clip 3; a group flatter than 2 points is dropped
    ),
    "studio": ObjectiveSettings(
        name="studio",  # [ours], chosen on `val` of the embedded benchmark; the default of the embedded job
        objective="log_sigmoid",
        lambda_t="x0",  # const weights hardly reach the steps near T, where zero-noise answers are decided
        beta=1.0,  # of x0-weighted errors, whose unit is some twenty times larger
        kappa_per_beta=0.05,
        anchor_weight=0.0,  # an anchor on tempered groups would teach their spread, good or bad
        timesteps=(500, 1000),
        advantage=AdvantageSettings(),
    ),
}


def preset(name: str, **changes: Any) -> ObjectiveSettings:
    """A preset with `changes`, which its name tells: preset("stable", beta=50) is "stable, changed: beta"."""
    if name not in PRESETS:
        near = get_close_matches(name, PRESETS, n=1)
        mend = f"Did you mean '{near[0]}'?" if near else f"There are: {', '.join(PRESETS)}."
        raise ValueError(f"no preset is called '{name}'. {mend}")
    if not changes:
        return PRESETS[name]
    known = {"name": f"{name}, changed: {', '.join(sorted(changes))}"}
    return ObjectiveSettings.model_validate({**PRESETS[name].model_dump(), **known, **changes})
