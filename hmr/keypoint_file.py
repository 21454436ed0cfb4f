"""Reads a user's own 2-D keypoints of one picture: COCO-17 or OpenPose BODY_25, as JSON.

Known shapes: OpenPose's `{"people": [{"pose_keypoints_2d": [...]}]}`; COCO's annotations
`{"annotations": [{"keypoints": [...]}]}`, results `[{"keypoints": [...]}]`, or one such person alone. Each
holds x, y (px) and a confidence (0-1), or COCO's visibility (0 unknown, 1 hidden, 2 visible), per keypoint.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

COCO_17 = (0, 2, 5, 7, 8, 11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28)
"""Of the 33 landmarks, the one that stands for each COCO keypoint."""

BODY_25 = (0, -1, 12, 14, 16, 11, 13, 15, -1, 24, 26, 28, 23, 25, 27, 5, 2, 8, 7, 31, -1, 29, 32, -1, 30)
"""The same for OpenPose; -1 where there is none (neck, mid hip, small toes)."""

LANDMARKS = 33


class KeypointFileError(ValueError):
    """A keypoint file that cannot be read or understood."""


def read_keypoints(path: Path) -> list[NDArray[np.float32]]:
    """The people of one picture, each as (33, 4) landmarks: x, y (px), z = 0, visibility 0..1.

    A landmark that the file does not know has visibility 0 and lies at the middle of the known ones. A person
    without any known keypoint is left out.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise KeypointFileError(
            f"{path}: cannot be read ({error.strerror}). Give the path of a JSON file of keypoints."
        ) from error
    except (ValueError, RecursionError) as error:
        raise KeypointFileError(f"{path}: not JSON ({error}). Export the keypoints again.") from error
    people = [_landmarks(path, number, person) for number, person in enumerate(_people(path, content), 1)]
    return [landmarks for landmarks in people if landmarks[:, 3].any()]


def _people(path: Path, content: Any) -> list[dict[str, Any]]:
    """The entries of the persons, whatever lies around them."""
    if isinstance(content, dict):
        for key in ("people", "annotations"):
            if key in content:
                content = content[key]
                break
        else:
            content = [content]
    if not isinstance(content, list) or not all(isinstance(person, dict) for person in content):
        raise KeypointFileError(
            f"{path}: no list of people found. Give OpenPose's 'people', or COCO's 'annotations' or results."
        )
    pictures = {str(person["image_id"]) for person in content if "image_id" in person}
    if len(pictures) > 1:
        raise KeypointFileError(
            f"{path}: holds the people of {len(pictures)} pictures. Give one file for each picture."
        )
    return content


def _landmarks(path: Path, number: int, person: dict[str, Any]) -> NDArray[np.float32]:
    values = person.get("pose_keypoints_2d", person.get("keypoints"))
    if values is None:
        raise KeypointFileError(
            f"{path}: person {number} has neither 'keypoints' (COCO) nor 'pose_keypoints_2d' (OpenPose); "
            f"it has {', '.join(sorted(map(str, person))) or 'nothing'}."
        )
    try:
        points = np.asarray(values, np.float64).reshape(-1, 3)
    except (TypeError, ValueError) as error:
        raise KeypointFileError(
            f"{path}: the keypoints of person {number} are not triples of numbers. Write x, y, confidence."
        ) from error
    places = {len(COCO_17): COCO_17, len(BODY_25): BODY_25}.get(len(points))
    if places is None:
        raise KeypointFileError(
            f"{path}: person {number} has {len(points)} keypoints; COCO has 17 and BODY_25 has 25. Export one of these."
        )
    confidence = points[:, 2] / 2 if points[:, 2].max() > 1 else points[:, 2]
    if not np.isfinite(points).all() or confidence.min() < 0 or confidence.max() > 1:
        raise KeypointFileError(
            f"{path}: person {number} has a keypoint that is not finite, or a confidence outside 0 to 1 "
            "(COCO: 0, 1 or 2). Export the keypoints again."
        )
    landmarks = np.zeros((LANDMARKS, 4), np.float32)
    known = [index for index, place in enumerate(places) if place >= 0 and confidence[index] > 0]
    if known:
        landmarks[:, :2] = points[known, :2].mean(0)
        rows = [places[index] for index in known]
        landmarks[rows, :2] = points[known, :2]
        landmarks[rows, 3] = confidence[known]
    return landmarks
