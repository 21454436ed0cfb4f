"""Settings of the memory: how much of it a case is shown, and how it is added to."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Count = Annotated[int, Field(ge=1)]
Natural = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]


NEAR_COPY = 0.9
"""Cosine from which on two rules count as duplicates."""


class RecallSettings(BaseModel):
    """Which rules and prototypes a case is shown. Source: Shen et al. 2026, which leaves the constants open."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    rules: Natural = 5  # K_r, most that are shown
    prototypes: Natural = 3  # K_p
    exploration: Annotated[float, Field(ge=0)] = 0.5  # C of the upper confidence bound
    prior_successes: Annotated[float, Field(ge=0)] = 1.0  # successes that a new rule is credited with
    prior_uses: Annotated[float, Field(gt=0)] = 2.0  # in so many uses: (N_s + 1) / (N_u + 2)
    likeness: Share = 0.7  # weight of similarity against variety among prototypes; 1 = similarity alone
    tags: Literal["prototypes", "none"] = "prototypes"  # where the tags of a case come from
    embedder: str = "pose"  # of cases: "pose", "open_clip:MODEL:WEIGHTS", "transformers:MODEL", "endpoint:MODEL"


RECALL = RecallSettings()
"""The defaults."""


class ReflectionSettings(BaseModel):
    """One session of reflection on labelled groups; its three parts share no photograph."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, validate_default=True, allow_inf_nan=False)

    # whose labels are read; people = none: the run's groups that people judged (`hmr-align annotate`)
    split: Literal["val", "easy_val", "lab", "broad", "people"] = "val"
    explore: Count = 40  # groups that are judged, kept as prototypes and audited
    gate: Annotated[int, Field(ge=5)] = 40  # held-out groups on which rules are tested
    check: Natural = 40  # groups on which the whole session is measured before and after, for the report alone
    tau: Annotated[float, Field(ge=-1, le=1)] = 0.6  # SRCC with the truth from which on a group is ranked well
    when: Literal["below_tau", "always"] = "below_tau"  # which explored groups are audited
    audits: Natural = 20  # most groups that are audited, the worst first
    candidates: Natural = 4  # most new rules that are tested, the most often proposed first
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95  # one-sided, shared among the rules of one session
    resamples: Count = 2000  # of the bootstrap over photographs
    retest: bool = True  # test admitted rules again, each against the memory without it
    duplicate: Share = NEAR_COPY  # cosine from which on two rules count as duplicates
    most_rules: Count = 50  # that are not retired
    most_prototypes: Natural = 60
    placebo: str = "When the photograph was taken on a Tuesday, take 10 points off."
    text_embedder: str = "ngrams"  # of rules: "ngrams", "sentence_transformers:MODEL", "endpoint:MODEL"
