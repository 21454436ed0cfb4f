"""From one mesh to another by a matrix of the user's: SMPL-X's 10,475 vertices to SMPL's 6,890.

Each vertex of the target is a mixture of the source's: target = matrix @ source. Two files hold such a matrix:
`smplx2smpl.pkl` of BEDLAM ("matrix"), and `smplx2smpl_deftrafo_setup.pkl` of SMPL-X's own transfer model ("mtx",
whose right half is for normals). Both come with a registration at their sites and are not shipped.
"""

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from hmr.body.body_file import SMPL_VERTICES, SMPLX_VERTICES, BodyFileError, read_matrix


class MeshMap:
    """SMPL-X's mesh to SMPL's; raises BodyFileError if the file holds no such matrix."""

    def __init__(self, path: Path) -> None:
        matrix: Any = read_matrix(path, ("matrix", "mtx"))
        if matrix.shape == (SMPL_VERTICES, 2 * SMPLX_VERTICES):
            matrix = matrix[:, :SMPLX_VERTICES]
        if matrix.shape != (SMPL_VERTICES, SMPLX_VERTICES):
            raise BodyFileError(
                f"{path}: a matrix of {' x '.join(map(str, matrix.shape))}; expected {SMPL_VERTICES} x "
                f"{SMPLX_VERTICES}. Give smplx2smpl.pkl or smplx2smpl_deftrafo_setup.pkl."
            )
        if np.abs(matrix.sum(1) - 1).max() > 1e-2:
            raise BodyFileError(f"{path}: rows do not sum to 1, so they are no mixtures of vertices. Fetch it again.")
        self._matrix = matrix

    def __call__(self, vertices: Float[np.ndarray, "*batch 10475 3"]) -> Float[np.ndarray, "*batch 6890 3"]:
        """SMPL's vertices, in the unit of the given ones."""
        flat = np.moveaxis(np.asarray(vertices, np.float64), -2, 0).reshape(SMPLX_VERTICES, -1)
        batch = vertices.shape[:-2]
        return np.moveaxis((self._matrix @ flat).reshape(SMPL_VERTICES, *batch, 3), 0, -2)
