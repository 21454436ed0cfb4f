"""The body: pose, shape and place in, vertices, joints and keypoints out.

Three kinds of file can be used: the free body shipped in `hmr/assets`, and a licensed SMPL or SMPL-X file of the user's
own; SMPL-X is folded onto SMPL's joints (`smplx_fold`). Nothing downstream depends on which it is, or on the number of
vertices. The free body is not SMPL: its betas are not SMPL's betas, and its errors cannot be compared with published
ones. SMPL-X's betas are not SMPL's either.
"""

import hashlib
from importlib import resources
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn

from hmr.body.body_file import BodyArrays, BodyFileError, read_body_file
from hmr.body.kinematics import forward_kinematics
from hmr.body.mesh_points import FACE, FEET, LIMBS
from hmr.body.skeleton import JOINT_NAMES, PARENTS, SMPL_JOINTS
from hmr.body.skinning import BlendShapes, SparseSkin, carried_by_joints, joint_table, skin_mixtures

__all__ = ["Body", "BodyFileError", "BodyOutput", "BodyPoints", "body_digest", "load_arrays", "load_body"]

_SHIPPED = resources.files("hmr") / "assets" / "body_light.npz"


class BodyOutput(NamedTuple):
    """A posed body, metres, in the frame of the pose and translation given (ours: the camera's, y down)."""

    vertices: Float[Tensor, "batch vertex 3"]
    joints: Float[Tensor, "batch 29 3"]
    keypoints: Float[Tensor, "batch 23 3"]


class BodyPoints(NamedTuple):
    """A posed body without its surface; as in `BodyOutput`."""

    joints: Float[Tensor, "batch 29 3"]
    keypoints: Float[Tensor, "batch 23 3"]


class _Joints(NamedTuple):
    turns: Float[Tensor, "batch 24 3 3"]
    places: Float[Tensor, "batch 24 3"]
    rest: Float[Tensor, "batch 24 3"]


