"""SMPL-X as it is: all 55 joints, so that fingers, jaw, eyes and expression move; the rest of the project folds it."""

from pathlib import Path
from typing import NamedTuple

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

    def __init__(self, path: Path) -> None:
        super().__init__()
        arrays = read_whole_smplx(path)
        self.faces = arrays.f
        blends = torch.cat([torch.from_numpy(arrays.shapedirs), torch.from_numpy(arrays.expressions)], -1)
        bends = torch.from_numpy(arrays.posedirs)
        self.register_buffer("template", torch.from_numpy(arrays.v_template)[None])
        self.register_buffer("blends", blends)
        self.register_buffer("bends", bends.reshape(-1, bends.shape[-1]).T.contiguous())
        self.register_buffer("regressor", torch.from_numpy(arrays.J_regressor))
        self.register_buffer("weights", torch.from_numpy(arrays.weights))
        self.register_buffer("parents", torch.tensor([-1, *SMPLX_PARENTS[1:]]))

    def forward(
        self,
        pose: Float[Tensor, "batch 55 3"],
        betas: Float[Tensor, "batch 10"],
        translation: Float[Tensor, "batch 3"],
        expression: Float[Tensor, "batch 10"] | None = None,
    ) -> WholeOutput:
        """pose: axis-angles, radians, fingers about the flat hand; translation: added to the posed body, metres."""
        from smplx.lbs import lbs  # here: it imports slowly

        shown = torch.zeros_like(betas) if expression is None else expression
        vertices, joints = lbs(
            torch.cat([betas, shown], 1), pose.reshape(len(pose), 3 * SMPLX_JOINTS), self.template.expand(len(pose), -1, -1),
            self.blends, self.bends, self.regressor, self.parents, self.weights,
        )  # fmt: skip
        return WholeOutput(vertices + translation[:, None], joints + translation[:, None])
