"""Pictures through an affine map: against plain bilinear sampling written for one point at a time."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hmr.detection.pose_networks import Square
from hmr.detection.resampling import resample_affine


def plainly(source, matrix, size: int, samples: int):
    """The docstring of `resample_affine`, point by point; outside of the picture is black."""
    rows, columns, channels = source.shape

    def seen(row: int, column: int):
        inside = 0 <= row < rows and 0 <= column < columns
        return source[row, column].astype(np.float64) if inside else np.zeros(channels)

    out = np.zeros((size, size, channels))
    steps = (np.arange(size * samples) + 0.5) / samples
    for down, v in enumerate(steps):
        for right, u in enumerate(steps):
            x, y = matrix @ (u, v, 1) - 0.5
            column, row = math.floor(x), math.floor(y)
            above = (1 - x + column) * seen(row, column) + (x - column) * seen(row, column + 1)
            below = (1 - x + column) * seen(row + 1, column) + (x - column) * seen(row + 1, column + 1)
            out[down // samples, right // samples] += (1 - y + row) * above + (y - row) * below
    return out / samples**2


@settings(max_examples=40)
@given(
    shape=st.tuples(st.integers(1, 9), st.integers(1, 9), st.sampled_from([1, 3])),
    place=st.tuples(st.floats(-4, 12), st.floats(-4, 12), st.floats(0.5, 30), st.floats(-3.2, 3.2)),
    samples=st.integers(1, 3),
    kind=st.sampled_from([np.uint8, np.float32]),
)
def test_every_point_is_bilinear_within_at_the_edge_and_outside(shape, place, samples, kind):
    source = np.random.default_rng(0).integers(0, 256, shape).astype(kind)
    matrix = Square(*place).to_photograph(6)
    np.testing.assert_allclose(
        resample_affine(source, matrix, 6, samples), plainly(source, matrix, 6, samples), atol=1e-3
    )


@pytest.mark.parametrize("view", [np.s_[:, ::-1], np.s_[::2], np.s_[3:9, 2:11]])
def test_a_view_is_as_good_as_a_copy(view):
    source = np.random.default_rng(1).integers(0, 256, (12, 12, 3), dtype=np.uint8)
    matrix = Square(4.0, 4.0, 7.0, 0.3).to_photograph(8)
    assert (resample_affine(source[view], matrix, 8, 2) == resample_affine(source[view].copy(), matrix, 8, 2)).all()


def test_the_same_grid_changes_nothing():
    source = np.random.default_rng(2).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    assert (resample_affine(source, np.eye(2, 3), 8, 1) == source).all()
