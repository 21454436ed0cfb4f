"""From a critic's scores to advantages: how much better each hypothesis is than the rest of its group."""

import math
from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Float
from pydantic import BaseModel, ConfigDict, Field, field_validator
from torch import Tensor

__all__ = ["AdvantageSettings", "Advantages", "group_advantages"]

SCORE_RANGE = 100.0  # points; a reward is score / 100
TINY = torch.finfo(torch.float64).tiny

Kind = Literal["zscore", "center", "loo", "rank", "softmax"]


class AdvantageSettings(BaseModel):
    """How scores become advantages; the fields are the keyword arguments of `group_advantages`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Kind = "zscore"
    ddof: int = Field(default=0, ge=0, le=1)
    eps: float = Field(default=1e-6, ge=0)  # share of the score range, added to the standard deviation
    min_std: float = Field(default=2.0, ge=0)  # points; a flatter group carries no signal and is dropped
    clip: float | None = Field(default=3.0, gt=0)
    min_members: int = Field(default=4, ge=2)

    @field_validator("clip")
    @classmethod
    def _no_bound(cls, clip: float | None) -> float | None:
        """TOML has no null: `inf` means the same."""
        return None if clip == math.inf else clip


class Advantages(NamedTuple):
    """Advantages of whole groups. Dropped groups are counted by `(~kept).sum()`."""

    values: Float[Tensor, "image hypothesis"]
    """0 for a hypothesis on which the critic abstained, and throughout a dropped group."""
    kept: Bool[Tensor, " image"]
    """False where the group is too small or too flat to learn from."""
    judged: Bool[Tensor, "image hypothesis"]
    """False where the critic abstained: pairs and best-of-group choices skip these."""


def group_advantages(
    scores: Float[Tensor, "image hypothesis"],
    *,
    kind: Kind = "zscore",
    ddof: int = 0,
    eps: float = 1e-6,
    min_std: float = 2.0,
    clip: float | None = None,
    min_members: int = 4,
    uncertainty: Float[Tensor, "image hypothesis"] | None = None,
) -> Advantages:
    """Advantages of each hypothesis within its group; every kind sums to zero over the judged ones.

        zscore   (s - mean) / (std + 100 eps)                       counts standard deviations
        center   (s - mean) / 100                                   reward units
        loo      (s - mean of the others) / 100 = n / (n - 1) center
        rank     zscore of the ranks, ties sharing their mean rank  free of the scale of the scores
        softmax  n softmax(zscore) - 1                              -1 at worst, favours the best few

    Sources: Shao et al. 2024 (arXiv:2402.03300), outcome form, for zscore; Kool et al. 2019 for loo; rank and
    softmax are our own. With the population's standard deviation (ddof 0) and n judged members, zscore and
    rank have sum of squares n and |A| <= sqrt(n - 1).
    Units: scores are points of 0-100, NaN = abstained (leave a synthetic mean out by giving it NaN);
    `min_std` is in points (population standard deviation), `eps` a share of the range. Computed in float64,
    returned in the type of `scores`. `clip` bounds |A|; the sum is then only nearly zero.

    `uncertainty` is the standard error u of each score, in points, NaN where the critic gave none. A hypothesis
    then has the weight of its score's reliability (Kelley 1927; our choice),

        w = tau^2 / (tau^2 + u^2),   tau^2 = max(std^2 - mean u^2, 0),

    in mean and std and as a factor on its advantage, and `min_std` is compared with tau: a group whose spread the
    critic's own noise explains is dropped. Leave-one-out is then n / (n - 1) times the weighted `center`.

    Raises ValueError if a score is infinite, or an uncertainty negative or infinite.
    """
    if scores.isinf().any():
        raise ValueError("group_advantages: a score is infinite; give points of 0-100, or NaN for an abstention")
    judged = ~scores.isnan()
    points = scores.double().where(judged, 0.0)
    count = judged.sum(-1, keepdim=True).clamp(min=1)
    weights, spread = _reliability(points, judged, uncertainty)
    flat = (points == _first_judged(points, judged)).logical_or(~judged).all(-1)
    certain = ((spread >= min_std) & (spread > 0)).squeeze(-1)
    kept = (judged.sum(-1) >= min_members) & ~flat & certain

    if kind in ("center", "loo"):
        values = weights * _centred_and_std(points, weights)[0] / SCORE_RANGE
        if kind == "loo":
            values = values * count / (count - 1).clamp(min=1)
    else:
        measure = _ranks(points, judged) if kind == "rank" else points
        centred, std = _centred_and_std(measure, weights)
        std = std * (count / (count - ddof).clamp(min=1)).sqrt()
        floor = eps * (SCORE_RANGE if kind != "rank" else count)
        values = weights * centred / (std + floor).clamp(min=TINY)
        if kind == "softmax":
            values = count * values.where(judged, -torch.inf).softmax(-1) - 1
    if clip is not None:
        values = values.clamp(-clip, clip)
    values = values.where(judged & kept[:, None], 0.0)
    return Advantages(values.to(scores.dtype), kept, judged)


def _reliability(points: Tensor, judged: Tensor, uncertainty: Tensor | None) -> tuple[Tensor, Tensor]:
    """Weight of each hypothesis (0 where not judged), and tau of each group in points, shape (image, 1)."""
    evenly = judged.double()
    spread = _centred_and_std(points, evenly)[1]
    if uncertainty is None:
        return evenly, spread
    if (uncertainty < 0).any() or uncertainty.isinf().any():
        raise ValueError(
            "group_advantages: an uncertainty is negative or infinite; give a standard error in points, or NaN if "
            "there is none"
        )
    noise = uncertainty.double().nan_to_num(0.0).square() * evenly
    true = (spread.square() - noise.sum(-1, keepdim=True) / evenly.sum(-1, keepdim=True).clamp(min=1)).clamp(min=0)
    return evenly * true / (true + noise).clamp(min=TINY), true.sqrt()


def _centred_and_std(points: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Distances to the weighted mean (of no meaning where the weight is 0), and the weighted population std."""
    total = weights.sum(-1, keepdim=True).clamp(min=TINY)
    centred = points - (weights * points).sum(-1, keepdim=True) / total
    return centred, ((weights * centred.square()).sum(-1, keepdim=True) / total).sqrt()


def _first_judged(points: Tensor, judged: Tensor) -> Tensor:
    return points.gather(-1, judged.int().argmax(-1, keepdim=True))


def _ranks(points: Tensor, judged: Tensor) -> Tensor:
    """Rank from 1 among the judged of the group, ties sharing their mean rank; 0 where not judged."""
    other = judged[:, None, :]
    below = ((points[:, None, :] < points[:, :, None]) & other).sum(-1)
    equal = ((points[:, None, :] == points[:, :, None]) & other).sum(-1)
    return (below + (equal + 1) / 2).where(judged, 0.0).double()
