"""Drawn-up people whose every label is known, for fixtures in the formats of others.

    scene = people_scene(12, seed=0)
    scene.flat(COCO_17), scene.space(H36M_17)      points by the names of a set

Bodies are the project's free body, so the numbers belong to no dataset; whoever reads them back can be held to them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from hmr.body.body import Body, load_body
from hmr.body.skeleton import JOINT_NAMES, KEYPOINT_NAMES
from hmr.studio.pose_prior import sample_angles, to_rotations
from storage.sources.joint_sets import H36M, plain_name

Reals = NDArray[np.float64]
SIZE = (1280, 960)

_ALIASES = {
    "torso": "spine2", "thorax": "neck", "jaw": "nose", "spine4": "spine3", "left_toe": "left_big_toe",
    "right_toe": "right_big_toe", "left_eyeball": "left_eye", "right_eyeball": "right_eye",
}  # fmt: skip


@cache
def free_body() -> Body:
    return load_body()


@dataclass(frozen=True)
class Scene:
    """n people before a camera each. Metres, OpenCV camera frame, pixels of pictures of SIZE."""

    orient: Reals  # (n, 3)
    pose: Reals  # (n, 23, 3)
    betas: Reals  # (n, 10)
    transl: Reals  # (n, 3) of the pelvis, which lies at the origin of the rest body
    joints: dict[str, Reals]  # name -> (n, 3)
    pixels: dict[str, Reals]  # name -> (n, 2)
    camera: Reals  # (n, 3, 3)
    world: Reals  # (n, 4, 4) world to camera
    told_world: Reals  # (n, 4, 4) the same as files tell it

    def __len__(self) -> int:
        return len(self.orient)

    def space(self, names: Sequence[str]) -> Reals:
        """(n, J, 3); points that nobody has lie at the pelvis."""
        return np.stack([self.joints.get(_known(name), self.joints["pelvis"]) for name in names], 1)

    def flat(self, names: Sequence[str]) -> Reals:
        """(n, J, 2) px."""
        return np.stack([self.pixels.get(_known(name), self.pixels["pelvis"]) for name in names], 1)

    def boxes(self) -> Reals:
        """(n, 4) xywh, a fifth larger than the points."""
        points = self.flat([*JOINT_NAMES])
        low, high = points.min(1), points.max(1)
        size = 1.2 * (high - low)
        return np.concatenate([(low + high - size) / 2, size], 1)

    def squares(self) -> tuple[Reals, Reals]:
        """Centres (n, 2) and sides (n,) of square boxes, px."""
        box = self.boxes()
        return box[:, :2] + box[:, 2:] / 2, box[:, 2:].max(1)

    def take(self, rows: slice) -> "Scene":
        parts = {name: value[rows] for name, value in vars(self).items() if isinstance(value, np.ndarray)}
        points = {name: {key: one[rows] for key, one in getattr(self, name).items()} for name in ("joints", "pixels")}
        return replace(self, **parts, **points)


def _known(name: str) -> str:
    plain = plain_name(name).removesuffix(H36M)
    return _ALIASES.get(plain, plain)


@cache
def people_scene(count: int = 12, seed: int = 0, kind: str = "hard") -> Scene:
    """People at rest, at work, at sports; some sit or lie. `kind` is of the pose prior."""
    rng = np.random.default_rng(seed)
    drawn = to_rotations(np.stack([sample_angles(rng, kind) for _ in range(count)])).astype(np.float64)
    vectors = Rotation.from_matrix(drawn.reshape(-1, 3, 3)).as_rotvec().reshape(count, 24, 3)
    pose = vectors[:, 1:]
    turns = Rotation.from_euler("zyx", np.stack([  # upright (y down), any heading, a little tilt
        rng.normal(0, 0.15, count), rng.uniform(-np.pi, np.pi, count), np.pi + rng.normal(0, 0.15, count)
    ], 1))  # fmt: skip
    orient = (turns * Rotation.from_rotvec(vectors[:, 0])).as_rotvec()
    betas = rng.normal(0, 0.5, (count, 10))
    transl = np.stack([rng.uniform(-0.5, 0.5, count), rng.uniform(-0.2, 0.2, count), rng.uniform(3, 7, count)], 1)
    matrices = Rotation.from_rotvec(np.concatenate([orient[:, None], pose], 1).reshape(-1, 3)).as_matrix()
    posed = free_body()(
        torch.tensor(matrices.reshape(count, 24, 3, 3), dtype=torch.float32),
        *(torch.tensor(part, dtype=torch.float32) for part in (betas, transl)),
    )
    joints = {name: posed.joints[:, k].double().numpy() for k, name in enumerate(JOINT_NAMES)}
    joints |= {
        name: posed.keypoints[:, k].double().numpy() for k, name in enumerate(KEYPOINT_NAMES) if name not in joints
    }
    focal = rng.uniform(900, 1300, count)
    camera = np.zeros((count, 3, 3))
    camera[:, 0, 0], camera[:, 1, 1], camera[:, 2, 2] = focal, focal, 1
    camera[:, 0, 2], camera[:, 1, 2] = SIZE[0] / 2, SIZE[1] / 2
    pixels = {name: projected(points, camera) for name, points in joints.items()}
    world = np.tile(np.eye(4), (count, 1, 1))
    turn = Rotation.from_euler("yx", np.stack([rng.uniform(-3, 3, count), rng.normal(0, 0.3, count)], 1))
    world[:, :3, :3], world[:, :3, 3] = turn.as_matrix(), rng.normal(0, 2, (count, 3))
    return Scene(orient, pose, betas, transl, joints, pixels, camera, world, world)


def projected(points: Reals, camera: Reals) -> Reals:
    """(n, 2) px of (n, 3)."""
    seen = np.einsum("nij,nj->ni", camera, points)
    return seen[:, :2] / seen[:, 2:]


def to_world(scene: Scene, rest: Reals) -> tuple[Reals, Reals]:
    """Root and translation in the world of bodies whose rest pelvis lies at `rest` (n, 3)."""
    turn, shift = scene.world[:, :3, :3], scene.world[:, :3, 3]
    back = np.swapaxes(turn, 1, 2)
    root = Rotation.from_matrix(back @ Rotation.from_rotvec(scene.orient).as_matrix()).as_rotvec()
    return root, np.einsum("nij,nj->ni", back, scene.transl - shift) - rest
