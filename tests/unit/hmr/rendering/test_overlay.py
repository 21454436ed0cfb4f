import os
import subprocess
import sys

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from hmr.body.body import load_body
from hmr.rendering import overlay
from hmr.rendering.gl_overlay import PyrenderRenderer
from hmr.rendering.gl_platform import check_gl, gl_platform
from hmr.rendering.mesh import Mesh, PictureError, WeakPerspective
from hmr.rendering.overlay import NumbaRenderer, OverlayError
from hmr.rendering.renderers import open_renderer
from hmr.rendering.style import LEFT, RIGHT, Style

# With the camera (1, 1, 0, 0) and z = 1, metres are pixels. Seen from the front; edges on pixel borders.
TRIANGLE = np.array([[10, 20, 1], [10, 50, 1], [40, 20, 1]], dtype=np.float32)
FACE = np.array([[0, 1, 2]])
ONE = Mesh(TRIANGLE, FACE)
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


def _check_triangle(renderer, style):
    drawn = renderer.draw([ONE], PIXELS, GREY, style)
    rows, columns = np.mgrid[:64, :72]
    wholly_in = (columns >= 10) & (rows >= 20) & (columns + rows + 2 <= 60)
    wholly_out = (columns < 10) | (rows < 20) | (columns + rows >= 60)
    assert drawn.mask[wholly_in].all()
    assert not drawn.mask[wholly_out].any()
    np.testing.assert_array_equal(drawn.image[wholly_out], GREY[wholly_out])
    assert (drawn.image[wholly_in] != 100).any(axis=1).all()


@pytest.mark.parametrize("antialias", [1, 2, 3])
def test_numba_draws_a_triangle_at_known_pixels(antialias):
    _check_triangle(NumbaRenderer(), Style(antialias=antialias))


@pytest.mark.gl
def test_pyrender_draws_a_triangle_at_known_pixels(gl_renderer):
    _check_triangle(gl_renderer, Style())


@pytest.mark.gl
@pytest.mark.parametrize("camera", [*CAMERAS, WeakPerspective(260.0, 256.0, 256.0)])
def test_both_back_ends_draw_the_same_picture(gl_renderer, body, meshes, camera):
    photograph = np.full((512, 512, 3), 60, dtype=np.uint8)
    for vertices in meshes:
        two = [
            Mesh(vertices, body.faces, body.sides),
            Mesh(vertices + np.float32([0.15, 0, 0.3]), body.faces, body.sides, (0.2, 0.8, 0.3)),
        ]
        ours = NumbaRenderer().draw(two, camera, photograph)
        reference = gl_renderer.draw(two, camera, photograph)
        both = (ours.mask & reference.mask).sum() / (ours.mask | reference.mask).sum()
        assert ours.mask.sum() > 20000
        assert both > 0.97
        difference = np.abs(ours.image.astype(int) - reference.image)[ours.mask & reference.mask]
        assert difference.mean() < 6  # of 255: the same colours, lights and lines, and who hides whom


@pytest.mark.gl
def test_one_pyrender_renderer_serves_all_sizes_and_is_alone(gl_renderer, body, meshes):
    with pytest.raises(OverlayError, match="open in this process already"):
        PyrenderRenderer()
    for height, width in ((40, 90), (128, 64), (40, 90)):
        camera = (90.0, 90.0, width / 2, height / 2)
        drawn = gl_renderer.draw([Mesh(meshes[0], body.faces)], camera, np.zeros((height, width, 3), np.uint8))
        assert drawn.image.shape == (height, width, 3)
        assert drawn.mask.any()


@pytest.mark.gl
@pytest.mark.slow
def test_closed_pyrender_renderer_says_so_and_another_can_be_opened():
    ok, reason = check_gl()
    if not ok:
        pytest.skip(reason)
    script = """
from hmr.rendering.mesh import Mesh
from hmr.rendering.overlay import OverlayError
from hmr.rendering.renderers import open_renderer
import numpy as np
triangle = [Mesh(np.float32([[10, 20, 1], [10, 50, 1], [40, 20, 1]]), np.array([[0, 1, 2]]))]
for _ in range(2):
    renderer = open_renderer("pyrender")
    assert renderer.draw(triangle, (1, 1, 0, 0), np.zeros((64, 64, 3), np.uint8)).mask.any()
    renderer.close()
try:
    renderer.draw(triangle, (1, 1, 0, 0), np.zeros((64, 64, 3), np.uint8))
except OverlayError as error:
    assert "closed" in str(error)
else:
    raise SystemExit("a closed renderer drew")
"""
    subprocess.run([sys.executable, "-c", script], check=True)


