"""SMPL-X's 55 joints folded onto the tree of 24 that everything here is written for.

SMPL-X (Pavlakos et al. 2019) has SMPL's joints 0-21, then jaw and two eyes, which hang on the head, then fifteen finger
joints a side, which hang on the wrist. As long as face and fingers are not bent, they move with head and wrist as if
they were rigid: then the folded body has exactly the vertices of the whole one.

What is lost: fingers (flat hands, which bend at the knuckles as one piece where a pose bends joints 22 and 23 as
SMPL's), jaw, eyes and expression.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from hmr.body.skeleton import PARENTS, SMPL_JOINTS

SMPLX_JOINTS = 55
SHARED = 22
"""Joints that both trees have under the same numbers: pelvis to wrists."""
HEAD, FACE = 15, (22, 23, 24)
LEFT_FINGERS, RIGHT_FINGERS = tuple(range(25, 40)), tuple(range(40, 55))
KNUCKLES = (28, 43)
"""First joints of the middle fingers, where SMPL's hand joints 22 and 23 are put."""
HANDS = (22, 23)


def _parents() -> tuple[int, ...]:
    fingers = [(wrist if k % 3 == 0 else first + k - 1) for wrist, first in ((20, 25), (21, 40)) for k in range(15)]
    return (*PARENTS[:SHARED], *[HEAD] * len(FACE), *fingers)


SMPLX_PARENTS = _parents()
"""Parent of each of SMPL-X's 55 joints; the root points at itself. Each finger is a chain of three from the wrist."""


class FoldedBody(NamedTuple):
    """Arrays of a body of 24 joints; V vertices."""

    shapedirs: Float[np.ndarray, "vertex 3 10"]
    posedirs: Float[np.ndarray, "vertex 3 207"]
    J_regressor: Float[np.ndarray, "24 vertex"]
    weights: Float[np.ndarray, "vertex 24"]
    kintree_table: Int[np.ndarray, "2 24"]


def fold_smplx(
    shapedirs: Float[np.ndarray, "vertex 3 shape"],
    posedirs: Float[np.ndarray, "vertex 3 486"],
    J_regressor: Float[np.ndarray, "55 vertex"],
    weights: Float[np.ndarray, "vertex 55"],
) -> FoldedBody:
    """The body of 24 joints, metres as in the file; the template stays the same.

        weights[:, 15] += weights of jaw and eyes
        weights[:, 22] = sum of the left fingers', weights[:, 23] = sum of the right ones'

    The hands' joints lie where the middle fingers begin. Pose corrections are those of joints 1-21; the hands have
    none. Of the shape components (300 or 10 of the body, then those of expression) the first ten are kept.
    """
    folded = np.zeros((len(weights), SMPL_JOINTS), weights.dtype)
    folded[:, :SHARED] = weights[:, :SHARED]
    folded[:, HEAD] += weights[:, FACE].sum(1)
    for hand, fingers in zip(HANDS, (LEFT_FINGERS, RIGHT_FINGERS)):
        folded[:, hand] = weights[:, fingers].sum(1)
    corrections = np.zeros((*posedirs.shape[:2], 9 * (SMPL_JOINTS - 1)), posedirs.dtype)
    kept = 9 * (SHARED - 1)  # one for each entry of the rotation matrices of joints 1-21
    corrections[:, :, :kept] = posedirs[:, :, :kept]
    return FoldedBody(
        shapedirs=np.ascontiguousarray(shapedirs[:, :, :10]),
        posedirs=corrections,
        J_regressor=J_regressor[[*range(SHARED), *KNUCKLES]],
        weights=folded,
        kintree_table=np.array([PARENTS[:SMPL_JOINTS], range(SMPL_JOINTS)], np.int64),
    )
