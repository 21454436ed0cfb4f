"""Meshes for the browser: vertices and joints of a hypothesis as float32 bytes, faces once, spread of the joints."""

from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray

from hmr.body.body import Body
from hmr.body.rotations import rotation_matrices
from hmr.body.skeleton import JOINT_NAMES, PARENTS
from storage.records import Group


@torch.no_grad()
def vertices_of(body: Body, group: Group, hypothesis: int) -> NDArray[np.float32]:
    """Vertices (V, 3) of one hypothesis, metres, camera frame."""
    one = slice(hypothesis, hypothesis + 1)
    pose, translation = (torch.from_numpy(values[one]) for values in (group.pose, group.translation))
    return body(rotation_matrices(pose), torch.from_numpy(group.betas)[None], translation).vertices[0].numpy()


def mesh_bytes(body: Body, group: Group, hypothesis: int) -> bytes:
    """Vertices, then the 29 joints of a hypothesis: x, y, z each, metres, camera frame, little-endian float32."""
    both = np.concatenate([vertices_of(body, group, hypothesis), group.joints[hypothesis]])
    return both.astype("<f4").tobytes()


def faces_bytes(body: Body) -> bytes:
    """Three vertices of each triangle, little-endian uint32."""
    return np.asarray(body.faces).astype("<u4").tobytes()


def joint_spread(joints: Float[np.ndarray, "hypothesis 29 3"]) -> dict[str, Any]:
    """How far each joint spreads over a group: its ellipsoid of one standard deviation, pelvises aligned, metres.

    `mean` (29, 3) from the pelvis; `axes` (29, 3, 3), each row a half axis of the ellipsoid (an eigenvector of the
    covariance, as long as the square root of its eigenvalue); `deviation` (29,) root of the mean squared distance.
    """
    from_pelvis = joints.astype(np.float64) - joints[:, :1]
    mean = from_pelvis.mean(0)
    gaps = from_pelvis - mean
    covariance = np.einsum("gji,gjk->jik", gaps, gaps) / len(joints)
    values, vectors = np.linalg.eigh(covariance)
    axes = np.swapaxes(vectors, 1, 2) * np.sqrt(np.clip(values, 0, None))[..., None]
    return {
        "names": JOINT_NAMES,
        "parents": PARENTS,
        "mean": mean.round(5).tolist(),
        "axes": axes.round(5).tolist(),
        "deviation": np.sqrt(np.trace(covariance, axis1=1, axis2=2)).round(5).tolist(),
    }
