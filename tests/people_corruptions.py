"""Ways in which labels come in other units, axes, frames and orders than their format says.

`CORRUPTIONS` names each, the label that it is put on, and what becomes of a scene. A corruption that a file cannot show
(people who are twice as large twice as far away) is none of them.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from scipy.spatial.transform import Rotation

from storage.sources.joint_sets import SMPL_24
from tests.people_scene import Reals, Scene

Turn = Callable[[Reals], Reals]


class Corruption(NamedTuple):
    """What is done to the labels of a file, of which it must have `label`."""

    name: str
    label: str
    of: Callable[[Scene, np.random.Generator], Scene]


def _space(turn: Turn) -> Callable[[Scene, np.random.Generator], Scene]:
    return lambda scene, _: replace(scene, joints={name: turn(points) for name, points in scene.joints.items()})


def _flat(turn: Turn) -> Callable[[Scene, np.random.Generator], Scene]:
    return lambda scene, _: replace(scene, pixels={name: turn(points) for name, points in scene.pixels.items()})


def _field(name: str, turn: Turn) -> Callable[[Scene, np.random.Generator], Scene]:
    return lambda scene, _: replace(scene, **{name: turn(getattr(scene, name))})


def _columns(order: list[int], signs: tuple[int, int, int] = (1, 1, 1)) -> Turn:
    return lambda points: points[..., order] * np.array(signs)


def _rotated(euler: tuple[float, float, float]) -> Turn:
    """Roots in axes turned against the camera's."""
    turn = Rotation.from_euler("xyz", euler)
    return lambda vectors: (turn * Rotation.from_rotvec(vectors)).as_rotvec()


def _orders(which: str) -> Callable[[Scene, np.random.Generator], Scene]:
    """The names of the body's points go round by chance: another order of joints."""

    def shuffled(scene: Scene, rng: np.random.Generator) -> Scene:
        held = getattr(scene, which)
        names = [name for name in SMPL_24 if name in held and name != "pelvis"]
        while True:
            mixed = rng.permutation(names).tolist()
            if sum(a != b for a, b in zip(names, mixed)) >= len(names) - 4:
                return replace(scene, **{which: held | {a: held[b] for a, b in zip(names, mixed)}})

    return shuffled


def _pose_orders(scene: Scene, rng: np.random.Generator) -> Scene:
    """SMPL-X's or OpenPose's order of limbs: rotations belong to other joints."""
    return replace(scene, pose=scene.pose[:, rng.permutation(23)])


def _transposed(world: Reals) -> Reals:
    """Row-major for column-major: the transposed rotation is that of camera to world."""
    out = world.copy()
    out[:, :3, :3] = np.swapaxes(world[:, :3, :3], 1, 2)
    return out


def _in_millimetres(world: Reals) -> Reals:
    out = world.copy()
    out[:, :3, 3] *= 1000
    return out


CORRUPTIONS = (
    Corruption("3-D points in mm", "kp3d", _space(lambda x: 1000 * x)),
    Corruption("3-D points in km", "kp3d", _space(lambda x: x / 1000)),
    Corruption("3-D points y up", "kp3d", _space(_columns([0, 1, 2], (1, -1, 1)))),
    Corruption("3-D points y up, z backward", "kp3d", _space(_columns([0, 1, 2], (1, -1, -1)))),
    Corruption("3-D points x and y swapped", "kp3d", _space(_columns([1, 0, 2]))),
    Corruption("3-D points y and z swapped", "kp3d", _space(_columns([0, 2, 1]))),
    Corruption("3-D points x and z swapped", "kp3d", _space(_columns([2, 1, 0]))),
    Corruption("3-D points in another order", "kp3d", _orders("joints")),
    Corruption("2-D points x and y swapped", "kp2d", _flat(lambda x: x[..., ::-1])),
    Corruption("2-D points y up", "kp2d", _flat(lambda x: np.stack([x[..., 0], 960 - x[..., 1]], -1))),
    Corruption("2-D points as shares", "kp2d", _flat(lambda x: x / np.array([1280.0, 960.0]))),
    Corruption("2-D points times 1000", "kp2d", _flat(lambda x: 1000 * x)),
    Corruption("2-D points in another order", "kp2d", _orders("pixels")),
    Corruption("translations in mm", "transl", _field("transl", lambda x: 1000 * x)),
    Corruption("translations in km", "transl", _field("transl", lambda x: x / 1000)),
    Corruption("translations y up, z backward", "transl", _field("transl", _columns([0, 1, 2], (1, -1, -1)))),
    Corruption("translations y and z swapped", "transl", _field("transl", _columns([0, 2, 1]))),
    Corruption("roots y up", "root", _field("orient", _rotated((np.pi, 0, 0)))),
    Corruption("roots of another axis", "root", _field("orient", _rotated((np.pi / 2, 0, 0)))),
    Corruption("roots transposed", "root", _field("orient", lambda x: -x)),
    Corruption("rotations transposed", "pose", _field("pose", lambda x: -x)),
    Corruption("rotations about x, z, y", "pose", _field("pose", _columns([0, 2, 1]))),
    Corruption("rotations about y, x, z", "pose", _field("pose", _columns([1, 0, 2]))),
    Corruption("rotations of other joints", "pose", _pose_orders),
    Corruption("rotations in degrees", "pose", _field("pose", np.degrees)),
    Corruption("rotations times 1e-3", "pose", _field("pose", lambda x: x / 1000)),
    Corruption("cameras in thousandths", "camera", _field("camera", lambda x: x / 1000)),
    Corruption("cameras times 1000", "camera", _field("camera", lambda x: 1000 * x)),
    Corruption("cameras column by column", "camera", _field("camera", lambda x: np.swapaxes(x, 1, 2))),
    Corruption("worlds transposed", "world", _field("told_world", _transposed)),
    Corruption("worlds in mm", "world", _field("told_world", _in_millimetres)),
    Corruption("worlds y up", "world", _field("told_world", lambda x: np.diag([1.0, -1, -1, 1]) @ x)),
)
