"""Views without the photograph, sheets of pictures, and pictures that are kept to compare with."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hmr.body.body import load_body
from hmr.rendering.mesh import Mesh
from hmr.rendering.overlay import NumbaRenderer
from hmr.rendering.sheet import GAP, contact_sheet, strip
from hmr.rendering.style import PAPER, Style
from hmr.rendering.views import side_view, top_view, turntable

GOLDEN = Path(__file__).parents[3] / "golden" / "render"
BARE = Style(ground=False)


def facing() -> Mesh:
    """The body 3 m away, facing the camera."""
    body = load_body()
    return Mesh(body.template * np.float32([1, -1, -1]) + np.float32([0, 0, 3]), body.faces, body.sides)


@pytest.fixture(scope="module")
def person() -> Mesh:
    return facing()


def inside(picture: np.ndarray) -> np.ndarray:
    return (picture != np.uint8(PAPER)).any(axis=2)


def test_side_view_has_depth_from_left_to_right_and_is_framed(person):
    """A body that faces the camera looks to the left in its side view."""
    picture = side_view([person], 200, BARE)
    assert picture.shape == (200, 200, 3)
    rows, columns = np.nonzero(inside(picture))
    assert 150 < np.ptp(rows) < 196 and rows.min() > 2 and rows.max() < 197
    assert abs((columns.min() + columns.max()) / 2 - 100) < 4
    toes = np.nonzero(inside(picture)[rows.max() - 4])[0]
    heel_and_head = np.nonzero(inside(picture)[rows.min() + 5])[0]
    assert toes.min() < heel_and_head.min()  # the toes point left, to the camera


def test_top_view_has_the_camera_below(person):
    """Arms stretched to both sides are wide; the person's left arm, blue, is on the right; toes point down."""
    picture = top_view([person], 200, BARE).astype(int)
    rows, columns = np.nonzero(inside(picture.astype(np.uint8)))
    assert np.ptp(columns) > 2.5 * np.ptp(rows)
    assert (picture[:, 170:][..., 2] > picture[:, 170:][..., 0]).any()
    assert not (picture[:, :30][..., 2] > picture[:, :30][..., 0] + 10).any()


def test_floor_lies_under_the_feet_and_is_darkest_where_they_touch_it(person):
    with_floor, bare = side_view([person], 256), side_view([person], 256, BARE)
    floor = (with_floor != bare).any(axis=2)
    body_rows = np.nonzero(inside(bare))[0]
    assert np.nonzero(floor)[0].min() > 0.75 * body_rows.max()
    lifted = [person, Mesh(np.asarray(person.vertices) - np.float32([0, 0.5, 0]), person.faces)]
    assert with_floor[floor].min() < 150 < side_view(lifted[1:], 256, Style(contour=0.0))[floor].max()


def test_turntable_comes_round(person):
    frames = list(turntable([person], 96, frames=8))
    assert len(frames) == 8 and all(frame.shape == (96, 96, 3) for frame in frames)
    assert (frames[0] != frames[4]).any()
    (first,) = turntable([person], 96, frames=1)
    np.testing.assert_array_equal(first, frames[0])


def test_view_without_a_sound_mesh_is_empty_paper():
    spoilt = Mesh(np.full((4, 3), np.nan), [[0, 1, 2]])
    assert (side_view([spoilt], 32) == np.uint8(PAPER)).all()


def test_sheet_has_every_picture_in_its_place_with_its_label():
    pictures = [np.full((60, 40, 3), value, np.uint8) for value in (50, 100, 150, 200, 250)]
    sheet = contact_sheet(pictures, columns=2)
    assert sheet.shape == (3 * (60 + GAP) + GAP, 2 * (40 + GAP) + GAP, 3)
    for k, picture in enumerate(pictures):
        y, x = GAP + k // 2 * (60 + GAP), GAP + k % 2 * (40 + GAP)
        cell = sheet[y : y + 60, x : x + 40]
        assert (cell[20:] == picture[20:]).all() and (cell[:12, :12] != picture[:12, :12]).any()
    assert (sheet[-GAP - 60 :, GAP + 40 + GAP :] == 255).all()  # the sixth cell
    before_and_after = strip(pictures[:2], ["before", "after"])
    assert before_and_after.shape == (60 + 2 * GAP, 2 * (40 + GAP) + GAP, 3)


def test_sheet_keeps_within_its_bound():
    pictures = [np.zeros((512, 512, 3), np.uint8)] * 20
    sheet = contact_sheet(pictures, most=1024)
    assert max(sheet.shape) <= 1024 and min(sheet.shape[:2]) > 700


@pytest.mark.parametrize("pictures, labels", [([], None), ([np.zeros((8, 8, 3), np.uint8)], ["a", "b"])])
def test_sheet_needs_pictures_and_their_labels(pictures, labels):
    with pytest.raises(ValueError, match="a sheet needs one label for each picture"):
        contact_sheet(pictures, labels)


def golden_pictures(person: Mesh) -> dict[str, np.ndarray]:
    """Small pictures of everything that is drawn."""
    ramp = np.linspace(40, 220, 96, dtype=np.uint8)
    photograph = np.stack(
        [np.tile(ramp, (96, 1)), np.tile(ramp[:, None], (1, 96)), np.full((96, 96), 120, np.uint8)], -1
    )
    other = Mesh(
        np.asarray(person.vertices) + np.float32([0.25, 0.1, 0.5]), person.faces, person.sides, (0.6, 0.9, 0.5)
    )
    overlay = NumbaRenderer().draw([person, other], (140.0, 140.0, 48.0, 48.0), photograph, Style(contour=6.0)).image
    return {"overlay": overlay, "side": side_view([person], 96), "top": top_view([person], 96)}


@pytest.mark.parametrize("name", ["overlay", "side", "top"])
def test_pictures_are_as_they_were(person, name):
    """A changed look is a changed critic: raise DRAWN_AS and PROMPT_VERSION, and store the new pictures.

    PYTHONPATH=. python tests/unit/hmr/rendering/test_views.py
    """
    kept = np.asarray(Image.open(GOLDEN / f"{name}.png")).astype(int)
    difference = np.abs(golden_pictures(person)[name] - kept)
    assert difference.mean() < 1 and (difference > 24).mean() < 0.005


if __name__ == "__main__":
    for name, picture in golden_pictures(facing()).items():
        Image.fromarray(picture).save(GOLDEN / f"{name}.png", optimize=True)
