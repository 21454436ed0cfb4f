"""People of a photograph with the user's keypoints beside it: nobody is lost without a word, nothing is guessed."""

import json

import numpy as np
import pytest
from PIL import Image
from skimage import data

from hmr.detection.keypoint_file import COCO_17
from hmr.detection.photograph import read_photograph
from tasks.groups.people import people_in
from tasks.recovery.job import too_near


@pytest.fixture(scope="module")
def astronaut(tmp_path_factory):
    path = tmp_path_factory.mktemp("photo") / "a.png"
    Image.fromarray(data.astronaut()).save(path)
    return path


def looked(path, keypoints=None, **how):
    beside = path.with_suffix(".json")
    beside.unlink(missing_ok=True)
    if keypoints is not None:
        beside.write_text(json.dumps(keypoints))
    return people_in(path, read_photograph(path), thorough=True, crop_margin=1.25, focal_px=None, **how)


def coco(landmarks):
    return people([(float(landmarks[q, 0]), float(landmarks[q, 1])) for q in COCO_17])


def people(places):
    return [{"keypoints": [value for x, y in places for value in (x, y, 0.9)]}]


def test_her_own_landmarks_change_nothing_but_their_confidence(astronaut):
    (plain,) = looked(astronaut).people
    found = looked(astronaut, coco(plain.landmarks))
    np.testing.assert_allclose(found.people[0].landmarks[:, :2], plain.landmarks[:, :2], atol=1e-3)
    assert found.remarks[0] == ("a.json", "read as COCO-17, 1 person, scores 0..1") and not found.skipped


@pytest.mark.parametrize("nobody", [{"people": []}, {"people": [{"pose_keypoints_2d": [0.0] * 75}]}])
def test_a_file_of_nobody_leaves_who_was_found(astronaut, nobody):
    found = looked(astronaut, nobody)
    assert len(found.people) == 1 and any("kept as detected" in remark for _, remark in found.remarks)
    assert looked(astronaut, nobody, only_described=True).people == []


def test_who_is_described_and_was_not_found_is_added(astronaut):
    found = looked(astronaut, people([(440 + 20 * (k % 3), 60 + 12 * k) for k in range(17)]))
    assert len(found.people) == 2 and any("did not find" in remark for _, remark in found.remarks)
    np.testing.assert_allclose(found.people[0].landmarks[0, :2], (440, 60))
    assert found.people[0].mask.shape == (64, 64) and found.people[0].second_look is not None


def test_exchanged_axes_are_refused_and_she_stays(tmp_path):
    wall = np.full((1100, 1100, 3), 120, np.uint8)
    wall[:512, 588:] = data.astronaut()
    path = tmp_path / "a.png"
    Image.fromarray(wall).save(path)
    (plain,) = looked(path).people
    found = looked(path, coco(plain.landmarks[:, [1, 0, 2, 3]]))
    assert "exchanged" in found.skipped[0][1]
    np.testing.assert_array_equal(found.people[0].landmarks, plain.landmarks)


@pytest.mark.parametrize("focal", [1.0, 50.0, 200_000.0])
def test_a_focal_length_of_no_camera_is_refused(astronaut, focal):
    found = people_in(astronaut, read_photograph(astronaut), thorough=True, crop_margin=1.25, focal_px=focal)
    assert not found.people and "no camera has a focal length" in found.skipped[0][1]


def test_a_body_about_the_camera_is_flagged():
    body = np.array([[0, 0, 0.05], [0, 0, 1.0]], np.float32)
    assert "0.05 m of the camera" in too_near(2, body) and not too_near(2, body + 1)
