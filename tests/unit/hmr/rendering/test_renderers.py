"""One call for many pictures, and the GPU's back end, which is held to numba on the CPU."""

import numpy as np
import pytest

from hmr.body.body import load_body
from hmr.rendering.mesh import Mesh, PictureError, WeakPerspective
from hmr.rendering.overlay import NumbaRenderer
from hmr.rendering.renderers import render
from hmr.rendering.style import Style
from hmr.rendering.torch_overlay import TorchRenderer

CAMERA = (160.0, 160.0, 48.0, 48.0)
GREY = np.full((96, 96, 3), 100, np.uint8)


@pytest.fixture(scope="module")
def people():
    """Two people, one in front of the other."""
    body = load_body()
    facing = body.template * np.float32([1, -1, -1])
    return [
        Mesh(facing + np.float32([x, 0, z]), body.faces, body.sides, colour, name=f"hypothesis {k}")
        for k, (x, z, colour) in enumerate([(0, 3, None), (0.2, 3.5, (0.2, 0.8, 0.3))])
    ]


@pytest.mark.parametrize(
    "style", [Style(contour=8.0), Style(antialias=1, contour=0.0), Style(antialias=3, limbs=False, opacity=1.0)]
)
@pytest.mark.parametrize("camera", [CAMERA, WeakPerspective(50.0, 48.0, 48.0), (40.0, 40.0, 0.0, 48.0)])
def test_torch_draws_what_numba_draws(people, style, camera):
    near = [people[0], Mesh(people[1].vertices - np.float32([0, 0, 3.2]), people[1].faces)]
    for meshes in (people, near):
        ours, theirs = (
            NumbaRenderer().draw(meshes, camera, GREY, style),
            TorchRenderer("cpu").draw(meshes, camera, GREY, style),
        )
        np.testing.assert_array_equal(ours.mask, theirs.mask)
        assert ours.remarks == theirs.remarks
        difference = np.abs(ours.image.astype(int) - theirs.image)
        assert (difference > 1).any(2).sum() <= 4  # a limb's edge may fall to the other side of rounding


def test_batch_is_each_picture_by_itself(people):
    scenes = [people[0], people[1], people]
    cameras = [CAMERA, (100.0, 100.0, 48.0, 48.0), CAMERA]
    images = [GREY, GREY + np.uint8(50), np.zeros((64, 80, 3), np.uint8)]
    single = [NumbaRenderer().draw(*job) for job in zip([[people[0]], [people[1]], people], cameras, images)]
    for threads in (1, 2):
        for one, other in zip(single, render(scenes, cameras, images, threads=threads), strict=True):
            np.testing.assert_array_equal(one.image, other.image)
    shared = render(scenes, CAMERA, GREY)
    assert len(shared) == 3 and all(overlay.mask.any() for overlay in shared)
    assert render([], CAMERA, GREY) == []


def test_spoilt_hypothesis_is_named_and_the_others_are_drawn(people):
    spoilt = Mesh(np.full((4, 3), np.nan), [[0, 1, 2]], name="hypothesis 1")
    drawn = render([people[0], spoilt, people[1]], CAMERA, GREY)
    assert [bool(overlay.remarks) for overlay in drawn] == [False, True, False]
    assert drawn[1].remarks[0].startswith("hypothesis 1: 4 of 4 vertices are NaN")
    np.testing.assert_array_equal(drawn[1].image, GREY)
    assert drawn[0].mask.any() and drawn[2].mask.any()


def test_number_of_cameras_and_images_must_fit(people):
    with pytest.raises(PictureError, match="2 cameras for 1 scenes"):
        render([people[0]], [CAMERA, CAMERA], GREY)
    with pytest.raises(PictureError, match="3 images for 1 scenes"):
        render([people[0]], CAMERA, [GREY] * 3)
