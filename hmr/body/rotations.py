"""Rotations as matrices and as vectors (axis times angle, radians), in both directions."""

import numpy as np
import torch
from jaxtyping import Float
from scipy.spatial.transform import Rotation
from torch import Tensor

_TINY = 1e-12


def rotation_vectors(matrices: Float[Tensor, "*b 3 3"] | Float[np.ndarray, "*b 3 3"]) -> Float[np.ndarray, "*b 3"]:
    """Axis times angle, radians, of rotation matrices; the angle is at most pi. float32, computed in float64."""
    exact = np.asarray(matrices, np.float64)
    vectors = Rotation.from_matrix(exact.reshape(-1, 3, 3)).as_rotvec()
    return vectors.reshape(exact.shape[:-1]).astype(np.float32)


def rotation_matrices(vectors: Float[Tensor, "*b 3"]) -> Float[Tensor, "*b 3 3"]:
    """Matrices of rotation vectors (radians); differentiable everywhere, also at the zero vector.

        R = I + sin(a) / a K + (1 - cos(a)) / a^2 K^2,    K = cross-product matrix of the vector, a its length

    Source: Rodrigues' formula; near zero the series of the two factors, which agrees with them to the last digit.
    """
    square = vectors.square().sum(-1)
    small = square < 1e-6
    angle = square.clamp(min=_TINY).sqrt()
    first = torch.where(small, 1 - square / 6, angle.sin() / angle)[..., None, None]
    second = torch.where(small, 0.5 - square / 24, 2 * (angle / 2).sin().square() / angle.square())[..., None, None]
    x, y, z = vectors.unbind(-1)
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).reshape(*vectors.shape, 3)
    return torch.eye(3, dtype=vectors.dtype, device=vectors.device) + first * cross + second * (cross @ cross)