def test_asking_for_pyrender_without_gl_gives_one_error_with_the_mend():
    script = """
from hmr.rendering.gl_platform import check_gl
from hmr.rendering.overlay import OverlayError
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
    before, camera, mesh = photograph.copy(), (150.0, 150.0, 48.0, 48.0), [Mesh(meshes[0], body.faces)]
    invisible = NumbaRenderer().draw(mesh, camera, photograph, Style(opacity=0.0, contour=0.0, outline=0.0))
    np.testing.assert_array_equal(photograph, before)
    assert invisible.mask.any()
    inside = _inner(_inner(invisible.mask))
    assert (invisible.image == before).all(2)[inside].mean() > 0.9  # but the edges of limbs, which are lines
    white, black = (
        NumbaRenderer().draw(mesh, camera, np.full((96, 96, 3), v, np.uint8), Style(opacity=1.0)) for v in (255, 0)
    )
    inside = _inner(white.mask)
    np.testing.assert_array_equal(white.image[inside], black.image[inside])


def _inner(mask):
    grown = np.pad(~mask, 1)
    return mask & ~(grown[:-2, 1:-1] | grown[2:, 1:-1] | grown[1:-1, :-2] | grown[1:-1, 2:])


def test_large_picture_drawn_in_bands_is_the_same(body, meshes, monkeypatch):
    photograph = np.full((160, 120, 3), 200, dtype=np.uint8)
    args = ([Mesh(meshes[1], body.faces, body.sides)], (230.0, 230.0, 60.0, 80.0), photograph)
    whole = NumbaRenderer().draw(*args)
    monkeypatch.setattr(overlay, "_BUDGET", 5000)
    banded = NumbaRenderer().draw(*args)
    np.testing.assert_array_equal(banded.image, whole.image)
    np.testing.assert_array_equal(banded.mask, whole.mask)


def test_kept_renderer_draws_as_a_new_one(body, meshes):
    kept, camera = NumbaRenderer(), (200.0, 200.0, 40.0, 40.0)
    photograph = np.full((80, 80, 3), 90, dtype=np.uint8)
    for vertices in (*meshes, meshes[0] + np.float32([0.5, 0, 0])):
        mesh = [Mesh(vertices, body.faces)]
        again, anew = kept.draw(mesh, camera, photograph), NumbaRenderer().draw(mesh, camera, photograph)
        np.testing.assert_array_equal(again.image, anew.image)


@pytest.mark.parametrize("place", [(40, 0, 3), (0, -40, 3), (0, 0, -3)])
def test_mesh_out_of_sight_leaves_the_photograph_as_it_is(body, place):
    far = Mesh(body.template + np.float32(place), body.faces, name="hypothesis 7")
    drawn = NumbaRenderer().draw([far], (100, 100, 32, 32), GREY)
    np.testing.assert_array_equal(drawn.image, GREY)
    assert not drawn.mask.any()
    assert [remark.split(":")[0] for remark in drawn.remarks] == ["hypothesis 7"] * (place[2] < 0)


def test_nearer_person_hides_the_farther_in_either_order(body, meshes):
    near = Mesh(meshes[0], body.faces, colour=(1.0, 0.0, 0.0))
    far = Mesh(meshes[0] + np.float32([0.1, 0, 1]), body.faces, colour=(0.0, 1.0, 0.0))
    pictures = [NumbaRenderer().draw(two, CAMERAS[0], np.zeros((512, 512, 3), np.uint8)).image
                for two in ([near, far], [far, near])]  # fmt: skip
    np.testing.assert_array_equal(*pictures)
    alone = NumbaRenderer().draw([near], CAMERAS[0], np.zeros((512, 512, 3), np.uint8))
    inside = _inner(_inner(_inner(alone.mask)))
    np.testing.assert_array_equal(pictures[0][inside], alone.image[inside])
    assert (pictures[0][..., 1] > pictures[0][..., 0]).any()


def test_left_limbs_are_blue_and_right_ones_orange(body, meshes):
    """The body faces the camera: its left arm is on the right of the picture."""
    style = Style(opacity=1.0, contour=0.0, outline=0.0)
    picture = NumbaRenderer().draw(
        [Mesh(meshes[0], body.faces, body.sides)], CAMERAS[0], np.zeros((512, 512, 3), np.uint8), style
    )
    shown = picture.image.astype(float)
    arms = picture.mask & ((np.arange(512) < 130) | (np.arange(512) > 382))
    blue = arms & (shown[..., 2] > shown[..., 0])
    assert arms[:, :256].any() and not blue[:, :256].any()
    assert arms[:, 256:].any() and blue[:, 256:].sum() == arms[:, 256:].sum()
    assert LEFT[2] > LEFT[0] and RIGHT[0] > RIGHT[2]


def test_contour_is_dark_within_the_border_and_nothing_changes_outside(body, meshes):
    white = np.full((256, 256, 3), 255, np.uint8)
    drawn = NumbaRenderer().draw([Mesh(meshes[0], body.faces)], (560, 560, 128, 128), white)
    border = drawn.mask & ~_inner(drawn.mask)
    assert np.median(drawn.image[border].mean(1)) < 130 < 180 < np.median(drawn.image[drawn.mask].mean(1))
    far_off = ~_grown(_grown(drawn.mask))
    assert (drawn.image[far_off] == 255).all()


def _grown(mask):
    return ~_inner(~mask)


@pytest.mark.parametrize("size", [64, 256, 4096])
def test_size_of_the_picture_changes_no_proportions(body, meshes, size):
    camera = np.float64(CAMERAS[0]) * size / 512
    drawn = NumbaRenderer().draw([Mesh(meshes[0], body.faces)], camera, np.zeros((size, size, 3), np.uint8))
    assert drawn.mask.mean() == pytest.approx(0.193, abs=0.01 + 0.6 / size)


def _spoilt(body, meshes, kind):
    vertices, faces = meshes[0].copy(), body.faces.copy()
    if kind == "NaN":
        vertices[5:17, 1] = np.nan
    if kind == "faces":
        faces[3, 2] = len(vertices)
    return {
        "NaN": Mesh(vertices, faces, name="hypothesis 3"),
        "faces": Mesh(vertices, faces, name="hypothesis 3"),
        "empty": Mesh(vertices[:0], faces[:0], name="hypothesis 3"),
        "shape": Mesh(vertices[:, :2], faces, name="hypothesis 3"),
        "sides": Mesh(vertices, faces, body.sides[:7], name="hypothesis 3"),
    }[kind]


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("NaN", "hypothesis 3: 12 of 6888 vertices are NaN or infinite"),
        ("faces", "hypothesis 3: faces name vertices 0 to 6888 of 0 to 6887"),
        ("empty", "hypothesis 3: is empty, 0 vertices and 0 faces"),
        ("shape", r"hypothesis 3: vertices are float32 (6888, 2)"),
        ("sides", "hypothesis 3: sides are (7,)"),
    ],
)
def test_spoilt_mesh_is_named_and_the_others_are_drawn(body, meshes, kind, says):
    good, black = Mesh(meshes[1], body.faces), np.zeros((64, 64, 3), np.uint8)
    camera = np.float64(CAMERAS[0]) / 8
    drawn = NumbaRenderer().draw([_spoilt(body, meshes, kind), good], camera, black)
    assert len(drawn.remarks) == 1 and drawn.remarks[0].startswith(says)
    np.testing.assert_array_equal(drawn.image, NumbaRenderer().draw([good], camera, black).image)


def test_camera_within_a_body_sees_what_is_in_front_of_the_near_plane_alone(body, meshes):
    """The pelvis is 0.3 m away, the nearest that a model may put it, and the trunk is around the camera."""
    inside = Mesh(meshes[0] - np.float32([0, 0, 3.2]), body.faces, name="person 0")
    drawn = NumbaRenderer().draw([inside], (250, 250, 128, 128), np.full((256, 256, 3), 50, np.uint8))
    assert drawn.remarks == ("person 0: reaches within 0.25 m of the camera: that part of it is cut off",)
    assert 0 < drawn.mask.mean() < 0.4  # not a picture full of body


@pytest.mark.parametrize(
    ("camera", "says"),
    [((0, 100, 8, 8), "camera is"), ((100, np.nan, 8, 8), "camera is"), ((100, 100, 8), "camera is"),
     (WeakPerspective(-1.0, 8, 8), "camera is")],
)  # fmt: skip
def test_unusable_camera_is_refused(camera, says):
    with pytest.raises(PictureError, match=says):
        NumbaRenderer().draw([ONE], camera, GREY)


def test_limb_in_front_darkens_what_lies_just_behind_its_edge():
    square = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], dtype=np.float32) * 40
    far = np.concatenate([(square + 10) * 2, np.full((4, 1), 2.0, np.float32)], axis=1)  # columns 10 to 49
    near = np.concatenate([square / 4 + 25, np.ones((4, 1), np.float32)], axis=1)  # columns 25 to 34
    faces = np.array([[0, 1, 2], [2, 1, 3], [4, 5, 6], [6, 5, 7]])
    vertices = np.concatenate([far, near]).astype(np.float32)
    # In pixels of this camera a metre is far: 3 cm and two pixels of depth are 0.03 + 2 z / 1000.
    camera = (1000.0, 1000.0, 0.0, 0.0)
    vertices[:, :2] /= 1000
    picture = (
        NumbaRenderer()
        .draw([Mesh(vertices, faces)], camera, GREY, Style(opacity=1.0, antialias=1, contour=8.0))
        .image.astype(int)
    )
    assert picture[30, 24].sum() < 0.6 * picture[30, 22].sum()  # just left of the near square
    assert abs(picture[30, 26].sum() - picture[30, 30].sum()) < 5  # its own edge is not darkened
    assert picture[30, 10].sum() < 0.9 * picture[30, 12].sum()  # rim of the whole mesh


@pytest.mark.parametrize(
    "image",
    [np.zeros((8, 8), np.uint8), np.zeros((8, 8, 4), np.uint8),
     np.zeros((0, 8, 3), np.uint8), np.broadcast_to(np.zeros(3, np.uint8), (20_000, 20_000, 3))],
)  # fmt: skip
def test_unusable_photograph_is_refused(image):
    with pytest.raises(PictureError, match=r"an overlay needs uint8 \(height, width, 3\)|give one of 1 to"):
        NumbaRenderer().draw([ONE], PIXELS, image)
