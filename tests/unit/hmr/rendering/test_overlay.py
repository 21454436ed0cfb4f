import os
import subprocess
import sys

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from hmr.body.body import load_body
from hmr.rendering import overlay
from hmr.rendering.gl_overlay import PyrenderRenderer
from hmr.rendering.overlay import NumbaRenderer, OverlayError, Style, check_gl, gl_platform, side_view
from hmr.rendering.renderers import open_renderer

# With the camera (1, 1, 0, 0) and z = 1, metres are pixels. Seen from the front; edges on pixel borders.
TRIANGLE = np.array([[10, 20, 1], [10, 50, 1], [40, 20, 1]], dtype=np.float32)
FACE = np.array([[0, 1, 2]])
PIXELS = (1.0, 1.0, 0.0, 0.0)
GREY = np.full((64, 72, 3), 100, dtype=np.uint8)
CAMERAS = [(1120.0, 1120.0, 256.0, 256.0), (1500.0, 1460.0, 220.0, 282.0)]


@pytest.fixture(scope="module")
def body():
    return load_body()


@pytest.fixture(scope="module")
def meshes(body):
    """Three views of the body, 3.5 to 5 m away: vertices (V, 3) each."""
    meshes = []
    for yaw, tilt, distance in ((0, 0, 3.5), (70, 20, 4.0), (200, -30, 5.0)):
        turn = Rotation.from_euler("xyx", [180, yaw, tilt], degrees=True).as_matrix().astype(np.float32)
        meshes.append(body.template @ turn.T + np.float32([0, -0.1, distance]))
    return meshes


@pytest.fixture(scope="module")
def gl_renderer():
    ok, reason = check_gl()
    if not ok:
        pytest.skip(reason)
    with PyrenderRenderer() as renderer:
        yield renderer


def _check_triangle(renderer):
    drawn = renderer.render(TRIANGLE, FACE, PIXELS, GREY)
    rows, columns = np.mgrid[:64, :72]
    wholly_in = (columns >= 10) & (rows >= 20) & (columns + rows + 2 <= 60)
    wholly_out = (columns < 10) | (rows < 20) | (columns + rows >= 60)
    assert drawn.mask[wholly_in].all()
    assert not drawn.mask[wholly_out].any()
    np.testing.assert_array_equal(drawn.image[wholly_out], GREY[wholly_out])
    assert (drawn.image[wholly_in] != 100).any(axis=1).all()


@pytest.mark.parametrize("supersample", [1, 2, 3])
def test_numba_draws_a_triangle_at_known_pixels(supersample):
    _check_triangle(NumbaRenderer(supersample))


@pytest.mark.gl
def test_pyrender_draws_a_triangle_at_known_pixels(gl_renderer):
    _check_triangle(gl_renderer)


@pytest.mark.gl
@pytest.mark.parametrize("camera", CAMERAS)
def test_both_back_ends_draw_the_same_picture(gl_renderer, body, meshes, camera):
    photograph = np.full((512, 512, 3), 60, dtype=np.uint8)
    for vertices in meshes:
        ours = NumbaRenderer().render(vertices, body.faces, camera, photograph)
        reference = gl_renderer.render(vertices, body.faces, camera, photograph)
        both = (ours.mask & reference.mask).sum() / (ours.mask | reference.mask).sum()
        assert ours.mask.sum() > 20000
        assert both > 0.97
        difference = np.abs(ours.image.astype(int) - reference.image)[ours.mask & reference.mask]
        assert difference.mean() < 6  # of 255: the same colours, lights and outlines


@pytest.mark.gl
def test_one_pyrender_renderer_serves_all_sizes_and_is_alone(gl_renderer, body, meshes):
    with pytest.raises(OverlayError, match="open in this process already"):
        PyrenderRenderer()
    for height, width in ((40, 90), (128, 64), (40, 90)):
        camera = (90.0, 90.0, width / 2, height / 2)
        drawn = gl_renderer.render(meshes[0], body.faces, camera, np.zeros((height, width, 3), np.uint8))
        assert drawn.image.shape == (height, width, 3)
        assert drawn.mask.any()


@pytest.mark.gl
@pytest.mark.slow
def test_closed_pyrender_renderer_says_so_and_another_can_be_opened():
    ok, reason = check_gl()
    if not ok:
        pytest.skip(reason)
    script = """
from hmr.rendering.overlay import OverlayError
from hmr.rendering.renderers import open_renderer
import numpy as np
triangle = np.float32([[10, 20, 1], [10, 50, 1], [40, 20, 1]])
for _ in range(2):
    renderer = open_renderer("pyrender")
    assert renderer.render(triangle, [[0, 1, 2]], (1, 1, 0, 0), np.zeros((64, 64, 3), np.uint8)).mask.any()
    renderer.close()
try:
    renderer.render(triangle, [[0, 1, 2]], (1, 1, 0, 0), np.zeros((64, 64, 3), np.uint8))
except OverlayError as error:
    assert "closed" in str(error)
else:
    raise SystemExit("a closed renderer drew")
"""
    subprocess.run([sys.executable, "-c", script], check=True)


