"""The 52 tokens of the published networks, 29 joints and 23 twists, and which of them may see each other.

Nothing of this is in a checkpoint; it follows from the joint tree. Source: ScoreHypo (Xu et al., CVPR 2024).
"""

from functools import cache

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from hmr.body.skeleton import PARENTS

JOINTS = 29
TWISTS = 23
TOKENS = JOINTS + TWISTS
ATTENTION_REACH = (7, 6, 5, 4, 3, 1)
"""Steps in the graph over which the self-attention of each block reaches."""
LINEAR_REACH = 2
"""Steps in the graph over which the first and last linear layers reach."""


@cache
def adjacency() -> Bool[Tensor, "52 52"]:
    """Which tokens are neighbours, symmetric.

    A joint's neighbours are itself, its parent and its children. The twist of a joint has the place of the joint, and
    all twists that touch one joint are neighbours of each other.
    """
    joint = torch.eye(JOINTS, dtype=torch.bool, device="cpu")  # cached: so never on the current default device
    for child, parent in enumerate(PARENTS):
        joint[child, parent] = joint[parent, child] = True
    touches = joint[1 : TWISTS + 1]  # (twist, joint)
    full = torch.zeros(TOKENS, TOKENS, dtype=torch.bool, device="cpu")
    full[:JOINTS, :JOINTS] = joint
    full[JOINTS:, :JOINTS] = touches
    full[:JOINTS, JOINTS:] = touches.T
    full[JOINTS:, JOINTS:] = touches.int() @ touches.int().T > 0
    return full


@cache
def within(steps: int) -> Bool[Tensor, "52 52"]:
    """Which tokens are at most `steps` steps apart."""
    return torch.linalg.matrix_power(adjacency().double(), steps) > 0


def linear_mask(tokens: slice, out: int, into: int) -> Float[Tensor, "rows columns"]:
    """0 where a linear layer from tokens of `into` channels to tokens of `out` channels must have no weight.

    Distances are taken over all 52 tokens and cut afterwards, so that joints two twists apart are still connected.
    """
    near = within(LINEAR_REACH)[tokens, tokens].float()
    return near.repeat_interleave(out, 0).repeat_interleave(into, 1)
