import numpy as np

from hmr.detection.brought_keypoints import keypoint_file, use_keypoints
from hmr.detection.people import FoundPerson


def person(x: float) -> FoundPerson:
    landmarks = np.full((33, 4), 0.5, np.float32)
    landmarks[:, 0], landmarks[:, 1] = x, np.arange(33)
    crop = np.array([x, 16, 100], np.float32)
    return FoundPerson(np.zeros(4, np.float32), 0.9, landmarks, np.zeros((33, 3), np.float32),
                       np.zeros((64, 64), np.uint8), crop)  # fmt: skip


def brought(x: float) -> np.ndarray:
    points = np.zeros((33, 4), np.float32)
    points[11:17] = [x, 20, 0, 1]
    return points


def test_keypoints_go_to_the_nearest_person_and_only_known_ones_count():
    people, described, unmatched = use_keypoints([person(50), person(300)], [brought(303)])
    assert described == 1 and not unmatched and len(people) == 2
    assert (people[0].landmarks[11:17, :2] == (303, 20)).all() and (people[0].landmarks[11:17, 3] == 1).all()
    np.testing.assert_array_equal(people[0].landmarks[:11], person(300).landmarks[:11])
    np.testing.assert_array_equal(people[1].landmarks, person(50).landmarks)  # not mentioned: as detected


def test_each_person_is_taken_once_and_strangers_are_handed_back():
    people, described, unmatched = use_keypoints([person(50)], [brought(52), brought(55), brought(900)])
    assert len(people) == described == 1 and [one[11, 0] for one in unmatched] == [55, 900]
    assert len(use_keypoints([], [brought(1)]).unmatched) == 1
    assert len(use_keypoints([person(50)], []).people) == 1


def test_the_file_lies_beside_the_photograph(tmp_path):
    photograph = tmp_path / "a.jpg"
    assert keypoint_file(photograph) is None
    (tmp_path / "a_keypoints.json").write_text("{}")
    assert keypoint_file(photograph) == tmp_path / "a_keypoints.json"
