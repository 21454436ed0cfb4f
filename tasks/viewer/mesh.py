"""Meshes for the browser: vertices and joints of a hypothesis as float32 bytes, faces once, spread of the joints."""

from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray

from hmr.body.body import Body
from hmr.body.rotations import rotation_matrices
from hmr.body.skeleton import JOINT_NAMES, PARENTS
from hmr.rendering.mesh import Mesh
from storage.records import Group
from storage.records import Mesh as OwnMesh
from tasks.groups.overlays import mesh_of


@torch.no_grad()
def vertices_of(body: Body, group: Group, hypothesis: int) -> NDArray[np.float32]:
    """Vertices (V, 3) of one hypothesis, metres, camera frame; of one that is a mesh of its own, that mesh's."""
    if (own := own_mesh(group, hypothesis)) is not None:
        return own.vertices
    one = slice(hypothesis, hypothesis + 1)
    pose, translation = (torch.from_numpy(values[one]) for values in (group.pose, group.translation))
    betas = torch.from_numpy(group.betas[None] if group.shapes is None else group.shapes[one])
    return body(rotation_matrices(pose), betas, translation).vertices[0].numpy()


def own_mesh(group: Group, hypothesis: int) -> OwnMesh | None:
    """The mesh of a hypothesis that has no pose of the body in use; None if it has one."""
    return group.meshes[hypothesis] if group.meshes else None


def drawn_mesh(body: Body, group: Group, hypothesis: int) -> Mesh:
    """One hypothesis as a mesh to draw; left and right limbs are told apart in those of the body in use."""
    vertices, name = vertices_of(body, group, hypothesis), f"hypothesis {hypothesis}"
    own = own_mesh(group, hypothesis)
    return mesh_of(body, vertices, name) if own is None else Mesh(vertices, own.faces, name=name)


def mesh_bytes(body: Body, group: Group, hypothesis: int) -> bytes:
    """Vertices, then the 29 joints of a hypothesis: x, y, z each, metres, camera frame, little-endian float32.

    A joint that is not known is NaN.
    """
    both = np.concatenate([vertices_of(body, group, hypothesis), group.joints[hypothesis]])
    return both.astype("<f4").tobytes()


def faces_bytes(faces: NDArray) -> bytes:
    """Three vertices of each triangle, little-endian uint32."""
    return np.asarray(faces).astype("<u4").tobytes()


def joint_spread(joints: Float[np.ndarray, "hypothesis 29 3"]) -> dict[str, Any]:
    """How far each joint spreads over a group: its ellipsoid of one standard deviation, pelvises aligned, metres.

    `mean` (29, 3) from the pelvis; `axes` (29, 3, 3), each row a half axis of the ellipsoid (an eigenvector of the
    covariance, as long as the square root of its eigenvalue); `deviation` (29,) root of the mean squared distance. Only
    hypotheses that tell a joint count for it; None where none does.
    """
    from_pelvis = joints.astype(np.float64) - joints[:, :1]
    known = np.asarray(np.isfinite(from_pelvis).all(-1))
    count = np.maximum(known.sum(0), 1)
    filled = np.where(known[..., None], from_pelvis, 0.0)
    mean = filled.sum(0) / count[:, None]
    gaps = np.where(known[..., None], filled - mean, 0.0)
    covariance = np.einsum("gji,gjk->jik", gaps, gaps) / count[:, None, None]
    values, vectors = np.linalg.eigh(covariance)
    axes = np.swapaxes(vectors, 1, 2) * np.sqrt(np.clip(values, 0, None))[..., None]
    told = np.asarray(known.any(0))
    return {
        "names": JOINT_NAMES,
        "parents": PARENTS,
        "mean": [place if there else None for place, there in zip(mean.round(5).tolist(), told)],
        "axes": axes.round(5).tolist(),
        "deviation": np.sqrt(np.trace(covariance, axis1=1, axis2=2)).round(5).tolist(),
    }
