"""What HypoNet and ScoreNet share: from a diffused vector to 52 tokens, and the codes and masks of their blocks."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from hmr.diffusion.latent import JOINT_DIMS, TWIST_DIMS
from hmr.published.attention import WIDTH, MaskedLinear, grid_code, sinusoid, start_tokens
from hmr.published.token_graph import ATTENTION_REACH, JOINTS, TOKENS, TWISTS, linear_mask, within

JOINT_CHANNELS = 256
MAP_SIDE = 8
OF_JOINTS, OF_TWISTS = slice(0, JOINTS), slice(JOINTS, TOKENS)


class TokenNetwork(nn.Module):
    """The start layers, under the official names, and buffers that no checkpoint holds.

    code (52, 512) and cell_code (64, 512): position codes of tokens and of cells of the global map; seen (6, 52, 52):
    which tokens see each other in each block.
    """

    code: Tensor
    cell_code: Tensor
    seen: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.linear_start_j = MaskedLinear(linear_mask(OF_JOINTS, JOINT_CHANNELS, 3))
        self.bn_start_j = nn.GroupNorm(32, JOINTS * JOINT_CHANNELS)
        self.linear_start_t = MaskedLinear(linear_mask(OF_TWISTS, JOINT_CHANNELS, 2))
        self.bn_start_t = nn.GroupNorm(32, TWISTS * JOINT_CHANNELS)
        self.register_buffer("code", sinusoid(torch.arange(TOKENS), WIDTH), persistent=False)
        self.register_buffer("cell_code", grid_code(WIDTH, MAP_SIDE), persistent=False)
        self.register_buffer("seen", torch.stack([within(k) for k in ATTENTION_REACH]), persistent=False)

    def tokens(self, vectors: Float[Tensor, "b 133"], local: Float[Tensor, "b 52 256"]) -> Float[Tensor, "b 52 512"]:
        """Token vectors: learned channels of each joint and twist from latents, then image features at its place."""
        joints, twists = vectors.split([JOINT_DIMS, TWIST_DIMS], -1)
        learned = [
            start_tokens(self.linear_start_j, self.bn_start_j, joints, JOINTS),
            start_tokens(self.linear_start_t, self.bn_start_t, twists, TWISTS),
        ]
        return torch.cat([torch.cat(learned, 1), local], -1)
