"""Reads a user's own 2-D keypoints of one picture, as JSON, in the layouts that tools write.

People: OpenPose's `{"people": [{"pose_keypoints_2d": [...]}]}` (`pose_keypoints` in old versions); COCO's annotations
`{"annotations": [{"keypoints": [...]}]}`, results `[{"keypoints": [...]}]`, one such person alone; mmpose's
`instance_info` or predictions with `keypoint_scores`; ultralytics' `keypoints: {"x", "y", "visible"}`. Skeletons are
recognised by their number of points. How the numbers were understood is reported (`KeypointFile.meaning`); if that is
not clear, the file is refused.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

COCO_17 = (0, 2, 5, 7, 8, 11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28)
"""The landmark, of the 33, for each COCO keypoint."""

BODY_25 = (0, -1, 12, 14, 16, 11, 13, 15, -1, 24, 26, 28, 23, 25, 27, 5, 2, 8, 7, 31, -1, 29, 32, -1, 30)
"""The same for OpenPose; -1 where there is none (neck, mid hip, small toes)."""

COCO_18 = (0, -1, 12, 14, 16, 11, 13, 15, 24, 26, 28, 23, 25, 27, 5, 2, 8, 7)
"""The same for OpenPose's older model."""

HALPE_26 = (*COCO_17, -1, -1, -1, 31, 32, -1, -1, 29, 30)
"""The same for AlphaPose: head, neck and hip after COCO's, then toes and heels."""

WHOLE_BODY_133 = (*COCO_17, 31, -1, 29, 32, -1, 30, *(-1 for _ in range(110)))
"""The same for COCO-WholeBody; face and hands are not read."""

SKELETONS = {
    17: ("COCO-17", COCO_17),
    18: ("OpenPose COCO-18", COCO_18),
    25: ("OpenPose BODY_25", BODY_25),
    26: ("Halpe-26", HALPE_26),
    133: ("COCO-WholeBody", WHOLE_BODY_133),
}
"""By the number of points: name, and the landmark of each."""

LANDMARKS = 33
MOST_SCORE = 1.5
"""Peaks of heat maps pass 1 by a little (1.04 in OpenPose, 1.15 in mmpose); above this a number is no such score."""
MOST_OUTSIDE = 0.3
"""Share of the known points that may lie outside the picture by more than a tenth of its size."""


class KeypointFileError(ValueError):
    """A keypoint file that cannot be read or understood."""


class KeypointFile(NamedTuple):
    """The people of one picture, and how the file was understood."""

    people: list[NDArray[np.float32]]  # (33, 4) landmarks each: x, y (px), z = 0, visibility 0..1
    meaning: str  # such as "OpenPose BODY_25, 1 person, scores 0..1"


def read_keypoints(path: Path) -> list[NDArray[np.float32]]:
    """The people of `read_keypoint_file`, (33, 4) each, where the picture's size is not known; raises as it does."""
    return read_keypoint_file(path).people


def read_keypoint_file(path: Path, size: tuple[int, int] | None = None) -> KeypointFile:
    """Keypoints of one picture of `size` (width, height; px), each person as (33, 4) landmarks.

    A landmark that the file does not know has visibility 0 and lies at the middle of the known ones. A person
    without any known keypoint is left out. Raises KeypointFileError if the file cannot be read or understood, or if it
    could mean several things.
    """
    try:
        content = json.loads(Path(path).read_bytes())  # bytes: UTF-8 with or without a mark, UTF-16
    except OSError as error:
        raise KeypointFileError(
            f"{path}: cannot be read ({error.strerror}). Give the path of a JSON file of keypoints."
        ) from error
    except (ValueError, RecursionError) as error:
        raise KeypointFileError(f"{path}: not JSON ({error}). Export the keypoints again.") from error
    try:
        return _understood(content, size)
    except _Unclear as error:
        raise KeypointFileError(f"{path}: {error}") from error


class _Unclear(Exception):
    """What is wrong with a file's content."""


