"""Linear blend skinning as one product: what joints carry of a point, times where the joints went.

A point that lies at x at rest and has weight w_j on joint j goes to

    sum_j w_j (G_j x + t_j),    t_j = p_j - G_j r_j

with the joints' turns G_j, their places p_j, and their places at rest r_j. So it is a row of 24 x (w_j x, w_j) times a
table of 24 x (G_j, t_j), for any number of poses at a time. A fixed mixture of vertices is such a row as well, the sum
of theirs: keypoints need no vertices. A vertex has weight on few joints: the many zeros of its row are left out.

Source: Loper et al. 2015, SMPL, equations 2-4.
"""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn


class BlendShapes(nn.Module):
    """Points before they are skinned: template + betas shapes + (R - I) bends; a point may have any axes."""

    template: Tensor
    shapes: Tensor
    bends: Tensor | None  # none where they are all zero

    def __init__(
        self,
        template: Float[np.ndarray, "*point"],
        shapes: Float[np.ndarray, "*point 10"],
        bends: Float[np.ndarray, "*point 207"] | None = None,
    ) -> None:
        super().__init__()
        self.axes = template.shape

        def keep(name: str, values: np.ndarray) -> None:
            self.register_buffer(name, torch.as_tensor(values, dtype=torch.float32), persistent=False)

        def by_component(blends: np.ndarray) -> np.ndarray:
            return np.ascontiguousarray(blends.reshape(-1, blends.shape[-1]).T)

        keep("template", template.reshape(-1))
        keep("shapes", by_component(shapes))
        if bends is None or not bends.any():
            self.bends = None
        else:
            keep("bends", by_component(bends))

    def forward(
        self, betas: Float[Tensor, "person 10"], pose: Float[Tensor, "batch 24 3 3"] | None = None
    ) -> Float[Tensor, "rest ..."]:
        """Points at rest, metres for places: one row per person, or one per pose if there are pose corrections.

        Without a pose they are those of the T-pose.
        """
        shaped = torch.addmm(self.template, betas, self.shapes)
        if self.bends is not None and pose is not None:
            eye = torch.eye(3, dtype=pose.dtype, device=pose.device)
            shaped = shaped.repeat_interleave(len(pose) // len(betas), 0)
            shaped = torch.addmm(shaped, (pose[:, 1:] - eye).flatten(1), self.bends)
        return shaped.unflatten(1, self.axes)


class SparseSkin(nn.Module):
    """A mesh's vertices and the joints on which each has weight."""

    vertex: Tensor  # (pair,) of vertex and joint with a weight
    weight: Tensor  # (pair, 1)
    rows: Tensor  # (4 pair,) of the table of joints
    starts: Tensor  # (vertex,) where its part of `rows` begins

    def __init__(self, weights: Float[np.ndarray, "vertex 24"]) -> None:
        super().__init__()
        vertex, joint = weights.nonzero()
        parts = {
            "vertex": vertex,
            "weight": weights[vertex, joint, None],
            "rows": (4 * joint[:, None] + np.arange(4)).reshape(-1),
            "starts": 4 * np.searchsorted(vertex, np.arange(len(weights))),
        }
        for name, values in parts.items():
            self.register_buffer(name, torch.as_tensor(values), persistent=False)

    def forward(
        self, rest: Float[Tensor, "rest vertex 3"], table: Float[Tensor, "rest 96 column"]
    ) -> Float[Tensor, "batch vertex 3"]:
        """Vertices at rest, metres, moved by the joints of `joint_table`; each row of `rest` has batch / rest poses."""
        return torch.cat([self._posed(points, joints) for points, joints in zip(rest, table)]).contiguous()

    def _posed(self, rest: Tensor, table: Tensor) -> Tensor:
        carried = torch.cat([rest[self.vertex] * self.weight, self.weight], 1).flatten()
        columns = torch.nn.functional.embedding_bag(  # the product of a sparse matrix with a dense one
            self.rows, table, self.starts, mode="sum", per_sample_weights=carried
        )
        return columns.unflatten(1, (-1, 3)).transpose(0, 1)


def skin_mixtures(
    carried: Float[Tensor, "rest point 24 4"], table: Float[Tensor, "rest 96 column"]
) -> Float[Tensor, "batch point 3"]:
    """Points, metres, from what each joint carries of them (`carried_by_joints`); each rest has batch / rest poses."""
    columns = carried.flatten(2) @ table
    return columns.unflatten(2, (-1, 3)).transpose(1, 2).flatten(0, 1)


def carried_by_joints(
    mixtures: Float[np.ndarray, "point vertex"],
    weights: Float[np.ndarray, "vertex 24"],
    places: Float[np.ndarray, "vertex 3 some"],
) -> Float[np.ndarray, "point 24 4 some"]:
    """What each joint carries of mixtures of vertices: sums of mixture x weight x place, and of mixture x weight.

    In the unit of `places` (metres); the last of the four numbers is the joint's share, a unit-free weight. It is set
    for the first of `some` places only; the others are shifts of it, and have 0.
    """
    carried = np.zeros((len(mixtures), weights.shape[1], 4, places.shape[-1]))
    for point, mixture in zip(carried, mixtures):
        mixed = np.flatnonzero(mixture)
        shares = mixture[mixed, None].astype(np.float64) * weights[mixed]
        point[:, :3] = np.tensordot(shares.T, places[mixed].astype(np.float64), 1)
        point[:, 3, 0] = shares.sum(0)
    return carried


def joint_table(
    turns: Float[Tensor, "batch 24 3 3"],
    places: Float[Tensor, "batch 24 3"],
    rest: Float[Tensor, "batch 24 3"],
    rests: int,
) -> Float[Tensor, "rest 96 column"]:
    """G_j (rotation matrices) and t_j (metres) of all 24 joints, one below the other.

    `rests` is the number of rest skeletons; each column is one coordinate of one of its batch / rests poses.
    """
    moved = places - (turns @ rest[..., None])[..., 0]
    joints = torch.cat([turns, moved[..., None]], -1).unflatten(0, (rests, -1))  # rest, pose, joint, to, from
    return joints.permute(0, 2, 4, 1, 3).flatten(3).flatten(1, 2)
