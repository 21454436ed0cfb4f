import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hmr.alignment.group_order import rows_of_step


def shards_of(sizes):
    ends = np.cumsum(sizes)
    return [np.arange(end - size, end) for size, end in zip(sizes, ends)]


def first_steps(shards, steps, count, **given):
    return [rows_of_step(shards, step, count, **given) for step in range(steps)]


@given(
    sizes=st.lists(st.integers(0, 7), min_size=1, max_size=6).filter(any),
    count=st.integers(1, 9),
    window=st.integers(1, 7),
    seed=st.integers(0, 99),
)
def test_every_epoch_visits_every_row_once(sizes, count, window, seed):
    size = sum(sizes)
    count = min(count, size)
    taken = np.concatenate(first_steps(shards_of(sizes), 3 * size, count, window=window, seed=seed))
    for epoch in range(3):
        assert sorted(taken[epoch * size : (epoch + 1) * size]) == list(range(size))


def test_rows_are_mixed_within_windows_of_shards_only():
    """Five shards of four rows in windows of two: of the steps of one shard's size, the first four see two shards."""
    steps = first_steps(shards_of([4] * 5), 5, 4, window=2, seed=0)
    seen = [{int(row) // 4 for row in rows} for rows in steps]
    assert len(seen[0] | seen[1]) == 2 and len(seen[2] | seen[3]) == 2 and len(seen[4]) == 1
    assert len(set.union(*seen)) == 5
    assert any(len(one) == 2 for one in seen), "never mixed"


def test_seeds_and_epochs_differ_and_equal_ones_agree():
    shards = shards_of([30, 30])
    whole = {"count": 60, "window": 2}
    first, second = (rows_of_step(shards, step, seed=0, **whole) for step in (0, 1))
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, rows_of_step(shards, 0, seed=1, **whole))
    assert np.array_equal(first, rows_of_step(shards, 0, seed=0, **whole))


def test_fewer_rows_than_a_step_asks_for_are_taken_once_each():
    assert sorted(rows_of_step(shards_of([2, 1]), 5, 80, window=4, seed=0)) == [0, 1, 2]


def test_without_any_row_there_is_no_order():
    with pytest.raises(ValueError, match="there is no row"):
        rows_of_step([np.arange(0)], 0, 4, window=1, seed=0)
