"""The detector's landmarks matched to the hypotheses' keypoints: names, importance, visibility and frames.

Keypoints are COCO-17, then big toe, small toe and heel of the left and the right foot (23). The detector gives 33
BlazePose landmarks (Bazarevsky et al. 2020): no small toe, and a foot index that lies near the big toe. One or two
networks may have looked: the detector, whose landmarks the base models read too, and a larger one
(`Person.second_look`), which no base reads. `heard` combines them; every check uses the result. A dataset's own
keypoints (`Person.labels`), which no base reads either, are believed where there are any.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from critique.checks.finding import robust
from critique.checks.fitted import fitted
from storage.records import DrawnGroup, Person

Floats = NDArray[np.float64]

# name, landmark, importance. Five face points move together, so they share one vote; hips are defined differently
# from the detector's; it guesses feet from the shin more often than it sees them.
_TABLE = (
    ("nose", 0, 0.4),
    ("left eye", 2, 0.15), ("right eye", 5, 0.15), ("left ear", 7, 0.15), ("right ear", 8, 0.15),
    ("left shoulder", 11, 1.0), ("right shoulder", 12, 1.0),
    ("left elbow", 13, 1.0), ("right elbow", 14, 1.0),
    ("left wrist", 15, 1.0), ("right wrist", 16, 1.0), ("left hip", 23, 0.6), ("right hip", 24, 0.6),
    ("left knee", 25, 1.0), ("right knee", 26, 1.0), ("left ankle", 27, 1.0), ("right ankle", 28, 1.0),
    ("left toes", 31, 0.5), ("left small toe", 31, 0.0), ("left heel", 29, 0.3),
    ("right toes", 32, 0.5), ("right small toe", 32, 0.0), ("right heel", 30, 0.3),
)  # fmt: skip
NAMES = tuple(name for name, _, _ in _TABLE)
LANDMARK = np.array([landmark for _, landmark, _ in _TABLE])
IMPORTANCE = np.array([importance for _, _, importance in _TABLE])
INDEX = {name: index for index, name in enumerate(NAMES)}
SWAPPED = np.array(
    [INDEX[name.replace("left", "RIGHT").replace("right", "left").replace("RIGHT", "right")] for name in NAMES]
)
"""For every keypoint the index of the same one on the other side."""

SHOULDERS = (INDEX["left shoulder"], INDEX["right shoulder"])
HIPS = (INDEX["left hip"], INDEX["right hip"])

SECOND_LOOK = 2.0
"""Weight of the second look relative to the detector's (1): the larger network is nearer to the truth."""

APART = 0.1
"""Distance between the two networks' points, as a share of the crop's side, at which their visibility is halved."""

NEAREST = 0.1
"""Smallest depth, metres, for projection: points nearer to the camera are projected as if at this depth."""


class Witness(NamedTuple):
    """What one network, or all of them together, saw of the 23 keypoints."""

    places: Floats  # (23, 2) px of the photograph
    world: Floats  # (23, 3) metres relative to the hips, camera axes, depth as the network gives it
    seen: Floats  # (23,) visibility 0..1


def heard(person: Person) -> Witness:
    """The networks' findings combined: the detector, and the second look if there is one.

        seen_k = (v1^2 + b v2^2) / (v1 + b v2) * agreement,    place_k = (v1 p1 + b v2 p2) / (v1 + b v2)

    with visibilities v, and b = SECOND_LOOK. agreement = 1 - min(v1, v2) d^2 / (d^2 + APART^2), with d the distance of
    the two points as a share of the crop's side: a point that the two see in different places counts as unseen. A
    network that does not see a point does not count. Labels take the place of what the networks saw.
    """
    return _with_labels(person, _networks(person))


def _with_labels(person: Person, found: Witness) -> Witness:
    """The findings with a dataset's keypoints in their place, where it gives any inside the photograph."""
    if person.labels is None:
        return found
    told = person.labels[LANDMARK].astype(np.float64)
    x, y = told[:, 0], told[:, 1]
    inside = (x >= 0) & (x <= person.width) & (y >= 0) & (y <= person.height)
    known = inside & np.isfinite(told).all(1) & (told[:, 2] > 0)
    return found._replace(
        places=np.where(known[:, None], told[:, :2], found.places),
        seen=np.where(known, np.clip(told[:, 2], 0.0, 1.0), found.seen),
    )


def _networks(person: Person) -> Witness:
    first = _witness(person, person.landmarks, person.world_landmarks)
    if person.second_look is None:
        return first
    second = _witness(person, person.second_look[:, :4], person.second_look[:, 4:])
    one, two = first.seen, SECOND_LOOK * second.seen
    share = np.divide(two, one + two, out=np.zeros_like(two), where=one + two > 0)
    apart = np.linalg.norm(first.places - second.places, axis=-1) / float(person.crop[2])
    both = np.minimum(first.seen, second.seen)
    agreement = 1 - both * robust(apart, APART)
    return Witness(
        (1 - share)[:, None] * first.places + share[:, None] * second.places,
        (1 - share)[:, None] * first.world + share[:, None] * second.world,
        ((1 - share) * first.seen + share * second.seen) * agreement,
    )


