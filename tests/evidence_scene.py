"""A person whose evidence is exactly the projection of a known pose of the free body, and hypotheses.

person = person_in(TRUE_POSE)
drawn = hypotheses(person, [TRUE_POSE, bent(TRUE_POSE, "left_knee", x=-70)])
"""

from dataclasses import replace
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from critique.checks.fitted import fitted
from critique.checks.landmarks import LANDMARK, trunk_axes
from hmr.body.body import load_body
from hmr.body.penetration import self_penetration
from hmr.body.skeleton import JOINT_NAMES
from hmr.rendering.rasterizer import draw_silhouettes, project
from storage.records import DrawnGroup, Group, Person
from tests.factories import make_person

CAMERA = np.float32([1000, 1000, 640, 360])
PLACE = np.array([0.2, 0.1, 4.0])  # metres, camera frame
SCALE = 50.0
NEIGHBOURS = {1: 2, 3: 2, 4: 5, 6: 5, 9: 0, 10: 0, **dict.fromkeys((17, 19, 21), 15), **dict.fromkeys((18, 20, 22), 16)}
"""Landmarks that are none of our keypoints (of eyes, mouth, fingers), and which one they lie beside."""


@cache
def body():
    return load_body()


def bent(pose: NDArray, joint: str, **degrees: float) -> NDArray:
    """The pose (24, 3) with one joint turned further about its axes x, y, z in turn, after its own turn."""
    changed = pose.copy()
    turn = Rotation.from_rotvec(pose[JOINT_NAMES.index(joint)])
    for axis, angle in degrees.items():
        turn = turn * Rotation.from_euler(axis, angle, degrees=True)
    changed[JOINT_NAMES.index(joint)] = turn.as_rotvec()
    return changed


def true_pose() -> NDArray:
    """Facing the camera, arms down, left arm bent forward, right leg a step ahead. (24, 3), radians."""
    pose = np.zeros((24, 3))
    pose[0] = (np.pi, 0, 0)  # body frame (y up, facing +z) to camera frame (y down, z forward)
    for joint, degrees in {
        "left_shoulder": {"z": -60},
        "right_shoulder": {"z": 60},
        "left_elbow": {"y": -70},
        "right_elbow": {"y": 15},
        "right_hip": {"x": -30},
        "right_knee": {"x": 25},
        "left_knee": {"x": 8},
    }.items():
        pose = bent(pose, joint, **degrees)
    return pose


TRUE_POSE = true_pose()


def posed(poses: NDArray, places: NDArray):
    """Vertices, joints, keypoints, metres, of poses (G, 24, 3) at places (G, 3)."""
    turns = Rotation.from_rotvec(poses.reshape(-1, 3)).as_matrix().reshape(-1, 24, 3, 3)
    with torch.no_grad():
        found = body()(torch.tensor(turns).float(), torch.zeros(len(turns), 10), torch.tensor(places).float())
    return found.vertices.numpy(), found.joints.numpy(), found.keypoints.numpy()


def silhouettes(vertices: NDArray, person: Person) -> NDArray[np.uint8]:
    """(G, 64, 64) over the model crop."""
    points = np.stack([project(mesh, person.camera) for mesh in vertices])
    points[..., :2] = (points[..., :2] - person.crop[:2]) * 64 / person.crop[2] + 32
    return draw_silhouettes(points, body().faces, 64)


