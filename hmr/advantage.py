"""From a critic's scores to advantages: how much better each hypothesis is than the rest of its group."""

from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Float
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

__all__ = ["AdvantageSettings", "Advantages", "group_advantages"]

SCORE_RANGE = 100.0  # points; a reward is score / 100

Kind = Literal["zscore", "center", "loo", "rank", "softmax"]


class AdvantageSettings(BaseModel):
    """How scores become advantages; the fields are the keyword arguments of `group_advantages`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Kind = "zscore"
    ddof: int = Field(default=0, ge=0, le=1)
    eps: float = Field(default=1e-6, ge=0)  # share of the score range, added to the standard deviation
    min_std: float = Field(default=2.0, ge=0)  # points; a flatter group says nothing and is dropped
    clip: float | None = Field(default=3.0, gt=0)
    min_members: int = Field(default=4, ge=2)


class Advantages(NamedTuple):
    """Advantages of whole groups. Dropped groups are counted by `(~kept).sum()`."""

    values: Float[Tensor, "image hypothesis"]
    """0 for a hypothesis on which the critic abstained, and throughout a dropped group."""
    kept: Bool[Tensor, " image"]
    """False where the group is too small or too flat to learn from."""
    judged: Bool[Tensor, "image hypothesis"]
    """False where the critic abstained: pairs and best-of-group choices pass these over."""


def group_advantages(
    scores: Float[Tensor, "image hypothesis"],
    *,
    kind: Kind = "zscore",
    ddof: int = 0,
    eps: float = 1e-6,
    min_std: float = 2.0,
    clip: float | None = None,
    min_members: int = 4,
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
    returned in the type of `scores`. `clip` bounds |A| and thereby bends the zero sum a little.
    """
    if scores.isinf().any():
        raise ValueError("group_advantages: a score is infinite; give points of 0-100, or NaN for an abstention")
    judged = ~scores.isnan()
    points = scores.double().where(judged, 0.0)
    count = judged.sum(-1, keepdim=True).clamp(min=1)
    spread = _population_std(points, judged, count)
    flat = (points == _first_judged(points, judged)).logical_or(~judged).all(-1)
    kept = (judged.sum(-1) >= min_members) & ~flat & (spread >= min_std).squeeze(-1)

    if kind in ("center", "loo"):
        values = _centred(points, judged, count) / SCORE_RANGE
        if kind == "loo":
            values = values * count / (count - 1).clamp(min=1)
    else:
        measure = _ranks(points, judged) if kind == "rank" else points
        std = _population_std(measure, judged, count) * (count / (count - ddof).clamp(min=1)).sqrt()
        floor = eps * (SCORE_RANGE if kind != "rank" else count)
        values = _centred(measure, judged, count) / (std + floor).clamp(min=torch.finfo(torch.float64).tiny)
        if kind == "softmax":
            values = count * values.where(judged, -torch.inf).softmax(-1) - 1
    if clip is not None:
        values = values.clamp(-clip, clip)
    values = values.where(judged & kept[:, None], 0.0)
    return Advantages(values.to(scores.dtype), kept, judged)


def _centred(points: Tensor, judged: Tensor, count: Tensor) -> Tensor:
    return (points - points.sum(-1, keepdim=True) / count).where(judged, 0.0)


def _population_std(points: Tensor, judged: Tensor, count: Tensor) -> Tensor:
    return (_centred(points, judged, count).square().sum(-1, keepdim=True) / count).sqrt()


def _first_judged(points: Tensor, judged: Tensor) -> Tensor:
    return points.gather(-1, judged.int().argmax(-1, keepdim=True))


def _ranks(points: Tensor, judged: Tensor) -> Tensor:
    """Rank from 1 among the judged of the group, ties sharing their mean rank; 0 where not judged."""
    other = judged[:, None, :]
    below = ((points[:, None, :] < points[:, :, None]) & other).sum(-1)
    equal = ((points[:, None, :] == points[:, :, None]) & other).sum(-1)
    return (below + (equal + 1) / 2).where(judged, 0.0).double()
