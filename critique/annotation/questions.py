"""Which groups and members people are shown: where an answer says most, in a random order that the seed determines.

With z the scores of a critic in standard deviations of its group, a pair of members is worth

    several critics   standard deviation over critics of z_i - z_k: they disagree who is better
    one critic        exp(-|z_i - z_k|): it hardly distinguishes them
    none              1

and nothing if the bodies are alike, because nobody would see a difference. The members shown are the best pair, and
then those that add most; a group is worth the mean over its pairs. Critics' names and scores never reach the page.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from critique.critic import seeded_random

Floats = NDArray[np.float64]

ALIKE_MM = 60.0
"""Mean distance of joints, pelvis on pelvis, under which two bodies look the same in a small picture."""


@dataclass(frozen=True, eq=False)
class Candidate:
    """A group that could be shown."""

    gen: str
    group_id: str
    joints: NDArray[np.floating]  # (G, 29, 3) metres
    scores: Mapping[str, Floats]  # by critic (G,), 0-100, NaN = no score


@dataclass(frozen=True)
class Question:
    """Some members of a group, in the order in which they are shown."""

    gen: str
    group_id: str
    members: tuple[int, ...]
    value: float  # how much an answer is expected to say


def questions(candidates: Sequence[Candidate], shown: int, count: int, seed: int) -> list[Question]:
    """At most `count` questions with `shown` members each, the most informative first.

    Groups without so many different bodies are left out.
    """
    found = []
    for candidate in candidates:
        value = pair_values(candidate)
        members = best_members(value, shown)
        if members:
            random = seeded_random(seed, f"{candidate.gen}/{candidate.group_id}")
            order = tuple(int(place) for place in random.permutation(members))
            mean = float(np.mean([value[i, k] for i, k in combinations(members, 2)]))
            found.append((-mean, float(random.random()), Question(candidate.gen, candidate.group_id, order, mean)))
    return [question for *_, question in sorted(found, key=lambda one: one[:2])][:count]


def pair_values(candidate: Candidate) -> Floats:
    """(G, G) what an answer about two members is worth, symmetric; -inf where their bodies are alike."""
    size = len(candidate.joints)
    z = [_standardised(scores) for scores in candidate.scores.values()]
    apart = [row[:, None] - row[None] for row in z if np.isfinite(row).any()]
    value = np.ones((size, size))
    if len(apart) > 1:
        value = np.stack(apart).std(0)
    elif apart:
        value = np.exp(-np.abs(apart[0]))
    joints = 1000 * (candidate.joints - candidate.joints[:, :1]).astype(np.float64)
    distance = np.linalg.norm(joints[:, None] - joints[None], axis=-1).mean(-1)
    return np.where((distance < ALIKE_MM) | np.isnan(value), -np.inf, value)


def best_members(value: Floats, shown: int) -> tuple[int, ...]:
    """The members to show, greedily, by the values of pairs (G, G); () if there are not so many different ones."""
    upper = np.where(np.triu(np.ones_like(value, bool), 1), value, -np.inf)
    first = np.unravel_index(int(upper.argmax()), value.shape)
    if not np.isfinite(upper[first]):
        return ()
    members = [int(place) for place in first]
    while len(members) < shown:
        gain = value[:, members].sum(1)
        gain[members] = -np.inf
        best = int(gain.argmax())
        if not np.isfinite(gain[best]):
            return ()
        members.append(best)
    return tuple(members)


def _standardised(scores: Floats) -> Floats:
    """(G,) scores in standard deviations of the group; NaN stays NaN, and 0 for all if they are equal."""
    if np.isnan(scores).all():
        return scores
    spread = float(np.nanstd(scores))
    return (scores - np.nanmean(scores)) / spread if spread > 0 else scores * 0.0
