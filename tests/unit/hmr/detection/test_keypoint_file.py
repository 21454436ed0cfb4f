"""A user's own keypoints: both formats come out as the same landmarks, and a bad file is one clear error."""

import json

import numpy as np
import pytest

from hmr.detection.keypoint_file import BODY_25, COCO_17, KeypointFileError, read_keypoint_file, read_keypoints
from hmr.detection.people import person_crop

OPENPOSE = """
    nose neck right_shoulder right_elbow right_wrist left_shoulder left_elbow left_wrist mid_hip right_hip
    right_knee right_ankle left_hip left_knee left_ankle right_eye left_eye right_ear left_ear left_big_toe
    left_small_toe left_heel right_big_toe right_small_toe right_heel
"""
COCO = """
    nose left_eye right_eye left_ear right_ear left_shoulder right_shoulder left_elbow right_elbow
    left_wrist right_wrist left_hip right_hip left_knee right_knee left_ankle right_ankle
"""
BLAZEPOSE = """
    nose left_eye_inner left_eye left_eye_outer right_eye_inner right_eye right_eye_outer left_ear right_ear
    mouth_left mouth_right left_shoulder right_shoulder left_elbow right_elbow left_wrist right_wrist
    left_pinky right_pinky left_index right_index left_thumb right_thumb left_hip right_hip left_knee
    right_knee left_ankle right_ankle left_heel right_heel left_big_toe right_big_toe
"""


def numbered(count: int, confidence: float) -> list[float]:
    """Keypoint i at (10 i + 1, 20 i + 2)."""
    return [value for i in range(count) for value in (10 * i + 1, 20 * i + 2, confidence)]


def read(tmp_path, content) -> list[np.ndarray]:
    path = tmp_path / "keypoints.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return read_keypoints(path)


def test_tables_join_points_of_one_name():
    landmarks = BLAZEPOSE.split()
    for table, names in ((COCO_17, COCO), (BODY_25, OPENPOSE)):
        for place, name in zip(table, names.split(), strict=True):
            assert (landmarks[place] == name) if place >= 0 else (name not in landmarks)


def test_openpose_people(tmp_path):
    first, second = read(
        tmp_path, {"version": 1.3, "people": [{"pose_keypoints_2d": numbered(25, c)} for c in (0.9, 0.4)]}
    )
    np.testing.assert_allclose(first[11], [51, 102, 0, 0.9])  # left shoulder is BODY_25's number 5
    np.testing.assert_allclose(second[30], [241, 482, 0, 0.4])  # right heel is its number 24
    assert first[1, 3] == 0


@pytest.mark.parametrize("wrap", [lambda p: {"annotations": [p]}, lambda p: [p], lambda p: p])
def test_coco_in_each_of_its_wrappings(tmp_path, wrap):
    keypoints = numbered(17, 2)
    keypoints[2::3] = [2] * 15 + [1, 0]
    (person,) = read(tmp_path, wrap({"image_id": 7, "keypoints": keypoints}))
    np.testing.assert_allclose(person[0], [1, 2, 0, 1])
    np.testing.assert_allclose(person[27], [151, 302, 0, 0.5])  # hidden
    assert person[28, 3] == 0
    np.testing.assert_allclose(person[28, :2], [76, 152])  # unknown: amid the known ones


def test_unknown_points_do_not_move_the_crop(tmp_path):
    keypoints = [0.0] * 51
    keypoints[:6] = [100, 200, 1, 140, 200, 1]
    (person,) = read(tmp_path, [{"keypoints": keypoints, "score": 0.9}])
    np.testing.assert_allclose(person_crop(person), [120, 200, 50])


def test_nobody_is_an_empty_list(tmp_path):
    assert read(tmp_path, {"people": []}) == []
    assert read(tmp_path, {"people": [{"pose_keypoints_2d": [0.0] * 75}]}) == []


@pytest.mark.parametrize(
    "content, complaint",
    [
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("3", "no list of people"),
        ({"people": 3}, "no list of people"),
        ([[1, 2, 3]], "no list of people"),
        ({"people": [{"face": []}]}, "person 1 has neither"),
        ({"people": [{"pose_keypoints_2d": [1, 2]}]}, "triples"),
        ([{"keypoints": ["a", 1, 1]}], "triples"),
        ([{"keypoints": [0, 0, 1] * 18}], "18 keypoints"),
        ([{"keypoints": [0, 0, 7] * 17}], "confidence outside"),
        ([{"keypoints": [float("nan"), 0, 1] * 17}], "not finite"),
        ([{"image_id": i, "keypoints": [0, 0, 1] * 17} for i in (1, 2)], "2 pictures"),
    ],
)
def test_bad_files_are_clear_errors(tmp_path, content, complaint):
    with pytest.raises(KeypointFileError, match=complaint) as caught:
        read(tmp_path, content)
    assert "keypoints.json" in str(caught.value)


def test_missing_file_is_a_clear_error(tmp_path):
    with pytest.raises(KeypointFileError, match="cannot be read"):
        read_keypoints(tmp_path / "absent.json")


