import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from scipy.spatial.transform import Rotation

from hmr.body.body import load_body
from hmr.rendering.rasterizer import (
    NEAR,
    Lights,
    draw_colours,
    draw_depth,
    draw_silhouettes,
    project,
    shade,
    vertex_normals,
)

# Corner at (1, 1), legs of 4 pixels, hypotenuse u + v = 6 right through pixel centres; seen from the front.
CORNER = np.array([[1, 1, 2], [1, 5, 2], [5, 1, 2]], dtype=np.float32)
OPPOSITE = np.array([[5, 1, 2], [1, 5, 2], [5, 5, 2]], dtype=np.float32)
FACE = np.array([[0, 1, 2]])
CORNER_PIXELS = np.array(
    [
        [0, 0, 0, 0, 0, 0],
        [0, 1, 1, 1, 0, 0],
        [0, 1, 1, 0, 0, 0],
        [0, 1, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0],
    ],
    dtype=bool,
)


@pytest.fixture(scope="module")
def body_points():
    """The body turned three ways, drawn into 128 pixels: points (3, V, 3), and its faces."""
    body = load_body()
    points = []
    for yaw in (0, 50, 160):
        turn = Rotation.from_euler("xy", [180, yaw], degrees=True).as_matrix().astype(np.float32)
        points.append(project(body.template @ turn.T + np.float32([0, -0.2, 3]), (170, 170, 64, 64)))
    return np.stack(points), body.faces


def test_projection_of_a_hand_worked_point():
    points = project([[0.5, -0.25, 2.0]], (100, 200, 32, 64))
    np.testing.assert_allclose(points, [[57.0, 39.0, 2.0]])  # 100 * 0.5 / 2 + 32, 200 * -0.25 / 2 + 64


def test_triangle_covers_the_pixels_whose_centres_lie_in_it():
    # Centres are (c + 0.5, r + 0.5): c >= 1, r >= 1, c + r < 5; the hypotenuse is neither top nor left.
    np.testing.assert_array_equal(np.isfinite(draw_depth(CORNER, FACE, 6, 6)), CORNER_PIXELS)


def test_triangles_that_share_an_edge_leave_no_crack_and_overlap_nowhere():
    first = np.isfinite(draw_depth(CORNER, FACE, 6, 6))
    second = np.isfinite(draw_depth(OPPOSITE, FACE, 6, 6))
    square = np.zeros((6, 6), dtype=bool)
    square[1:5, 1:5] = True
    np.testing.assert_array_equal(first | second, square)
    assert not (first & second).any()


@given(
    hub=st.tuples(st.floats(12, 20), st.floats(12, 20)),
    angles=st.lists(st.floats(0, 2 * np.pi), min_size=5, max_size=14, unique=True),
)
@settings(deadline=None, max_examples=60)
def test_fan_of_triangles_draws_each_pixel_about_its_hub_once(hub, angles):
    turns = np.sort(np.concatenate([angles, [0.1, 1.3, 2.5, 3.7, 4.9, 6.1]]))  # no gap of 180 degrees
    rim = np.stack([hub[0] + 11 * np.cos(turns), hub[1] + 11 * np.sin(turns)], axis=1)
    points = np.concatenate([[hub], rim, rim[:1]]).astype(np.float32)
    points[-1] = points[1]
    points = np.concatenate([points, np.ones((len(points), 1), dtype=np.float32)], axis=1)
    drawn = sum(
        (draw_silhouettes(points[None], [[0, i, i + 1]], 32, cull_back=False)[0] > 0).astype(int)
        for i in range(1, len(points) - 1)
    )
    rows, columns = np.mgrid[:32, :32] + 0.5
    inside = np.hypot(columns - hub[0], rows - hub[1]) < 8  # 11 cos(36 degrees) = 8.9 is the narrowest
    assert drawn.max() == 1
    assert (drawn[inside] == 1).all()


def test_depth_is_right_in_perspective():
    # A wall that recedes from 1 m at u = 0 to 3 m at u = 8: 1 / z is linear on the screen, z is not.
    wall = np.array([[0, 0, 1], [0, 8, 1], [8, 0, 3], [8, 8, 3]], dtype=np.float32)
    depth = draw_depth(wall, [[0, 1, 2], [2, 1, 3]], 8, 8)
    centres = (np.arange(8) + 0.5) / 8
    np.testing.assert_allclose(depth, np.tile(1 / (1 - centres * 2 / 3), (8, 1)), rtol=1e-5)


def test_nearer_mesh_hides_the_farther_in_either_order():
    far, near = CORNER * np.float32([1, 1, 2]), CORNER.copy()
    red, blue = np.tile([1.0, 0, 0], (3, 1)), np.tile([0, 0, 1.0], (3, 1))
    pictures, seen = [], []
    for order in ([(far, red), (near, blue)], [(near, blue), (far, red)]):
        image, depth = np.zeros((6, 6, 3), np.float32), np.full((6, 6), np.inf, np.float32)
        seen.append([draw_colours(p, FACE, c, image, depth).sum() for p, c in order])
        pictures.append(image)
    np.testing.assert_array_equal(pictures[0], pictures[1])
    np.testing.assert_array_equal(pictures[0][CORNER_PIXELS], np.tile([0, 0, 1.0], (6, 1)))
    assert seen == [[6, 6], [6, 0]]