def _witness(person: Person, landmarks: NDArray, world_landmarks: NDArray) -> Witness:
    """One network's keypoints. What is not finite or lies outside the photograph, where it only guesses, is unseen."""
    found = landmarks[LANDMARK].astype(np.float64)
    about = world_landmarks[LANDMARK].astype(np.float64)
    x, y = found[:, 0], found[:, 1]
    inside = (x >= 0) & (x <= person.width) & (y >= 0) & (y <= person.height)
    seen = np.where(inside & np.isfinite(found).all(1), found[:, 3], 0.0)
    return Witness(np.nan_to_num(found[:, :2]), np.nan_to_num(about), np.clip(seen, 0.0, 1.0))


def visibility(person: Person) -> Floats:
    """(23,) visibility of each keypoint, 0 to 1, lower where the networks disagree; 0 outside the photograph."""
    return heard(person).seen


def landmarks_px(person: Person) -> Floats:
    """(23, 2) detected places of the keypoints, px of the photograph; not finite becomes 0 (and counts as unseen)."""
    return heard(person).places


def project(points: NDArray, person: Person) -> Floats:
    """(..., 2) px of the photograph from points (..., 3), metres, camera frame."""
    fx, fy, cx, cy = person.camera.astype(np.float64)
    points = points.astype(np.float64)
    depth = np.maximum(points[..., 2], NEAREST)
    return np.stack([fx * points[..., 0] / depth + cx, fy * points[..., 1] / depth + cy], -1)


def world(person: Person) -> Floats:
    """(23, 3) where our keypoints are according to the world landmarks: metres relative to the hips, camera axes.

    A network's landmark is not quite our keypoint (its nose lies deeper, its hips closer together), and its depth is
    biased. Both were measured on labelled people and are corrected: by offsets along the camera's axes, and by offsets
    along the trunk's axes, which turn with the body.
    """
    found = heard(person)
    trunk_is_seen = found.seen[[*SHOULDERS, *HIPS]].min() > 0
    turned = fitted().body_offsets @ trunk_axes(found.world) if trunk_is_seen else 0.0
    return found.world + fitted().camera_offsets + turned


def trunk_axes(points: NDArray) -> Floats:
    """(..., 3, 3) unit rows to the body's left, up the trunk and forward, from keypoints (..., 23, 3), metres; 0 if
    undefined.
    """
    (left, right), (left_hip, right_hip) = SHOULDERS, HIPS
    points = points.astype(np.float64)
    across = points[..., left, :] - points[..., right, :] + points[..., left_hip, :] - points[..., right_hip, :]
    ahead = forward(points)
    axes = np.stack([across, np.cross(ahead, across), ahead], -2)
    return axes / np.maximum(np.linalg.norm(axes, axis=-1, keepdims=True), 1e-9)


def as_the_crop_sees(group: DrawnGroup) -> Floats:
    """(G, 23, 3) keypoints relative to the middle of the hips, metres, turned so that z is the ray through the crop's
    centre.
    """
    keypoints = group.group.keypoints.astype(np.float64)
    about = keypoints - keypoints[:, HIPS].mean(1, keepdims=True)
    return about @ turn_to_crop(group.group.person).T


def turn_to_crop(person: Person) -> Floats:
    """(3, 3) the smallest rotation that turns the ray through the crop's centre onto z.

    The detector sees the crop alone: it treats a person at the picture's edge as if the camera looked straight at them.
    """
    fx, fy, cx, cy = person.camera.astype(np.float64)
    ray = np.array([(person.crop[0] - cx) / fx, (person.crop[1] - cy) / fy, 1.0])
    x, y, z = ray / np.linalg.norm(ray)
    return np.array(
        [[z + y * y / (1 + z), -x * y / (1 + z), -x], [-x * y / (1 + z), z + x * x / (1 + z), -y], [x, y, z]]
    )


def forward(keypoints: NDArray) -> Floats:
    """(..., 3) direction in which the chest faces, not normalised, from keypoints (..., 23, 3), metres."""
    points = keypoints.astype(np.float64)
    (left, right), (left_hip, right_hip) = SHOULDERS, HIPS
    across = points[..., left, :] - points[..., right, :] + points[..., left_hip, :] - points[..., right_hip, :]
    up = points[..., left, :] + points[..., right, :] - points[..., left_hip, :] - points[..., right_hip, :]
    return np.cross(across, up)


def segment_lengths(points: NDArray) -> Floats:
    """(..., 10) lengths of trunk sides, upper arms, forearms, thighs and shins from keypoints (..., 23, 3), in their
    unit (metres).
    """
    return np.linalg.norm(points[..., _ENDS[:, 0], :].astype(np.float64) - points[..., _ENDS[:, 1], :], axis=-1)


_CHAIN = (("shoulder", "hip"), ("shoulder", "elbow"), ("elbow", "wrist"), ("hip", "knee"), ("knee", "ankle"))
_ENDS = np.array([[INDEX[f"{s} {a}"], INDEX[f"{s} {b}"]] for s in ("left", "right") for a, b in _CHAIN])


def segment_weights(weights: Floats) -> Floats:
    """(10,) weight of each of those segments: the smaller of its two ends' weights; weights (23,), 0..1."""
    return weights[_ENDS].min(1)