class Body(nn.Module):
    """A skinned body. Differentiable in pose, betas and translation; has no parameters of its own.

    `betas` have a row for each person. With several poses per person, the first batch / person poses are the first
    person's, and so on. This is the cheapest way to pose hypotheses, since each person is shaped once.
    """

    def __init__(self, arrays: BodyArrays) -> None:
        super().__init__()
        self.name = arrays.name
        self.faces = arrays.f
        self.template = arrays.v_template
        self.skin_weights = arrays.weights
        self.sides = limb_sides(arrays.weights, arrays.f)
        self.vertex_count = len(arrays.v_template)
        self.parents = PARENTS
        self.regressed = arrays.keypoint_regressor is not None
        self.leaf_count = len(arrays.leaf_vertex_ids)
        self.skeleton = BlendShapes(_of_joints(arrays, arrays.v_template), _of_joints(arrays, arrays.shapedirs))
        self.surface = BlendShapes(arrays.v_template, arrays.shapedirs, arrays.posedirs)
        self.carried = _carried(arrays)
        self.skin = SparseSkin(arrays.weights)

    def forward(
        self,
        pose: Float[Tensor, "batch 24 3 3"],
        betas: Float[Tensor, "person 10"],
        translation: Float[Tensor, "batch 3"],
    ) -> BodyOutput:
        """Linear blend skinning of rotation matrices (root first), shape and translation in metres.

        The root turns the body about its pelvis joint, not about the origin: translation moves it afterwards. Raises
        ValueError if the number of poses is not a multiple of the number of people.
        """
        joints = self._joints(pose, betas, translation)
        surface = self.surface(betas, pose)
        vertices = self.skin(surface, joint_table(*joints, len(surface)))
        return BodyOutput(vertices, *self._points(pose, betas, joints))

    def points(
        self,
        pose: Float[Tensor, "batch 24 3 3"],
        betas: Float[Tensor, "person 10"],
        translation: Float[Tensor, "batch 3"],
    ) -> BodyPoints:
        """Joints and keypoints, metres, as in `forward`, but much faster: no vertex is skinned. Raises as it does."""
        return self._points(pose, betas, self._joints(pose, betas, translation))

    def _joints(self, pose: Tensor, betas: Tensor, translation: Tensor) -> _Joints:
        if len(pose) % len(betas):
            raise ValueError(f"{len(pose)} poses of {len(betas)} people: each person needs as many as the others")
        rest = self.skeleton(betas).repeat_interleave(len(pose) // len(betas), 0)
        places, turns = forward_kinematics(pose, rest, translation)
        return _Joints(turns, places[:, :SMPL_JOINTS], rest[:, :SMPL_JOINTS])

    def _points(self, pose: Tensor, betas: Tensor, joints: _Joints) -> BodyPoints:
        carried = self.carried(betas, pose)
        posed = skin_mixtures(carried, joint_table(*joints, len(carried)))
        leaves, keypoints = posed[:, : self.leaf_count], posed[:, self.leaf_count :]
        if not self.regressed:
            keypoints = _with_limbs(keypoints, joints.places)
        return BodyPoints(torch.cat([joints.places, leaves], 1), keypoints)

    def carried_keypoints(
        self, pose: Float[Tensor, "batch 24 3 3"], betas: Float[Tensor, "batch 10"]
    ) -> tuple[Float[Tensor, "batch 23 24 3"], Float[Tensor, "23 24"]]:
        """Which part of each keypoint each of the 24 joints carries: points (metres, T-pose), and shares (0-1).

        With the joints' places p_j, turns G_j and places at rest r_j, linear blend skinning puts keypoint k at

            sum_j G_j (points[k, j] - shares[k, j] r_j) + shares[k, j] p_j

        so that keypoints can be posed without the vertices. The surface's pose corrections are those of `pose`.
        """
        carried = self.carried(betas, pose)[:, self.leaf_count :]
        if not self.regressed:
            rest = self.skeleton(betas)[:, :SMPL_JOINTS]
            whole = torch.cat([rest, torch.ones_like(rest[..., :1])], -1)
            carried = _with_limbs(carried, torch.diag_embed(whole.transpose(1, 2)).permute(0, 2, 3, 1))
        return carried[..., :3], carried[0, ..., 3]

    def rest_joints(self, betas: Float[Tensor, "batch 10"]) -> Float[Tensor, "batch 29 3"]:
        """The 29 joints of the shaped body in T-pose, metres, y up, facing +z."""
        return self.skeleton(betas)


def _with_limbs(surface: Float[Tensor, "batch 11 *part"], joints: Float[Tensor, "batch 24 *part"]) -> Tensor:
    """All 23 keypoints from those of face and feet and from the joints, of which twelve are keypoints themselves."""
    face, feet = surface.split([len(FACE), len(FEET)], 1)
    return torch.cat([face, joints[:, list(LIMBS)], feet], 1)


def _of_joints(arrays: BodyArrays, places: Float[np.ndarray, "vertex ..."]) -> Float[np.ndarray, "29 ..."]:
    """Values of the 29 joints from those of the vertices: the regressor's mixtures, and the leaf vertices."""
    regressed = np.tensordot(arrays.J_regressor.astype(np.float64), places.astype(np.float64), 1)
    return np.concatenate([regressed, places[arrays.leaf_vertex_ids]])


def _carried(arrays: BodyArrays) -> BlendShapes:
    """The part that each joint carries of the leaves, and of the keypoints that are mixtures of vertices."""
    regressor, template = arrays.keypoint_regressor, arrays.v_template
    surface = [arrays.vertex_ids[name] for name in FACE + FEET] if regressor is None else []
    single = [*arrays.leaf_vertex_ids, *surface]
    mixtures = np.zeros((len(single), len(template)))
    mixtures[range(len(single)), single] = 1
    mixtures = mixtures if regressor is None else np.concatenate([mixtures, regressor])
    bends = arrays.posedirs if arrays.posedirs.any() else arrays.posedirs[..., :0]
    carried = carried_by_joints(
        mixtures, arrays.weights, np.concatenate([template[..., None], arrays.shapedirs, bends], -1)
    )
    first = 1 + arrays.shapedirs.shape[-1]
    return BlendShapes(carried[..., 0], carried[..., 1:first], carried[..., first:] if bends.size else None)


def limb_sides(weights: NDArray[np.floating], faces: NDArray[np.integer]) -> NDArray[np.uint8]:
    """0 trunk and head, 1 left arm or leg, 2 right arm or leg, for each face (F,).

    weights (V, 24): share of each joint in a vertex; faces (F, 3). A face belongs to the joint that moves it most; a
    collar moves the chest.
    """
    side = {"left": 1, "right": 2}
    sides = [0 if j.endswith("collar") else side.get(j.split("_")[0], 0) for j in JOINT_NAMES[:SMPL_JOINTS]]
    return np.array(sides, np.uint8)[weights[faces].sum(axis=1).argmax(axis=1)]


def load_body(path: Path | None = None) -> Body:
    """The body in the file, or the free body shipped with the project; raises BodyFileError if it cannot be used."""
    return Body(load_arrays(path))


def load_arrays(path: Path | None = None) -> BodyArrays:
    """The arrays of which `load_body` makes a body; raises BodyFileError if the file cannot be used."""
    if path is not None:
        return read_body_file(Path(path))
    with resources.as_file(_SHIPPED) as shipped:
        return read_body_file(shipped)


def body_digest(path: Path | None = None) -> str:
    """First 16 hex digits of the sha256 of a body's file, or of the free body's."""
    return hashlib.sha256((_SHIPPED if path is None else Path(path)).read_bytes()).hexdigest()[:16]