def details(tmp_path, content, size=(640, 480)):
    path = tmp_path / "keypoints.json"
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return read_keypoint_file(path, size)


def openpose(values: list[float]) -> dict:
    return {"version": 1.3, "people": [{"person_id": [-1], "pose_keypoints_2d": values}]}


@pytest.mark.parametrize("peak", [1.04, 1.15])
def test_a_score_a_little_above_one_moves_no_other(tmp_path, peak):
    values = numbered(25, 0.9)
    values[2] = peak
    (person,), meaning = details(tmp_path, openpose(values))
    assert person[0, 3] == 1 and person[11, 3] == pytest.approx(0.9)
    assert meaning == f"OpenPose BODY_25, 1 person, scores 0..1, 1 above taken as 1 (up to {peak:g})"


def test_coco_flags_of_one_alone_are_hidden_in_annotations_and_unclear_elsewhere(tmp_path):
    (person,), meaning = details(tmp_path, {"annotations": [{"keypoints": numbered(17, 1)}]})
    assert (person[list(COCO_17), 3] == 0.5).all() and "1 hidden" in meaning
    with pytest.raises(KeypointFileError, match="'annotations' for flags"):
        details(tmp_path, [{"keypoints": numbered(17, 1)}])
    (person,), meaning = details(tmp_path, [{"keypoints": numbered(17, 1), "score": 2.9}])
    assert (person[list(COCO_17), 3] == 1).all() and "scores" in meaning


def test_shares_of_the_picture_become_pixels(tmp_path):
    """(0.25, 0.5) of 640 x 480 is (160, 240); on the scale from -1 to 1 it is (400, 360)."""
    shares = [v for i in range(25) for v in (0.25 + i / 1000, 0.5, 0.9)]
    (person,), meaning = details(tmp_path, openpose(shares))
    np.testing.assert_allclose(person[0, :2], (160, 240), atol=1e-3)
    assert "0..1 of the picture" in meaning
    (person,), meaning = details(tmp_path, openpose([-0.5, -0.5, 0.9, *shares[3:]]))
    np.testing.assert_allclose(person[0, :2], (160, 120), atol=1e-3)
    assert "-1..1 of the picture" in meaning
    with pytest.raises(KeypointFileError, match="no pixels"):
        details(tmp_path, openpose(shares), None)


@pytest.mark.parametrize(
    "content",
    [
        [{"keypoints": [[10 * i + 1, 20 * i + 2] for i in range(17)], "keypoint_scores": [0.9] * 17}],
        [[{"keypoints": [[10 * i + 1, 20 * i + 2] for i in range(17)], "keypoint_scores": [0.9] * 17}]],
        {"meta_info": {}, "instance_info": [{"frame_id": 0, "instances": [{"keypoints": numbered(17, 0.9)}]}]},
        [{"name": "person", "keypoints": {"x": [10 * i + 1 for i in range(17)], "y": [20 * i + 2 for i in range(17)],
                                          "visible": [0.9] * 17}}],
        [{"image_id": "a.jpg", "category_id": 1, "keypoints": numbered(17, 0.9), "score": 2.9}],
        b"\xef\xbb\xbf" + json.dumps([{"keypoints": numbered(17, 0.9)}]).encode(),
        json.dumps([{"keypoints": numbered(17, 0.9)}]).encode("utf-16"),
    ],
)  # fmt: skip
def test_layouts_of_other_tools(tmp_path, content):
    (person,), meaning = details(tmp_path, content)
    np.testing.assert_allclose(person[11], [51, 102, 0, 0.9], rtol=1e-6)
    assert meaning == "COCO-17, 1 person, scores 0..1"


def test_old_openpose_with_eighteen_points(tmp_path):
    (person,), meaning = details(tmp_path, {"people": [{"pose_keypoints": numbered(18, 0.5)}]})
    np.testing.assert_allclose(person[11], [51, 102, 0, 0.5])
    assert meaning.startswith("OpenPose COCO-18")


@pytest.mark.parametrize("content", [{"people": []}, [{"keypoints": None}], {"annotations": [{"keypoints": []}]}])
def test_a_file_that_names_nobody_says_so(tmp_path, content):
    assert details(tmp_path, content) == ([], "no person with keypoints")


@pytest.mark.parametrize(
    "content, complaint",
    [
        ([{"keypoints": numbered(17, 87)}], "percentages"),
        ([{"keypoints": [3000.0, 2000.0, 0.9] * 8 + [10.0, 10.0, 0.9] * 9}], "outside the picture"),
        ([{"keypoints": [0.5, 1.7, 0.9] * 17}], "neither pixels nor shares"),
        ([{"keypoints": [[1, 2]] * 17}], "x and y alone"),
        ({"version": "5.0.1", "shapes": [], "imageData": None}, "another program"),
        ({"instance_info": [{"frame_id": k, "instances": []} for k in (0, 1)]}, "2 pictures"),
    ],
)
def test_what_can_mean_several_things_is_refused(tmp_path, content, complaint):
    with pytest.raises(KeypointFileError, match=complaint):
        details(tmp_path, content)