def person_in(pose: NDArray) -> Person:
    """The person at PLACE in that pose, seen perfectly, but that landmarks are not our keypoints; no second look."""
    vertices, _, keypoints = posed(pose[None], PLACE[None])
    pixels = project(keypoints[0], CAMERA)[:, :2]
    landmarks, world = np.zeros((33, 4)), np.zeros((33, 3))
    kept = np.array([i for i in range(23) if i not in (18, 21)])  # small toes share a landmark with the big ones
    landmarks[LANDMARK[kept], :2], landmarks[LANDMARK[kept], 3] = pixels[kept], 0.9
    low, high = pixels.min(0), pixels.max(0)
    crop = np.float32([*((low + high) / 2), 1.25 * (high - low).max()])
    ray = np.array([*((crop[:2] - CAMERA[2:]) / CAMERA[:2]), 1])  # the detector's z: it sees the crop alone
    axis = np.cross(ray, (0, 0, 1))
    to_z = Rotation.from_rotvec(axis / np.linalg.norm(axis) * np.arccos(ray[2] / np.linalg.norm(ray)))
    about = to_z.apply(keypoints[0] - keypoints[0, [11, 12]].mean(0))
    world[LANDMARK[kept]] = landmarks_for(about)[kept]
    landmarks[LANDMARK[kept], 2] = about[kept, 2] * CAMERA[0] / PLACE[2]
    for guessed, neighbour in NEIGHBOURS.items():
        landmarks[guessed], world[guessed] = landmarks[neighbour], world[neighbour]
    person = make_person(
        np.random.default_rng(0),
        camera=CAMERA,
        crop=crop,
        box=np.float32([*low, *high]),
        landmarks=np.float32(landmarks),
        world_landmarks=np.float32(world),
    )
    return replace(person, mask=silhouettes(vertices, person)[0])


def landmarks_for(keypoints: NDArray) -> NDArray:
    """(23, 3) world landmarks that are read as these keypoints (23, 3) about the hips."""
    details = keypoints
    for _ in range(30):  # the offsets turn with the trunk that the landmarks tell
        details = keypoints - fitted().camera_offsets - fitted().body_offsets @ trunk_axes(details)
    return details


def with_second_look(person: Person, landmarks: NDArray | None = None, world: NDArray | None = None) -> Person:
    """The person, whom a second network saw in the same places unless others are given: (33, 4) and (33, 3)."""
    look = (person.landmarks if landmarks is None else landmarks, person.world_landmarks if world is None else world)
    return replace(person, second_look=np.float32(np.concatenate(look, 1)))


def hypotheses(person: Person, poses: list[NDArray], places: list[NDArray] | None = None) -> DrawnGroup:
    """The poses as a drawn group about a person; at PLACE unless places are given."""
    count = len(poses)
    place = np.array([PLACE] * count if places is None else places)
    vertices, joints, keypoints = posed(np.array(poses), place)
    latents = np.zeros((count, 133))
    pixels = np.stack([project(each, person.camera)[:, :2] for each in joints])
    unit = (pixels - person.crop[:2]) * 2 / person.crop[2]
    depth = joints[..., 2:] - joints[:, :1, 2:]
    latents[:, :87] = SCALE * np.concatenate([unit, depth], -1).reshape(count, 87)
    group = Group(
        person=person,
        model_digest="0" * 16,
        temperature=1.0,
        betas=np.zeros(10, np.float32),
        seeds=np.arange(count),
        zero_start=np.arange(count) == 0,
        synthetic=np.zeros(count, bool),
        latents=np.float32(latents),
        pose=np.float32(poses),
        translation=np.float32(place),
        joints=np.float32(joints),
        keypoints=np.float32(keypoints),
    )
    return DrawnGroup(group, silhouettes(vertices, person), np.float32(self_penetration(joints)))


def mirrored_in_depth(drawn: DrawnGroup, hypothesis: int) -> DrawnGroup:
    """One hypothesis with what is near and far of its hips exchanged, and the same projection."""

    def mirror(points: NDArray, about: float) -> NDArray:
        depth = 2 * about - points[:, 2:]
        return points / points[:, 2:] * depth

    group = drawn.group
    keypoints, joints = group.keypoints.copy(), group.joints.copy()
    about = float(keypoints[hypothesis, [11, 12], 2].mean())
    keypoints[hypothesis] = mirror(keypoints[hypothesis], about)
    joints[hypothesis] = mirror(joints[hypothesis], about)
    return replace(drawn, group=replace(group, keypoints=keypoints, joints=joints))