def _understood(content: Any, size: tuple[int, int] | None) -> KeypointFile:
    entries, annotated = _people(content)
    given = [(number, _points(number, entry)) for number, entry in enumerate(entries, 1)]
    points = {number: found for number, found in given if found is not None}
    if not points:
        return KeypointFile([], "no person with keypoints")
    kinds = {len(found) for found in points.values()}
    if len(kinds) > 1:
        raise _Unclear(f"its people have {' and '.join(map(str, sorted(kinds)))} keypoints. Export one kind of them.")
    name, places = SKELETONS[kinds.pop()]
    visibility, meaning = _visibility(points, annotated or any(_is_annotation(entry) for entry in entries),
                                      any("score" in entry or "pose_keypoints_2d" in entry or "pose_keypoints" in entry
                                          or "keypoint_scores" in entry or isinstance(entry.get("keypoints"), dict)
                                          for entry in entries))  # fmt: skip
    factor, unit = _to_pixels([points[k][visibility[k] > 0, :2] for k in points], size)
    people = [_landmarks(points[k][:, :2] * factor[0] + factor[1], visibility[k], places) for k in points]
    people = [landmarks for landmarks in people if landmarks[:, 3].any()]
    count = f"{len(people)} {'person' if len(people) == 1 else 'people'}"
    return KeypointFile(people, ", ".join(filter(None, (name, count, meaning, unit))))


def _people(content: Any) -> tuple[list[dict[str, Any]], bool]:
    """The entries of the people, from any of the layouts; and whether they are COCO's annotations."""
    annotated = False
    if isinstance(content, dict):
        for key in ("people", "annotations", "instance_info", "instances", "predictions"):
            if key in content:
                annotated = key == "annotations"
                content = content[key]
                break
        else:
            if not {"keypoints", "pose_keypoints_2d", "pose_keypoints"} & content.keys():
                raise _Unclear(
                    f"no list of people found; it has {', '.join(sorted(map(str, content))[:6]) or 'nothing'}. "
                    "Is it of another program? Give OpenPose's 'people', or COCO's 'annotations' or results."
                )
            content = [content]
    if (
        isinstance(content, list)
        and content
        and all(isinstance(frame, dict) and "instances" in frame for frame in content)
    ):
        if len(content) > 1:
            raise _Unclear(f"holds the people of {len(content)} pictures. Give one file for each picture.")
        content = content[0]["instances"]
    if isinstance(content, list) and len(content) == 1 and isinstance(content[0], list):
        content = content[0]  # mmpose: one list for each picture
    if not isinstance(content, list) or not all(isinstance(person, dict) for person in content):
        raise _Unclear("no list of people found. Give OpenPose's 'people', or COCO's 'annotations' or results.")
    pictures = {str(person["image_id"]) for person in content if "image_id" in person}
    if len(pictures) > 1:
        raise _Unclear(f"holds the people of {len(pictures)} pictures. Give one file for each picture.")
    return content, annotated


def _is_annotation(entry: dict[str, Any]) -> bool:
    return "num_keypoints" in entry or "iscrowd" in entry


def _points(number: int, person: dict[str, Any]) -> NDArray[np.float64] | None:
    """(k, 3) x, y and the third number of one person; None where nothing is given."""
    key = next((key for key in ("pose_keypoints_2d", "pose_keypoints", "keypoints") if key in person), None)
    if key is None:
        raise _Unclear(
            f"person {number} has neither 'keypoints' (COCO) nor 'pose_keypoints_2d' (OpenPose); "
            f"it has {', '.join(sorted(map(str, person))) or 'nothing'}."
        )
    values = person[key]
    if values is None or values == []:
        return None
    try:
        if isinstance(values, dict):
            x, y = np.asarray(values["x"], np.float64), np.asarray(values["y"], np.float64)
            points = np.stack([x, y, np.asarray(values.get("visible", np.ones(len(x))), np.float64)], 1)
        elif person.get("keypoint_scores") is not None:
            scores = np.asarray(person["keypoint_scores"], np.float64).reshape(-1, 1)
            points = np.concatenate([np.asarray(values, np.float64).reshape(len(scores), -1)[:, :2], scores], 1)
        else:
            points = np.asarray(values, np.float64)
            if points.ndim == 2 and points.shape[1] == 2:
                raise _Unclear(f"person {number} has x and y alone. Add a confidence to each, or 'keypoint_scores'.")
            points = points.reshape(-1, 3)
    except (KeyError, TypeError, ValueError) as error:
        raise _Unclear(
            f"the keypoints of person {number} are not triples of numbers. Write x, y, confidence."
        ) from error
    if len(points) not in SKELETONS or (len(points) == 18 and key == "keypoints"):
        known = ", ".join(f"{name} has {count}" for count, (name, _) in SKELETONS.items())
        raise _Unclear(f"person {number} has {len(points)} keypoints; {known}. Export one of these.")
    if not np.isfinite(points).all():
        raise _Unclear(f"person {number} has a keypoint that is not finite. Export the keypoints again.")
    return points


