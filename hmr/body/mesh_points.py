"""Joints and keypoints from the vertices of a body's own mesh, by the regressors of its file."""

import numpy as np
from jaxtyping import Float

from hmr.body.body_file import BodyArrays

FACE = ("nose", "leye", "reye", "lear", "rear")
LIMBS = (16, 17, 18, 19, 20, 21, 1, 2, 4, 5, 7, 8)
FEET = ("LBigToe", "LSmallToe", "LHeel", "RBigToe", "RSmallToe", "RHeel")
"""SMPL's keypoints, in the order of KEYPOINT_NAMES: surface points of face and feet, joints for the limbs."""


def joints_of_mesh(arrays: BodyArrays, vertices: Float[np.ndarray, "g v 3"]) -> Float[np.ndarray, "g 29 3"]:
    """The 29 joints, in the unit of the vertices: mixtures of vertices, and five leaves that are vertices."""
    joints = np.einsum("jv,gvc->gjc", arrays.J_regressor, vertices)
    return np.concatenate([joints, vertices[:, arrays.leaf_vertex_ids]], 1).astype(np.float32)


def keypoints_of_mesh(arrays: BodyArrays, vertices: Float[np.ndarray, "g v 3"]) -> Float[np.ndarray, "g 23 3"]:
    """The 23 keypoints, in the unit of the vertices."""
    if arrays.keypoint_regressor is not None:
        return np.einsum("kv,gvc->gkc", arrays.keypoint_regressor, vertices).astype(np.float32)
    face, feet = (vertices[:, [arrays.vertex_ids[name] for name in names]] for names in (FACE, FEET))
    return np.concatenate([face, joints_of_mesh(arrays, vertices)[:, list(LIMBS)], feet], 1).astype(np.float32)
