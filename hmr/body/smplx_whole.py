"""SMPL-X as it is: all 55 joints, so that fingers, jaw, eyes and expression move; the rest of the project folds it."""

from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from hmr.body.body_file import read_whole_smplx
from hmr.body.smplx_fold import SMPLX_JOINTS, SMPLX_PARENTS


class WholeOutput(NamedTuple):
    """A posed SMPL-X body, metres, in the frame of pose and translation."""

    vertices: Float[Tensor, "batch 10475 3"]
    joints: Float[Tensor, "batch 55 3"]


class WholeSmplx(nn.Module):
    """SMPL-X from the user's own file; raises BodyFileError if it cannot be used.

    Skinning is that of the `smplx` package, whose loader, which runs pickles, is not used.
    """

    template: Tensor
    blends: Tensor
    bends: Tensor
    regressor: Tensor
    weights: Tensor
    parents: Tensor

    def __init__(self, path: Path) -> None:
        super().__init__()
        arrays = read_whole_smplx(path)
        self.faces = arrays.f
        bends = torch.from_numpy(arrays.posedirs)
        buffers = {
            "template": torch.from_numpy(arrays.v_template)[None],
            "blends": torch.cat([torch.from_numpy(arrays.shapedirs), torch.from_numpy(arrays.expressions)], -1),
            "bends": bends.reshape(-1, bends.shape[-1]).T.contiguous(),
            "regressor": torch.from_numpy(arrays.J_regressor),
            "weights": torch.from_numpy(arrays.weights),
            "parents": torch.tensor([-1, *SMPLX_PARENTS[1:]]),
        }
        for name, values in buffers.items():
            self.register_buffer(name, values)

    def forward(
        self,
        pose: Float[Tensor, "batch 55 3"],
        betas: Float[Tensor, "batch 10"],
        translation: Float[Tensor, "batch 3"],
        expression: Float[Tensor, "batch 10"] | None = None,
    ) -> WholeOutput:
        """pose: axis-angles, radians, fingers about the flat hand; translation: added to the posed body, metres."""
        from smplx.lbs import lbs  # here: it imports slowly

        count = len(pose)
        shapes: Any = torch.cat([betas, torch.zeros_like(betas) if expression is None else expression], 1)
        turns: Any = pose.reshape(count, 3 * SMPLX_JOINTS)
        arrays: Any = (self.template.expand(count, -1, -1), self.blends, self.bends, self.regressor, self.parents)
        vertices, joints = lbs(shapes, turns, *arrays, self.weights)  # type: ignore[arg-type]
        return WholeOutput(vertices + translation[:, None], joints + translation[:, None])
