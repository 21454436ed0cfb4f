"""Triangles are cut at the near plane: what lies in front stays, with its orientation and its values."""

import numpy as np
import pytest

from hmr.body.body import load_body
from hmr.rendering.clipping import CUT, clipped

FACE = np.array([[0, 1, 2]], np.int32)


def triangle(*depths: float) -> np.ndarray:
    """Corners at (0, 0), (1, 0) and (0, 1), depths counted from the cut."""
    flat = np.float32([[0, 0], [1, 0], [0, 1]])
    return np.column_stack([flat, CUT + np.float32(depths)]).astype(np.float32)


def test_mesh_in_front_is_left_as_it_is():
    assert clipped(triangle(0, 1, 2), FACE) is None


def test_one_corner_in_front_leaves_the_tip():
    """From depth 1 to depth -1 the cut is half way."""
    cut = clipped(triangle(1, -1, -1), FACE)
    assert cut is not None
    np.testing.assert_allclose(cut.vertices[cut.faces[0]], triangle(1, 0, 0) * [0.5, 0.5, 1], atol=1e-6)
    assert len(cut.faces) == 1 and cut.source.tolist() == [0]
    np.testing.assert_allclose(cut.carried(np.float32([10, 20, 40])), [10, 20, 40, 15, 25])


def test_two_corners_in_front_leave_two_triangles():
    cut = clipped(triangle(1, 1, -1), FACE)
    assert cut is not None
    corners = cut.vertices[cut.faces]
    areas = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])[:, 2] / 2
    assert len(areas) == 2 and (areas > 0).all()  # as before: counter-clockwise
    assert areas.sum() == pytest.approx(0.5 - 0.125, abs=1e-5)  # without the tip at (0, 1)


def test_nothing_in_front_leaves_nothing():
    cut = clipped(triangle(-1, -2, -1), FACE)
    assert cut is not None and len(cut.faces) == 0


def test_body_is_cut_along_one_closed_line():
    """Every edge of a closed mesh has two faces; after the cut those without a second one lie in the plane."""
    body = load_body()
    cut = clipped(body.template + np.float32([0, 0, CUT]), body.faces.astype(np.int32))
    assert cut is not None and (cut.vertices[cut.faces][..., 2] >= CUT).all()
    places = {tuple(v): k for k, v in reversed(list(enumerate(cut.vertices.tolist())))}
    faces = np.array([[places[tuple(cut.vertices[corner].tolist())] for corner in face] for face in cut.faces])
    edges = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), axis=1)
    edges, count = np.unique(edges[edges[:, 0] != edges[:, 1]], axis=0, return_counts=True)
    border = edges[count == 1]
    assert len(border) > 100 and (cut.vertices[border][..., 2] == CUT).all()