def _visibility(
    points: dict[int, NDArray[np.float64]], annotated: bool, scored: bool
) -> tuple[dict[int, NDArray[np.float64]], str]:
    """Visibility 0..1 of each person's points from the third numbers, and what these were taken for.

    One meaning for all people of a file: COCO's flags (0 unknown, 1 hidden, 2 seen) are whole numbers with a 2 among
    them, or are in annotations; scores pass 1 by a little. Whole numbers without any of these signs could be either.
    """
    third = np.concatenate([found[:, 2] for found in points.values()])
    whole = bool(np.isin(third, (0, 1, 2)).all())
    if third.min() < 0:
        raise _Unclear(f"a confidence outside 0 to 1 (COCO: 0, 1 or 2): {third.min():g}. Export the keypoints again.")
    if whole and (third.max() == 2 or (annotated and not scored)):
        return {k: found[:, 2] / 2 for k, found in points.items()}, "flags 0 unknown, 1 hidden, 2 seen"
    if third.max() > MOST_SCORE:
        raise _Unclear(
            f"a confidence outside 0 to 1 (COCO: 0, 1 or 2): {third.max():g}. "
            "Divide percentages by 100; write scores from 0 to 1."
        )
    if whole and third.any() and not scored:
        raise _Unclear(
            "its third numbers are 0 and 1 alone: COCO's flags, where 1 means hidden, or scores, where it means sure? "
            "Put the people under 'annotations' for flags, or give each a 'score' for scores."
        )
    above = int((third > 1).sum())
    meaning = f"scores 0..1{f', {above} above taken as 1 (up to {third.max():g})' if above else ''}"
    return {k: found[:, 2].clip(0, 1) for k, found in points.items()}, meaning


def _to_pixels(
    known: Sequence[NDArray[np.float64]], size: tuple[int, int] | None
) -> tuple[tuple[NDArray[np.float64], NDArray[np.float64]], str]:
    """Factor and shift, (2,) each, that make pixels of the known points' coordinates, and the coordinates' meaning."""
    as_it_is = (np.ones(2), np.zeros(2))
    places = np.concatenate(list(known)) if known else np.zeros((0, 2))
    if len(places) < 2:
        return as_it_is, ""
    low, high = places.min(), places.max()
    if low >= -1 and high <= 1:
        if size is None:
            raise _Unclear(f"coordinates from {low:g} to {high:g} are no pixels, and the picture's size is not known.")
        if low >= 0:
            return (np.array(size, np.float64), np.zeros(2)), "coordinates 0..1 of the picture"
        return (np.array(size) / 2.0, np.array(size) / 2.0), "coordinates -1..1 of the picture"
    if np.ptp(places, 0).max() < 4:
        raise _Unclear(
            f"coordinates from {low:g} to {high:g} are neither pixels nor shares of the picture (0..1, -1..1). "
            "Export pixels of the photograph."
        )
    if size is not None:
        span = np.array(size, np.float64)
        outside = ((places < -0.1 * span) | (places > 1.1 * span)).any(1).mean()
        if outside > MOST_OUTSIDE:
            raise _Unclear(
                f"{outside:.0%} of its keypoints lie outside the picture of {size[0]} x {size[1]} px (they reach "
                f"x {places[:, 0].max():.0f}, y {places[:, 1].max():.0f}). Export pixels of this very picture, x first."
            )
    return as_it_is, ""


def _landmarks(
    places: NDArray[np.float64], visibility: NDArray[np.float64], table: Sequence[int]
) -> NDArray[np.float32]:
    landmarks = np.zeros((LANDMARKS, 4), np.float32)
    known = [index for index, place in enumerate(table) if place >= 0 and visibility[index] > 0]
    if known:
        landmarks[:, :2] = places[known].mean(0)
        rows = [table[index] for index in known]
        landmarks[rows, :2] = places[known]
        landmarks[rows, 3] = visibility[known]
    return landmarks
