"""Silhouettes, depth, parts and visibility from the rasteriser that draws the pictures."""

import hashlib

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from critique.evidence import EvidenceCritic, EvidenceSettings
from hmr.body.body import load_body
from hmr.rendering.mesh import Mesh, PictureError, WeakPerspective
from hmr.rendering.rasterizer import draw_silhouettes, project
from hmr.rendering.surface import NEITHER, silhouettes, soft_silhouettes, surface, visible_vertices
from tasks.groups.overlays import SILHOUETTE, camera_of_crop, draw_group, group_vertices
from tests.evidence_scene import TRUE_POSE, bent, hypotheses, person_in

SQUARE = np.float32([[0, 0, 2], [0, 4, 2], [4, 0, 2], [4, 4, 2]])  # px, with the camera below; seen from the front
SQUARE_FACES = np.array([[0, 1, 2], [2, 1, 3]])
CAMERA = (2.0, 2.0, 1.0, 1.0)  # at 2 m a metre is a pixel: the square covers columns and rows 1 to 4

EVIDENCE_2 = EvidenceSettings(
    reprojection=0.343, depth_order=0.127, world_distance=3.724, silhouette=0.506, joints_in_space=0
)
"""The weights that `evidence@2` had; the others are as they were."""


@pytest.fixture(scope="module")
def body():
    return load_body()


@pytest.fixture(scope="module")
def facing(body):
    """The body 3 m away, facing the camera."""
    return body.template * np.float32([1, -1, -1]) + np.float32([0, 0, 3])


def test_silhouettes_and_scores_of_the_evidence_critic_are_those_of_version_0_1(body):
    """Bit for bit, for bodies in front of the near plane."""
    person = person_in(TRUE_POSE)
    poses = [TRUE_POSE, bent(TRUE_POSE, "left_knee", x=-70), bent(TRUE_POSE, "right_shoulder", z=-50)]
    group = hypotheses(person, poses).group
    drawn = draw_group(body, group)
    camera = camera_of_crop(person.camera, person.crop, SILHOUETTE)
    points = np.stack([project(v, camera) for v in group_vertices(body, group)])
    np.testing.assert_array_equal(drawn.silhouettes, draw_silhouettes(points, body.faces, SILHOUETTE))
    assert hashlib.sha256(np.packbits(drawn.silhouettes > 0).tobytes()).hexdigest()[:16] == "87c45246677850b4"
    scores = EvidenceCritic(EVIDENCE_2).judge(drawn).scores
    np.testing.assert_allclose(scores, [90.60380532787353, 50, 33.749201508225816])


def test_silhouette_across_the_near_plane_is_what_lies_in_front(body, facing):
    """A batch with one such body: the others are as without it."""
    near = facing - np.float32([0, 0, 2.65])
    camera = (40.0, 40.0, 32.0, 32.0)
    both = silhouettes(np.stack([facing, near]), body.faces, camera, 64)
    np.testing.assert_array_equal(both[0], silhouettes(facing[None], body.faces, camera, 64)[0])
    seen = surface(Mesh(near, body.faces), camera, 64, 64)
    np.testing.assert_array_equal(both[1] > 0, seen.silhouette)
    assert 0 < (both[1] > 0).sum() < 64 * 64 / 2 and np.nanmin(seen.depth) >= 0.25


def test_depth_face_and_part_of_a_hand_worked_square():
    seen = surface(Mesh(SQUARE, SQUARE_FACES), CAMERA, 6, 6)
    inside = np.zeros((6, 6), bool)
    inside[1:5, 1:5] = True
    np.testing.assert_array_equal(seen.silhouette, inside)
    np.testing.assert_allclose(seen.depth, np.where(inside, 2.0, np.inf))
    np.testing.assert_array_equal(
        seen.parts(np.array([7, 9]))[1:5, 1:5], [[7, 7, 7, 9], [7, 7, 9, 9], [7, 9, 9, 9], [9] * 4]
    )
    assert (seen.parts(np.array([7, 9]))[~inside] == NEITHER).all()


def test_soft_silhouette_is_the_share_of_a_pixel_that_is_covered():
    shifted = SQUARE + np.float32([0.25, 0, 0])
    soft = soft_silhouettes(shifted[None], SQUARE_FACES, CAMERA, 6)[0]
    np.testing.assert_allclose(soft[2], [0, 0.75, 1, 1, 1, 0.25])


def test_without_perspective_depth_is_linear():
    """A wall from 1 m at u = 0 to 3 m at u = 8."""
    wall = np.float32([[0, 0, 1], [0, 8, 1], [8, 0, 3], [8, 8, 3]])
    seen = surface(Mesh(wall, SQUARE_FACES), WeakPerspective(1.0, 0.0, 0.0), 8, 8)
    np.testing.assert_allclose(seen.depth, np.tile(1.125 + 0.25 * np.arange(8), (8, 1)), atol=1e-5)


def test_visible_vertices_of_the_body_face_the_camera(body, facing):
    camera = (800.0, 800.0, 256.0, 256.0)
    front = visible_vertices(Mesh(facing, body.faces), camera, 512, 512)
    turned = (facing - np.float32([0, 0, 3])) @ Rotation.from_euler("y", 180, degrees=True).as_matrix().T.astype(
        np.float32
    )
    back = visible_vertices(Mesh(turned + np.float32([0, 0, 3]), body.faces), camera, 512, 512)
    assert (front | back).mean() > 0.8 and (front & back).mean() < 0.15
    from hmr.rendering.rasterizer import vertex_normals

    assert vertex_normals(facing, body.faces)[front, 2].mean() < -0.4  # towards the camera
    half = visible_vertices(Mesh(facing, body.faces), (800.0, 800.0, 0.0, 256.0), 512, 512)
    assert not half[facing[:, 0] < -0.01].any() and half.any()


def test_mesh_that_cannot_be_seen():
    behind = surface(Mesh(SQUARE - np.float32([0, 0, 4]), SQUARE_FACES), CAMERA, 6, 6)
    assert not behind.silhouette.any()
    with pytest.raises(PictureError, match="frog: 1 of 4 vertices"):
        surface(Mesh(SQUARE * [[np.nan], [1], [1], [1]], SQUARE_FACES, name="frog"), CAMERA, 6, 6)
