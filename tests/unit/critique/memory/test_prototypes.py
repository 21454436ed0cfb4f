"""Prototypes: near by cosine, unlike each other, and which overlays of a group are worth keeping."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from critique.memory.memory_settings import RecallSettings
from critique.memory.prototypes import Prototype, nearest, nearest_prototypes, representative, varied

NAN = math.nan


def test_nearest_by_cosine_whatever_the_length():
    ways = np.array([(-1.0, 0.0), (5.0, 0.1), (0.0, 2.0), (0.0, 1.0), (0.0, 0.0)])
    assert nearest(ways, np.array([1.0, 0.0]), 5) == [1, 2, 3, 4, 0]


def test_variety_passes_over_a_twin():
    """Cosines with the query: .96, .96, .6. A twin of the first costs all of its likeness to it."""
    ways = np.array([(0.96, 0.28), (0.96, 0.28), (0.6, -0.8)])
    query = np.array([1.0, 0.0])
    assert nearest(ways, query, 2, likeness=1.0) == [0, 1]
    # by halves: the twin is worth (.96 - 1) / 2 = -.02, the other (.6 - .352) / 2 = .124
    assert nearest(ways, query, 2, likeness=0.5) == [0, 2]


@given(st.integers(0, 5), st.integers(0, 1000), st.floats(0, 1))
def test_every_choice_is_of_different_rows(count, seed, likeness):
    rows = np.random.default_rng(seed).normal(size=(4, 3))
    chosen = nearest(rows, rows[0], count, likeness)
    assert len(chosen) == len(set(chosen)) == min(count, 4)
    assert not chosen or chosen[0] == 0  # a row is nearest to itself


def test_settings_count():
    prototypes = [Prototype(id=id, rationale="x", embedding=(1.0, k)) for k, id in enumerate("cab")]
    chosen = nearest_prototypes(prototypes, np.array([1.0, 0.0]), RecallSettings(prototypes=2, likeness=1.0))
    assert [one.id for one in chosen] == ["c", "a"]
    assert nearest_prototypes(prototypes, np.array([1.0, 0.0]), RecallSettings(prototypes=0)) == ()


def test_what_is_worth_keeping():
    """Ranks by score 0 1 2 3, by truth 3 0 1 2: place 0 is best by truth, 1 worst, and 0 is misjudged by 3."""
    scores, quality = np.array([10.0, 20.0, 30.0, 40.0]), np.array([0.9, 0.1, 0.2, 0.3])
    assert representative(scores, quality) == {"best": 0, "worst": 1}
    # ranks by score 2 0 1 3, by truth 3 0 2 1: best 0, worst 1, and place 3 is misjudged by 2
    assert representative(np.array([30.0, 10.0, 20.0, 40.0]), np.array([0.9, 0.1, 0.5, 0.4])) == {
        "best": 0, "worst": 1, "misjudged": 3,
    }  # fmt: skip


def test_the_unjudged_are_not_kept():
    assert representative(np.array([NAN, 5.0, 6.0]), np.array([1.0, 0.2, 0.1])) == {"best": 1, "worst": 2}
    assert representative(np.array([NAN, 5.0]), np.array([1.0, NAN])) == {}


def test_varied_keeps_what_is_far_apart():
    ways = [(1.0, 0.0), (0.99, 0.01), (0.0, 1.0), (-1.0, 0.0)]
    prototypes = [Prototype(id=str(k), rationale="x", embedding=way) for k, way in enumerate(ways)]
    assert [one.id for one in varied(prototypes, 3)] == ["0", "2", "3"]
    assert varied(prototypes, 9) == tuple(prototypes)
    assert varied(prototypes, 0) == ()


def test_a_picture_has_a_limit():
    with pytest.raises(ValueError, match="picture"):
        Prototype(id="p", rationale="x", embedding=(1.0,), picture=b"x" * 3_000_000)
