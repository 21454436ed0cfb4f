"""Which groups the teacher of a cascade is asked about: those that the judge is least sure of. Pure."""

from collections.abc import Mapping, Sequence

from critique.critic import seeded_random

FIRST = 0.5
"""Share of a generation's allowance that is asked at random where there is no judge yet."""

ENOUGH = 24
"""Groups that are asked about at random at least: a judge is learned from 16, and a teacher may abstain on some."""


def allowance(budget: int, asked: int, generation: int, generations: int) -> int:
    """How many groups of generation 0, 1, ... the teacher may be asked about, those that it has judged not counted.

    budget: groups in the whole run; asked: of all generations so far. What is left is shared by the generations to
    come, this one included; the last one gets all of it.
    """
    left = max(budget - asked, 0)
    return -(-left // max(generations - generation, 1))


def chosen(doubts: Mapping[str, float], count: int, known: Sequence[str] = ()) -> list[str]:
    """The ids of `count` groups, the most doubtful first (ties by id); those in `known` were asked already."""
    open_ones = sorted((-doubt, name) for name, doubt in doubts.items() if name not in set(known))
    return [name for _, name in open_ones[:count]]


def at_random(names: Sequence[str], count: int, seed: int, gen: str) -> list[str]:
    """`count` of the groups in a random order that depends on seed and generation alone."""
    order = seeded_random(seed, f"ask {gen}").permutation(len(names))
    return [sorted(names)[place] for place in order[:count]]
