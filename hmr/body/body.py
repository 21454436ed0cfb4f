"""The body: pose, shape and place in, vertices, joints and keypoints out.

Three kinds of file serve through the same `smplx.SMPL`: the free body shipped in `hmr/assets`, and a licensed
SMPL or SMPL-X file of the user's own; SMPL-X is folded onto SMPL's joints (`smplx_fold`). Nothing downstream knows
which, nor writes down how many vertices there are. The free body is not SMPL: its betas are not SMPL's betas and its
errors do not compare with published ones; nor are SMPL-X's betas SMPL's.
"""

import contextlib
import hashlib
import os
from importlib import resources
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float
from smplx import SMPL
from smplx.utils import Struct
from torch import Tensor, nn

from hmr.body.body_file import BodyArrays, BodyFileError, read_body_file
from hmr.body.skeleton import PARENTS, SMPL_JOINTS

__all__ = ["Body", "BodyFileError", "BodyOutput", "body_digest", "load_body"]

_SHIPPED = resources.files("hmr") / "assets" / "body_light.npz"

# SMPL's keypoints, in the order of KEYPOINT_NAMES: surface points of face and feet, joints for the limbs.
_FACE = ("nose", "leye", "reye", "lear", "rear")
_LIMBS = (16, 17, 18, 19, 20, 21, 1, 2, 4, 5, 7, 8)
_FEET = ("LBigToe", "LSmallToe", "LHeel", "RBigToe", "RSmallToe", "RHeel")


class BodyOutput(NamedTuple):
    """A posed body, metres, in the frame of the pose and translation given (ours: the camera's, y down)."""

    vertices: Float[Tensor, "batch vertex 3"]
    joints: Float[Tensor, "batch 29 3"]
    keypoints: Float[Tensor, "batch 23 3"]


class Body(nn.Module):
    """A skinned body. Differentiable in pose, betas and translation; has no parameters of its own."""

    leaves: Tensor
    surface: Tensor  # of a body without keypoint regressor

    def __init__(self, arrays: BodyArrays) -> None:
        super().__init__()
        self.name = arrays.name
        self.faces = arrays.f
        self.template = arrays.v_template
        self.skin_weights = arrays.weights
        self.vertex_count = len(arrays.v_template)
        self.parents = PARENTS
        with (
            open(os.devnull, "w") as nowhere,
            contextlib.redirect_stdout(nowhere),
        ):  # smplx prints as it loads
            self.skin = SMPL(
                "",
                data_struct=Struct(**vars(arrays)),
                vertex_ids=dict(arrays.vertex_ids),
                create_betas=False,
                create_global_orient=False,
                create_body_pose=False,
                create_transl=False,
            )
        self.register_buffer("leaves", torch.as_tensor(arrays.leaf_vertex_ids), persistent=False)
        regressor = arrays.keypoint_regressor
        if regressor is None:
            self.keypoint_regressor = None
            surface = [arrays.vertex_ids[point] for point in _FACE + _FEET]
            self.register_buffer("surface", torch.as_tensor(surface), persistent=False)
        else:
            self.register_buffer("keypoint_regressor", torch.as_tensor(regressor), persistent=False)

    def forward(
        self,
        pose: Float[Tensor, "batch 24 3 3"],
        betas: Float[Tensor, "batch 10"],
        translation: Float[Tensor, "batch 3"],
    ) -> BodyOutput:
        """Linear blend skinning of rotation matrices (root first), shape and translation in metres.

        The root turns the body about its pelvis joint, not about the origin: translation moves it afterwards.
        Source: Loper et al. 2015, SMPL, equations 2-4, as implemented by smplx.
        """
        posed = self.skin(
            betas=betas, body_pose=pose[:, 1:], global_orient=pose[:, :1], transl=translation, pose2rot=False
        )
        vertices, joints = posed.vertices.contiguous(), posed.joints[:, :SMPL_JOINTS]
        if self.keypoint_regressor is None:
            surface = vertices[:, self.surface]
            parts = (surface[:, : len(_FACE)], joints[:, list(_LIMBS)], surface[:, len(_FACE) :])
            keypoints = torch.cat(parts, 1)
        else:
            keypoints = self.keypoint_regressor @ vertices
        return BodyOutput(vertices, torch.cat([joints, vertices[:, self.leaves]], 1), keypoints)

    def carried_keypoints(
        self, pose: Float[Tensor, "batch 24 3 3"], betas: Float[Tensor, "batch 10"]
    ) -> tuple[Float[Tensor, "batch 23 24 3"], Float[Tensor, "23 24"]]:
        """What part of each keypoint each of the 24 joints carries: points, metres, T-pose, and shares.

        With the joints' places p_j, turns G_j and places at rest r_j, linear blend skinning puts keypoint k at

            sum_j G_j (points[k, j] - shares[k, j] r_j) + shares[k, j] p_j

        so that keypoints can be posed without the vertices. What bends the surface with the pose is taken from `pose`.
        """
        skin, weights = self.skin, self.skin.get_buffer("lbs_weights")
        shaped = skin.get_buffer("v_template") + torch.einsum("bk,vck->bvc", betas, skin.get_buffer("shapedirs"))
        eye = torch.eye(3, dtype=pose.dtype, device=pose.device)
        bent = shaped + ((pose[:, 1:] - eye).flatten(1) @ skin.get_buffer("posedirs")).view_as(shaped)
        if self.keypoint_regressor is not None:
            points = torch.einsum("kv,vj,bvc->bkjc", self.keypoint_regressor, weights, bent)
            return points, self.keypoint_regressor @ weights
        face, feet = self.surface[: len(_FACE)], self.surface[len(_FACE) :]
        limbs = torch.nn.functional.one_hot(torch.tensor(_LIMBS), SMPL_JOINTS).to(bent)
        shares = torch.cat([weights[face], limbs, weights[feet]])
        rest = skin.get_buffer("J_regressor") @ shaped
        places = torch.cat([bent[:, face], rest[:, list(_LIMBS)], bent[:, feet]], 1)
        return shares[..., None] * places[:, :, None], shares

    def rest_joints(self, betas: Float[Tensor, "batch 10"]) -> Float[Tensor, "batch 29 3"]:
        """The 29 joints of the shaped body in T-pose, metres, y up, facing +z."""
        template, shapes = self.skin.get_buffer("v_template"), self.skin.get_buffer("shapedirs")
        shaped = template + torch.einsum("bk,vck->bvc", betas, shapes)
        return torch.cat([self.skin.get_buffer("J_regressor") @ shaped, shaped[:, self.leaves]], 1)


def load_body(path: Path | None = None) -> Body:
    """The body in the file, or the free body shipped with the project; raises BodyFileError."""
    if path is not None:
        return Body(read_body_file(Path(path)))
    with resources.as_file(_SHIPPED) as shipped:
        return Body(read_body_file(shipped))


def body_digest(path: Path | None = None) -> str:
    """First 16 hex digits of the sha256 of a body's file, or of the free body's."""
    return hashlib.sha256((_SHIPPED if path is None else Path(path)).read_bytes()).hexdigest()[:16]
