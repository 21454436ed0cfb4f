"""People are found where they are, upright or not, with left and right in place, and all on this machine."""

import functools
import math
import subprocess
import sys
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
import roma
import torch
from hypothesis import given
from hypothesis import strategies as st
from matplotlib import get_data_path
from PIL import Image
from skimage import data

from hmr.body.body import load_body
from hmr.detection.people import FoundPerson, PersonFinder, person_crop, witness
from hmr.detection.photograph import read_photograph
from hmr.detection.pose_networks import PoseNetworks, Square, anchors, body_square, pose_networks
from hmr.detection.tile_search import MOST_FINE_TILES
from hmr.rendering.mesh import Mesh
from hmr.rendering.overlay import NumbaRenderer
from hmr.rendering.style import Style

NOSE, LEFT_EYE, RIGHT_EYE, LEFT_SHOULDER, RIGHT_SHOULDER = 0, 2, 5, 11, 12
COCO = [0, 2, 5, 7, 8, 11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28]
FAST, THOROUGH = PersonFinder(thorough=False), PersonFinder()


def grey(picture: np.ndarray) -> np.ndarray:
    return np.repeat(picture[:, :, None], 3, axis=2)


@functools.cache
def standing(yaw: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The free body, arms lowered, turned by `yaw` degrees: picture, keypoints (23, 2) px, joints (29, 3)."""
    body = load_body()
    vectors = torch.zeros(24, 3)
    vectors[16, 2], vectors[17, 2] = -0.9, 0.9
    pose = roma.rotvec_to_rotmat(vectors)
    upright = roma.rotvec_to_rotmat(torch.tensor([[math.pi, 0, 0], [0, math.radians(yaw), 0]]))
    pose[0] = upright[0] @ upright[1]
    output = body(pose[None], torch.zeros(1, 10), torch.tensor([[0.0, 0.0, 3.5]]))
    wall = np.full((512, 512, 3), (170, 180, 190), np.uint8)
    camera = np.array([500, 500, 256, 256], np.float32)
    with NumbaRenderer() as renderer:
        mesh = Mesh(output.vertices[0].numpy(), body.faces)
        picture = renderer.draw([mesh], camera, wall, Style(opacity=1.0, contour=0.0, colour=(0.66, 0.82, 0.99))).image
    keypoints = output.keypoints[0].numpy()
    return picture, keypoints[:, :2] / keypoints[:, 2:] * 500 + 256, output.joints[0].numpy()


@functools.cache
def astronaut() -> FoundPerson:
    return THOROUGH.find(data.astronaut())[0]


def test_anchors_are_the_published_grid():
    assert anchors().shape == (2254, 2)
    np.testing.assert_allclose(anchors()[:4], np.array([[0.5, 0.5], [0.5, 0.5], [1.5, 0.5], [1.5, 0.5]]) / 28)
    np.testing.assert_allclose(anchors()[28 * 28 * 2 : 28 * 28 * 2 + 3, 0] * 14, [0.5, 0.5, 1.5])
    np.testing.assert_allclose(anchors()[-6:], 6.5 / 7)


@pytest.mark.parametrize(
    "top, angle", [((50, 20), 0), ((80, 50), math.pi / 2), ((50, 80), math.pi), ((20, 50), -math.pi / 2)]
)
def test_body_square_turns_with_the_body(top, angle):
    """Hip at (50, 50), circle of 30 px: the square is 2 x 1.25 x 30 px, its own up points from hip to top."""
    square = body_square(np.array([50, 50]), np.array(top))
    assert (square.x, square.y, square.side) == (50, 50, 75)
    assert math.remainder(square.angle - angle, math.tau) == pytest.approx(0, abs=1e-9)
    matrix = square.to_photograph(256)
    np.testing.assert_allclose(matrix @ [128, 128, 1], [50, 50], atol=1e-9)
    np.testing.assert_allclose(matrix @ [128, 128 - 30 * 256 / 75, 1], top, atol=1e-9)


@pytest.mark.parametrize("yaw", [0, 60, 120, 180, 240, 300])
def test_rendered_body_is_found_from_every_side(yaw):
    picture, keypoints, joints = standing(yaw)
    (person,) = FAST.find(picture)
    height = np.ptp(keypoints[:, 1])
    error = np.linalg.norm(person.landmarks[COCO, :2] - keypoints[:17], axis=1)
    assert np.median(error) < 0.03 * height
    across = person.world_landmarks[LEFT_SHOULDER] - person.world_landmarks[RIGHT_SHOULDER]
    np.testing.assert_allclose(across, joints[16] - joints[17], atol=0.12)
    low, high = keypoints.min(0), keypoints.max(0)
    assert (person.box[:2] < low + 0.05 * height).all() and (person.box[2:] > high - 0.05 * height).all()
    assert (person.box[:2] > low - 0.2 * height).all() and (person.box[2:] < high + 0.2 * height).all()


def test_mask_covers_the_body_and_not_the_wall():
    picture, _, _ = standing(0)
    (person,) = FAST.find(picture)
    x, y, side = person.crop
    centres = (np.arange(64) + 0.5) * side / 64 - side / 2
    columns, rows = np.floor(x + centres).astype(int), np.floor(y + centres).astype(int)
    inside = np.ix_((rows >= 0) & (rows < 512), (columns >= 0) & (columns < 512))
    body = (picture != (170, 180, 190)).any(2)
    drawn = body[rows.clip(0, 511)][:, columns.clip(0, 511)][inside]
    seen = person.mask[inside] > 127
    assert (drawn & seen).sum() / (drawn | seen).sum() > 0.8


def test_another_network_of_the_family_sees_the_same_person_in_their_crop():
    """The heavy network's file, as a user would give one."""
    picture, keypoints, _ = standing(0)
    (person,) = FAST.find(picture)
    network = (resources.files("hmr") / "assets" / "pose_landmark_heavy.tflite").read_bytes()
    landmarks, mask = witness(PoseNetworks(network=network), picture, person.crop)
    error = np.linalg.norm(landmarks[COCO, :2] - keypoints[:17], axis=1)
    assert np.median(error) < 0.03 * np.ptp(keypoints[:, 1])
    assert ((mask > 127) & (person.mask > 127)).sum() / ((mask > 127) | (person.mask > 127)).sum() > 0.85


def test_astronaut_has_her_left_side_on_our_right():
    person = astronaut()
    assert person.detection > 0.5
    landmarks = person.landmarks
    assert landmarks[LEFT_EYE, 0] > landmarks[NOSE, 0] > landmarks[RIGHT_EYE, 0]
    assert landmarks[LEFT_SHOULDER, 0] > landmarks[RIGHT_SHOULDER, 0] + 100
    np.testing.assert_allclose(landmarks[NOSE, :2], (221, 120), atol=20)
    np.testing.assert_allclose(landmarks[[LEFT_EYE, RIGHT_EYE], 1], 100, atol=20)
    assert person.box[3] > 500


def test_turning_the_picture_turns_the_answer():
    """A quarter turn to the left takes (x, y) to (y, 512 - x), in the picture and in metres."""
    (turned,) = THOROUGH.find(np.ascontiguousarray(np.rot90(data.astronaut())))
    upright = astronaut()
    face = np.arange(11)
    expected = np.stack([upright.landmarks[face, 1], 512 - upright.landmarks[face, 0]], 1)
    np.testing.assert_allclose(turned.landmarks[face, :2], expected, atol=25)
    across = upright.world_landmarks[LEFT_SHOULDER] - upright.world_landmarks[RIGHT_SHOULDER]
    now = turned.world_landmarks[LEFT_SHOULDER] - turned.world_landmarks[RIGHT_SHOULDER]
    np.testing.assert_allclose(now[:2], [across[1], -across[0]], atol=0.15)


def test_two_people_side_by_side_are_two():
    pair = np.concatenate([data.astronaut(), grey(data.camera())], axis=1)
    people = THOROUGH.find(pair)
    assert len(people) == 2
    assert [person.detection for person in people] == sorted((p.detection for p in people), reverse=True)
    left, right = sorted(people, key=lambda person: person.landmarks[NOSE, 0])
    np.testing.assert_allclose(left.landmarks[NOSE, :2], (221, 120), atol=25)
    np.testing.assert_allclose(right.landmarks[NOSE, :2], (512 + 240, 165), atol=40)


def test_small_people_in_a_large_picture_are_found_by_tiles():
    field = np.full((800, 1200, 3), 90, np.uint8)
    for picture, x, y in ((data.astronaut(), 100, 300), (grey(data.camera()), 900, 500)):
        field[y : y + 140, x : x + 140] = np.asarray(Image.fromarray(picture).resize((140, 140)))
    people = sorted(THOROUGH.find(field), key=lambda person: person.landmarks[NOSE, 0])
    assert len(people) == 2
    np.testing.assert_allclose(people[0].landmarks[NOSE, :2], (100 + 60, 300 + 33), atol=12)
    assert 900 < people[1].landmarks[NOSE, 0] < 1040


@pytest.mark.parametrize(("width", "height", "tall"), [(6000, 4000, 420), (20000, 1200, 1000)])
def test_somebody_small_in_a_huge_picture_is_found_at_its_own_size(width, height, tall):
    """The drawn body is 0.72 of its picture of 512 px; shrunk to 1600 px it would be 112 and 80 px tall."""
    picture, keypoints, _ = standing(0)
    low, high = int(keypoints[:, 1].min()), int(keypoints[:, 1].max())
    side = int(tall * 512 / (high - low))
    small = np.asarray(Image.fromarray(picture).resize((side, side)))
    wide = np.full((height, width, 3), (170, 180, 190), np.uint8)
    x, y = int(0.6 * width), (height - side) // 2
    part = small[max(0, -y) : max(0, -y) + height]
    wide[max(0, y) : max(0, y) + len(part), x : x + side] = part
    search = THOROUGH.search(wide)
    (person,) = search.people
    error = np.linalg.norm(person.landmarks[COCO, :2] - (keypoints[:17] * side / 512 + (x, y)), axis=1)
    assert np.median(error) < 0.05 * tall
    assert search.squares <= 30 + MOST_FINE_TILES


def test_bust_is_one_person():
    photograph = read_photograph(Path(get_data_path()) / "sample_data" / "grace_hopper.jpg")
    (person,) = THOROUGH.find(photograph.pixels)
    assert 200 < person.landmarks[NOSE, 0] < 320 and 180 < person.landmarks[NOSE, 1] < 280
    assert person.landmarks[27, 3] < 0.1  # the ankles are below the picture


@pytest.mark.parametrize("picture", ["empty", "coffee", "chelsea"])
def test_nobody_is_nobody(picture):
    pixels = np.full((300, 400, 3), 127, np.uint8) if picture == "empty" else getattr(data, picture)()
    assert THOROUGH.find(pixels) == []


def test_answer_scales_with_a_picture_that_is_shrunk_first():
    picture, keypoints, _ = standing(0)
    large = np.asarray(Image.fromarray(picture).resize((4096, 4096)))
    (person,) = FAST.find(large)
    error = np.linalg.norm(person.landmarks[COCO, :2] - 8 * keypoints[:17], axis=1)
    assert np.median(error) < 0.03 * 8 * np.ptp(keypoints[:, 1])


def test_a_wider_margin_widens_the_crop_and_what_the_mask_lies_on():
    picture, _, _ = standing(0)
    (plain,), (wide,) = FAST.find(picture), PersonFinder(thorough=False, crop_margin=1.5).find(picture)
    np.testing.assert_array_equal(wide.landmarks, plain.landmarks)
    np.testing.assert_allclose(wide.crop, [*plain.crop[:2], plain.crop[2] * 1.5 / 1.25], rtol=1e-6)
    area = [(one.mask > 127).mean() * one.crop[2] ** 2 for one in (plain, wide)]
    assert area[1] == pytest.approx(area[0], rel=0.05)


def test_answers_are_well_formed_and_repeatable():
    person, again = astronaut(), THOROUGH.find(data.astronaut())[0]
    for name, shape, kind in (
        ("box", (4,), np.float32),
        ("landmarks", (33, 4), np.float32),
        ("world_landmarks", (33, 3), np.float32),
        ("mask", (64, 64), np.uint8),
        ("crop", (3,), np.float32),
    ):
        assert getattr(person, name).shape == shape and getattr(person, name).dtype == kind
        np.testing.assert_array_equal(getattr(person, name), getattr(again, name))
    assert ((person.landmarks[:, 3] >= 0) & (person.landmarks[:, 3] <= 1)).all()
    assert pose_networks() is pose_networks()


def test_person_crop_by_hand():
    """Seen landmarks span x 100-180, y 40-240: centre (140, 140), side 1.25 x 200; no unseen one counts."""
    landmarks = np.zeros((33, 4), np.float32)
    landmarks[:8] = [(100, 40, 0, 1), (180, 240, 0, 0.5)] * 4
    np.testing.assert_allclose(person_crop(landmarks), [140, 140, 250])
    np.testing.assert_allclose(person_crop(landmarks, 1.5), [140, 140, 300])
    landmarks[5:, 3] = 0  # five seen are too few: the box of all, which reaches to (0, 0)
    np.testing.assert_allclose(person_crop(landmarks), [90, 120, 300])
    landmarks[:, :2] = 7  # one point: the smallest crop
    np.testing.assert_allclose(person_crop(landmarks), [7, 7, 32])


@given(x=st.floats(-500, 500), y=st.floats(-500, 500), side=st.floats(1, 900), angle=st.floats(-math.pi, math.pi))
def test_square_maps_keep_shape(x, y, side, angle):
    matrix = Square(x, y, side, angle).to_photograph(256)
    np.testing.assert_allclose(matrix[:, :2].T @ matrix[:, :2], np.eye(2) * (side / 256) ** 2, atol=1e-9)
    np.testing.assert_allclose(matrix @ [128, 128, 1], [x, y], atol=1e-6)


GUARDED = """
import os, pathlib, sys
seen = []
def guard(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto", "socket.gethostbyname"):
        seen.append((event, str(arguments)))
        raise RuntimeError("network use: " + event)
sys.addaudithook(guard)
from skimage import data
from hmr.detection.people import PersonFinder
people = PersonFinder(thorough=False).find(data.astronaut())
folder = pathlib.Path("/proc/self/fd")
links = [os.path.realpath(link) for link in folder.iterdir()] if folder.exists() else []
sockets = [link for link in links if "socket:" in link]
print(len(people), len(seen), len(sockets))
"""


def test_finding_people_opens_no_connection():
    """Watched from its start: any look-up, connection or datagram of Python's would be an error.

    Native code is not seen by an audit hook; of its sockets, one still open at the end would show on Linux.
    """
    root = Path(__file__).parents[4]
    done = subprocess.run(
        [sys.executable, "-c", GUARDED], cwd=root, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["1", "0", "0"]


def test_the_quick_search_asks_more_of_a_head_in_the_middle(monkeypatch):
    """There parts of a body pass for bodies; drawn people depend on it, so the benchmark's counts do too."""
    asked: list[tuple[float, float]] = []
    own = PoseNetworks.heads

    def heads(self, pixels, crop, *least):
        asked.append((crop[2], *least))
        return own(self, pixels, crop, *least)

    monkeypatch.setattr(PoseNetworks, "heads", heads)
    PersonFinder(thorough=False).find(np.zeros((200, 200, 3), np.uint8))
    assert asked == [(200.0, 0.4), (140.0, 0.6)]