def test_colours_vary_linearly_on_the_screen():
    image = np.zeros((6, 6, 3), np.float32)
    covered = draw_colours(CORNER, FACE, np.eye(3), image)
    np.testing.assert_array_equal(covered, CORNER_PIXELS)
    np.testing.assert_allclose(image[1, 1], [0.75, 0.125, 0.125], atol=1e-6)  # (1.5, 1.5): an eighth of each leg
    np.testing.assert_allclose(image[covered].sum(1), 1, atol=1e-6)


def test_back_of_a_triangle_is_drawn_unless_culled():
    back = [[0, 2, 1]]
    np.testing.assert_array_equal(np.isfinite(draw_depth(CORNER, back, 6, 6)), CORNER_PIXELS)
    assert not np.isfinite(draw_depth(CORNER, back, 6, 6, cull_back=True)).any()
    assert not draw_silhouettes(CORNER[None], back, 6).any()


@pytest.mark.parametrize("z", [-1.0, 0.0, NEAR, np.nan, np.inf])
def test_triangle_that_reaches_behind_the_camera_is_left_out(z):
    points = CORNER.copy()
    points[0, 2] = z
    assert not np.isfinite(draw_depth(points, FACE, 6, 6)).any()
    assert not draw_silhouettes(points[None], FACE, 6).any()


def test_vertices_behind_the_camera_project_to_nothing_drawn():
    points = project([[0, 0, 1], [0, 1, 1], [1, 0, -1]], (4, 4, 0, 0))
    assert np.isfinite(points).all()
    assert not np.isfinite(draw_depth(points, FACE, 6, 6)).any()


def test_triangle_larger_than_the_picture_is_clipped_to_it():
    points = np.array([[-5e5, -5e5, 1], [0, 9e5, 1], [9e5, 0, 1]], dtype=np.float32)
    assert np.isfinite(draw_depth(points, FACE, 7, 5)).all()
    outside = CORNER + np.float32([100, 0, 0])
    assert not np.isfinite(draw_depth(outside, FACE, 6, 6)).any()


def test_closed_body_has_no_holes(body_points):
    """A hole of one pixel would be a crack: the holes between limbs are larger."""
    points, faces = body_points
    for pose in points:
        filled = np.isfinite(draw_depth(pose, faces, 128, 128))
        gaps, count = ndimage.label(~filled)
        assert count == 0 or min(np.bincount(gaps.ravel())[1:]) > 4
        assert 1200 < filled.sum() < 6000


def test_silhouettes_are_the_pixels_with_depth(body_points):
    points, faces = body_points
    silhouettes = draw_silhouettes(points, faces, 128)
    assert silhouettes.dtype == np.uint8 and set(np.unique(silhouettes)) == {0, 255}
    for pose, silhouette in zip(points, silhouettes):
        np.testing.assert_array_equal(silhouette == 255, np.isfinite(draw_depth(pose, faces, 128, 128)))


def test_order_of_faces_is_free_and_culling_changes_nothing_on_a_closed_mesh(body_points):
    points, faces = body_points
    shuffled = np.random.default_rng(0).permutation(faces)
    depth = draw_depth(points[1], faces, 128, 128)
    np.testing.assert_array_equal(draw_depth(points[1], shuffled, 128, 128), depth)
    np.testing.assert_array_equal(draw_depth(points[1], faces, 128, 128, cull_back=True), depth)


def test_kept_buffers_are_cleared(body_points):
    points, faces = body_points
    kept = np.empty((128, 128), dtype=np.float32)
    draw_depth(points[0], faces, 128, 128, out=kept)
    assert draw_depth(points[1], faces, 128, 128, out=kept) is kept
    np.testing.assert_array_equal(kept, draw_depth(points[1], faces, 128, 128))


def test_normals_of_the_body_point_outwards():
    body = load_body()
    normals = vertex_normals(body.template, body.faces)
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1, atol=1e-5)
    swollen = body.template + 1e-4 * normals
    assert _volume(swollen, body.faces) > _volume(body.template, body.faces)


def _volume(vertices, faces):
    a, b, c = (vertices[faces[:, i]].astype(np.float64) for i in range(3))
    return (np.cross(a, b) * c).sum() / 6


def test_normal_of_a_triangle_and_of_a_lone_vertex():
    vertices = np.array([[0, 0, 1], [0, 1, 1], [1, 0, 1], [9, 9, 9]], dtype=np.float32)
    np.testing.assert_array_equal(vertex_normals(vertices, FACE), [[0, 0, -1]] * 3 + [[0, 0, 0]])


def test_lambert_shading_of_hand_worked_normals():
    lights = Lights(ambient=0.2, directions=np.float32([[0, 0, -1]]), strengths=np.float32([0.5]))
    normals = np.array([[0, 0, -1], [0, 0.6, -0.8], [0, 0, 1]])
    np.testing.assert_allclose(
        shade(normals, lights, (1.0, 0.5, 0.0)), [[0.7, 0.35, 0], [0.6, 0.3, 0], [0.2, 0.1, 0]], atol=1e-6
    )


@pytest.mark.parametrize("draw", [lambda p: draw_depth(p, FACE, 6, 6), lambda p: draw_silhouettes(p[0], FACE, 6)])
def test_wrong_number_of_axes_is_refused(draw):
    with pytest.raises(ValueError, match="points has shape"):
        draw(CORNER[None])
