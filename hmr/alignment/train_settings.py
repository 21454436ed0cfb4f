"""Settings of one round of fine-tuning, and the learning rate that follows from them."""

import math
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from hmr.alignment.guard import GuardSettings
from hmr.alignment.objectives import ObjectiveSettings, preset

__all__ = ["TrainSettings", "learning_rate_share"]

ENCODER_SHARE = 0.4
"""Learning rate of the encoder over that of the predictor; the released code has 2e-4 and 5e-4."""


class TrainSettings(BaseModel):
    """One round of fine-tuning. The objective is a preset, with changes by name."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    preset: str = "studio"
    objective: dict[str, Any] = {}  # changes to the preset, by its field names
    steps: int = Field(default=200, ge=1)
    groups_per_step: int = Field(default=12, ge=1)  # over all processes
    learning_rate: float = Field(default=5e-4, gt=0)
    warmup: int = Field(default=20, ge=0)  # steps
    schedule: Literal["constant", "cosine"] = "constant"  # after the warm-up; cosine ends at 0
    grad_clip: float = Field(default=1.0, gt=0)
    ema: float = Field(default=0.99, ge=0, lt=1)  # reached gradually: (1 + n) / (10 + n) before
    evaluate_every: int = Field(default=40, ge=1)  # steps
    watch_every: int = Field(default=10, ge=1)
    """Steps between two runs of the reference for the log, where the gradient does not need it."""
    guard: GuardSettings = GuardSettings()
    keep: Literal["best on val", "last"] = "best on val"
    """Which step's weights a run ends with; one that the guard stopped always goes back to the best."""
    seed: int = 0

    train_encoder: bool = False
    encoder_learning_rate: float | None = Field(default=None, gt=0)  # none = ENCODER_SHARE of the predictor's
    encoder_precision: Literal["float32", "bf16"] = "float32"  # of a trained encoder; all else is float32
    checkpoint_activations: bool = False  # a trained HRNet computes its features twice and keeps few of them
    lora_rank: int = Field(default=0, ge=0)  # 0 = the weights themselves are trained
    lora_alpha: int = Field(default=16, ge=1)  # adapters count alpha / rank times

    micro_groups: int | None = Field(default=None, ge=1)  # groups at once in one process; none = all of its own
    micro_hypotheses: int | None = Field(default=None, ge=1)  # of each group at once; none = whole groups
    halve_on_oom: bool = False  # out of GPU memory: the same step again with half of micro_groups
    save_every: int = Field(default=100, ge=1)  # steps; beside each evaluation
    keep_states: int = Field(default=2, ge=1)

    def resolved(self) -> ObjectiveSettings:
        """The objective with the changes applied; raises ValueError if settings do not fit together."""
        objective = preset(self.preset, **self.objective)
        if self.micro_hypotheses and not splits(objective):
            raise ValueError(
                f"micro_hypotheses = {self.micro_hypotheses} splits groups, and '{objective.objective}' with "
                f"group_reduce '{objective.group_reduce}' and anchor_weight {objective.anchor_weight:g} needs whole "
                "ones: use micro_groups. Only 'linear' with group_reduce 'sum' and without anchor is a sum over members"
            )
        return objective

    def alike(self) -> dict[str, Any]:
        """The settings that decide the result: all but those about memory and about which states are kept."""
        return self.model_dump(
            mode="json",
            exclude={"micro_groups", "micro_hypotheses", "halve_on_oom", "checkpoint_activations", "save_every",
                     "keep_states"},
        )  # fmt: skip


def splits(objective: ObjectiveSettings) -> bool:
    """Whether the loss of a group is the sum of its members' losses."""
    plain = objective.objective == "linear" and objective.group_reduce == "sum"
    return plain and objective.anchor_weight == 0 and not objective.centre_residuals


def learning_rate_share(settings: TrainSettings, step: int) -> float:
    """Factor 0-1 on `learning_rate` at step 0, 1, ...: a linear warm-up, then constant, or a half cosine down to 0."""
    warm = min((step + 1) / max(settings.warmup, 1), 1.0)
    if settings.schedule == "constant" or step < settings.warmup:
        return warm
    gone = (step - settings.warmup) / max(settings.steps - settings.warmup, 1)
    return (1 + math.cos(math.pi * gone)) / 2