def test_asking_for_pyrender_without_gl_gives_one_error_with_the_mend():
    script = """
from hmr.rendering.overlay import OverlayError, check_gl
from hmr.rendering.renderers import open_renderer
assert check_gl()[0] is False
try:
    open_renderer("pyrender")
except OverlayError as error:
    print(error)
"""
    said = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYOPENGL_PLATFORM": "no-such-platform"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout.startswith("No OpenGL driver for pyrender (no-such-platform: ")
    assert "apt-get install libegl1" in said.stdout and said.stdout.count("\n") == 1


def test_check_gl_names_the_driver_or_the_mend():
    platform, reason = gl_platform()
    assert check_gl() == (platform is not None, reason)
    assert reason.startswith(platform) if platform else "apt-get install" in reason


def test_numba_is_the_default_and_unknown_names_are_refused():
    assert open_renderer().name == open_renderer("auto").name == open_renderer("numba").name == "numba"
    with pytest.raises(OverlayError, match="no renderer 'numbat'"):
        open_renderer("numbat")


def test_photograph_is_kept_and_opacity_blends_it_in(body, meshes):
    photograph = np.random.default_rng(0).integers(0, 256, (96, 96, 3), dtype=np.uint8)
    before, camera = photograph.copy(), (150.0, 150.0, 48.0, 48.0)
    invisible = NumbaRenderer().render(meshes[0], body.faces, camera, photograph, Style(opacity=0.0))
    np.testing.assert_array_equal(photograph, before)
    np.testing.assert_array_equal(invisible.image, before)
    assert invisible.mask.any()
    white, black = (
        NumbaRenderer().render(meshes[0], body.faces, camera, np.full((96, 96, 3), v, np.uint8), Style(opacity=1.0))
        for v in (255, 0)
    )
    inside = _inner(white.mask)
    np.testing.assert_array_equal(white.image[inside], black.image[inside])


def _inner(mask):
    grown = np.pad(~mask, 1)
    return mask & ~(grown[:-2, 1:-1] | grown[2:, 1:-1] | grown[1:-1, :-2] | grown[1:-1, 2:])


def test_large_picture_drawn_in_bands_is_the_same(body, meshes, monkeypatch):
    photograph = np.full((160, 120, 3), 200, dtype=np.uint8)
    args = (meshes[1], body.faces, (230.0, 230.0, 60.0, 80.0), photograph)
    whole = NumbaRenderer().render(*args)
    monkeypatch.setattr(overlay, "_BUDGET", 5000)
    banded = NumbaRenderer().render(*args)
    np.testing.assert_array_equal(banded.image, whole.image)
    np.testing.assert_array_equal(banded.mask, whole.mask)


def test_kept_renderer_draws_as_a_new_one(body, meshes):
    kept, camera = NumbaRenderer(), (200.0, 200.0, 40.0, 40.0)
    photograph = np.full((80, 80, 3), 90, dtype=np.uint8)
    for vertices in (*meshes, meshes[0] + np.float32([0.5, 0, 0])):
        again = kept.render(vertices, body.faces, camera, photograph)
        np.testing.assert_array_equal(
            again.image, NumbaRenderer().render(vertices, body.faces, camera, photograph).image
        )


@pytest.mark.parametrize("place", [(0, 0, -3), (40, 0, 3), (0, -40, 3), (np.nan, 0, 3)])
def test_mesh_out_of_sight_leaves_the_photograph_as_it_is(body, place):
    drawn = NumbaRenderer().render(body.template + np.float32(place), body.faces, (100, 100, 32, 32), GREY)
    np.testing.assert_array_equal(drawn.image, GREY)
    assert not drawn.mask.any()


def test_limb_in_front_darkens_what_lies_just_behind_its_edge():
    square = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], dtype=np.float32) * 40
    far = np.concatenate([(square + 10) * 2, np.full((4, 1), 2.0, np.float32)], axis=1)  # columns 10 to 49
    near = np.concatenate([square / 4 + 25, np.ones((4, 1), np.float32)], axis=1)  # columns 25 to 34
    faces = np.array([[0, 1, 2], [2, 1, 3], [4, 5, 6], [6, 5, 7]])
    vertices = np.concatenate([far, near]).astype(np.float32)
    # In pixels of this camera a metre is far: 3 cm and two pixels of depth are 0.03 + 2 z / 1000.
    camera = (1000.0, 1000.0, 0.0, 0.0)
    vertices[:, :2] /= 1000
    picture = NumbaRenderer(1).render(vertices, faces, camera, GREY, Style(opacity=1.0)).image.astype(int)
    assert picture[30, 24].sum() < 0.6 * picture[30, 22].sum()  # just left of the near square
    assert abs(picture[30, 26].sum() - picture[30, 30].sum()) < 5  # its own edge is not darkened
    assert picture[30, 10].sum() < 0.9 * picture[30, 12].sum()  # rim of the whole mesh


def test_side_view_has_depth_from_left_to_right_and_is_framed(body):
    """A body that faces the camera looks to the left in its side view."""
    facing = body.template * np.float32([1, -1, -1]) + np.float32([0, 0, 3])
    picture = side_view(facing, body.faces, 200)
    assert picture.shape == (200, 200, 3)
    inside = (picture != picture[0, 0]).any(axis=2)
    rows, columns = np.nonzero(inside)
    assert 150 < np.ptp(rows) < 196 and rows.min() > 2 and rows.max() < 197
    assert abs((columns.min() + columns.max()) / 2 - 100) < 4
    toes = np.nonzero(inside[rows.max() - 2])[0]
    heel_and_head = np.nonzero(inside[rows.min() + 5])[0]
    assert toes.min() < heel_and_head.min()  # the toes point left, to the camera


@pytest.mark.parametrize("image", [np.zeros((8, 8), np.uint8), np.zeros((8, 8, 4), np.uint8)])
def test_photograph_of_a_wrong_kind_is_refused(image):
    with pytest.raises(ValueError, match=r"an overlay needs uint8 \(height, width, 3\)"):
        NumbaRenderer().render(TRIANGLE, FACE, PIXELS, image)
