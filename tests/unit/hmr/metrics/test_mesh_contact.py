"""Contact and penetration of two meshes: cubes whose overlap is known."""

import numpy as np
import pytest
import trimesh
from numpy.testing import assert_allclose

from hmr.metrics.mesh_contact import contact_score, penetration, touching, winding_numbers


def cube(size: float, centre=(0.0, 0.0, 0.0)) -> tuple[np.ndarray, np.ndarray]:
    made = trimesh.creation.box((size, size, size))
    return np.asarray(made.vertices) + centre, np.asarray(made.faces)


def test_a_mesh_winds_once_about_its_inside():
    vertices, faces = cube(2.0)
    points = np.array([[0.0, 0, 0], [0.99, 0.9, -0.9], [1.01, 0, 0], [5.0, 5, 5]])
    assert_allclose(winding_numbers(points, vertices, faces), [1, 1, 0, 0], atol=1e-9)
    many = np.random.default_rng(0).uniform(-2, 2, (200, 3))
    inside = winding_numbers(many, vertices, faces) > 0.5
    assert (inside == (np.abs(many) < 1).all(1)).all()


def test_one_corner_in_the_other():
    """A cube's corner 0.1 m inside a side of 2 m: one of eight vertices, nearest to the corner (1, 1, 1)."""
    big, faces = cube(2.0)
    small, _ = cube(1.0, (1.4, 1.4, 1.4))
    found = penetration(small, big, faces)
    assert found.share == pytest.approx(1 / 8)
    assert found.depth_mm == pytest.approx(1000 * 3**0.5 * 0.1)
    assert penetration(small + 1, big, faces) == (0.0, 0.0)


def test_contact_by_hand():
    one, other = np.array([[0.0, 0, 0], [1, 0, 0], [2, 0, 0]]), np.array([[0.0, 0, 0.019], [1, 0, 0.021]])
    assert touching(one, other).tolist() == [True, False, False]
    score = contact_score(np.array([True, True, False, False]), np.array([True, False, True, True]))
    assert_allclose(score, (1 / 2, 1 / 3, 2 / 5))
    none = contact_score(np.zeros(2, bool), np.zeros(2, bool))
    assert np.isnan(none).all()
