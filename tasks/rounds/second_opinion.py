"""How often critics prefer the policy: its hypotheses for people of `val` beside those of the model it began as.

A critic's scores spread over a group, so their mean says nothing of a whole group that got better. Here both models'
hypotheses for a person are one group, and pairs of them are counted: 50 % = neither is preferred, as at the start.
"""

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from critique.critic import Critic
from storage.records import DrawnGroup, Group

__all__ = ["beside", "preferred", "share_of_pairs"]

SHARED = ("person", "model_digest", "temperature", "betas", "made_by", "shapes", "meshes")
"""Fields of a group that are not one value for each hypothesis, or that models of ours leave empty."""


def share_of_pairs(ours: Float[ndarray, " a"], theirs: Float[ndarray, " b"]) -> float:
    """Percent of pairs in which ours has the higher score; a tie counts half, NaN takes no part. NaN without a pair."""
    ours, theirs = ours[~np.isnan(ours)], theirs[~np.isnan(theirs)]
    if not len(ours) or not len(theirs):
        return float("nan")
    return float(100 * ((np.sign(ours[:, None] - theirs) + 1) / 2).mean())


def beside(one: DrawnGroup, other: DrawnGroup) -> DrawnGroup:
    """Both models' hypotheses for a person as one group, those of `one` first."""

    def both(name: str) -> np.ndarray:
        return np.concatenate([getattr(one.group, name), getattr(other.group, name)])

    each = {field.name: both(field.name) for field in fields(Group) if field.name not in SHARED}
    shapes = np.concatenate([np.broadcast_to(g.each_shape, (len(g), g.each_shape.shape[1])) for g in (
        one.group, other.group)])  # fmt: skip
    return DrawnGroup(
        replace(one.group, shapes=shapes, **each),
        np.concatenate([one.silhouettes, other.silhouettes]),
        np.concatenate([one.penetration, other.penetration]),
    )


def preferred(
    critics: Mapping[str, Critic], policy: Sequence[DrawnGroup], start: Sequence[DrawnGroup]
) -> dict[str, float | None]:
    """Each critic's preference for the policy, percent of pairs, mean over people; None if it abstains on all."""
    shares: dict[str, list[float]] = {name: [] for name in critics}
    for ours, theirs in zip(policy, start, strict=True):
        group, size = beside(ours, theirs), len(ours.group)
        for name, critic in critics.items():
            scores = np.asarray(critic.judge(group).scores, np.float64)
            shares[name].append(share_of_pairs(scores[:size], scores[size:]))
    means = {name: np.array(found)[~np.isnan(found)] for name, found in shares.items()}
    return {name: float(found.mean()) if len(found) else None for name, found in means.items()}
