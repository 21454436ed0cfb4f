"""Seen people of a split, kept in a folder that several runs may share."""

import numpy as np
import pytest

from hmr.studio import observation
from hmr.studio.observation import SeenPeople, see_split


@pytest.fixture
def seen(monkeypatch) -> SeenPeople:
    """Two people, in the place of drawing and finding them."""
    made = observation._stack([])
    made = SeenPeople(*(np.zeros((2, *column.shape[1:]), column.dtype) for column in made))
    monkeypatch.setattr(observation, "see_scenes", lambda body, finder, split, indices: made)
    return made


def test_two_runs_that_see_the_same_scenes_at_once(seen, tmp_path, monkeypatch):
    """The second begins and ends while the first is writing."""
    write, runs = np.savez, []

    def savez(path, **columns):
        write(path, **columns)
        runs.append(path)
        if len(runs) == 1:
            see_split("val", 2, tmp_path)

    monkeypatch.setattr(np, "savez", savez)
    assert len(see_split("val", 2, tmp_path).index) == 2
    assert len(runs) == 2 and [path.name for path in tmp_path.iterdir()] == ["val-000000-000002.npz"]


def test_what_was_seen_is_read_back(seen, tmp_path, monkeypatch):
    first = see_split("val", 5, tmp_path, shard=3)
    monkeypatch.setattr(observation, "see_scenes", lambda *_: pytest.fail("seen twice"))
    again = see_split("val", 5, tmp_path, shard=3)
    assert len(again.index) == 4
    for column, other in zip(first, again):
        np.testing.assert_array_equal(column, other)
