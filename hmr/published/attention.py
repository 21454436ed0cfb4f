"""What HypoNet and ScoreNet are both built of: position codes, masked linear layers and attention blocks.

Names of parameters are those of the official checkpoints. Source: ScoreHypo (Xu et al., CVPR 2024).
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Real
from torch import Tensor, nn
from torch.nn import functional

WIDTH = 512
HEADS = 8
START_DROPOUT = 0.25


class ImageContext(NamedTuple):
    """Keys and values that one block's cross-attention reads: 64 cells of the global map, split into heads."""

    keys: Float[Tensor, "image head cell channel"]
    values: Float[Tensor, "image head cell channel"]


def sinusoid(positions: Real[Tensor, "*b"], channels: int) -> Float[Tensor, "*b channel"]:
    """Sines, then cosines, of positions (steps) at frequencies 10000^(-i / (channels / 2 - 1)); values -1 to 1."""
    half = channels // 2
    rates = torch.exp(torch.arange(half, device=positions.device) * (-math.log(10000.0) / (half - 1)))
    angles = positions[..., None].float() * rates
    return torch.cat([angles.sin(), angles.cos()], -1)


def grid_code(channels: int, side: int) -> Float[Tensor, "cell channel"]:
    """Position codes, -1 to 1, of a square map, row by row; the first half of the channels is for the column."""
    half = channels // 2
    rates = torch.exp(torch.arange(0, half, 2) * (-math.log(10000.0) / half))
    angles = torch.arange(side)[:, None] * rates
    line = torch.stack([angles.sin(), angles.cos()], -1).flatten(1)  # (side, half): even sines, odd cosines
    columns = line[None].expand(side, -1, -1)
    rows = line[:, None].expand(-1, side, -1)
    return torch.cat([columns, rows], -1).flatten(0, 1)


def linear(x: Float[Tensor, "*b into"], weight: Float[Tensor, "out into"], bias: Tensor) -> Float[Tensor, "*b out"]:
    """A linear layer, x times transposed weights plus bias; in float32 on a CPU as a 1 x 1 convolution.

    PyTorch uses MKL for products of matrices and oneDNN for convolutions. MKL is slow on processors that are not
    Intel's: there oneDNN is more than twice as fast. On Intel's both are equally fast.
    """
    if x.device.type != "cpu" or x.dtype != torch.float32 or torch.is_autocast_enabled("cpu"):
        return functional.linear(x, weight, bias)
    rows = x.reshape(1, -1, 1, x.shape[-1]).permute(0, 3, 1, 2)  # channels last, as it lies in memory
    made = functional.conv2d(rows, weight[:, :, None, None], bias)
    return made.permute(0, 2, 3, 1).reshape(*x.shape[:-1], len(weight))


class FastLinear(nn.Linear):
    """`nn.Linear` by way of `linear`."""

    def forward(self, input: Tensor) -> Tensor:
        """(*b, into) to (*b, out), with this layer's weights."""
        return linear(input, self.weight, self.bias)


class MaskedLinear(nn.Linear):
    """A linear layer whose masked weights count as zero, even if training or a checkpoint has other values there."""

    mask: Tensor

    def __init__(self, mask: Float[Tensor, "out into"]) -> None:
        super().__init__(mask.shape[1], mask.shape[0])
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, input: Tensor) -> Tensor:
        """(*b, into) to (*b, out), with this layer's weights times its mask."""
        return functional.linear(input, self.weight * self.mask, self.bias)


def start_tokens(
    linear: nn.Module, norm: nn.Module, x: Float[Tensor, "b d"], tokens: int
) -> Float[Tensor, "b token channel"]:
    """Vectors (latents) to tokens: masked linear layer, group norm over the flat vector, leaky ReLU, dropout."""
    raised = functional.leaky_relu(norm(linear(x)), 0.2)
    return functional.dropout(raised, START_DROPOUT, linear.training).unflatten(1, (tokens, -1))


class Attention(nn.Module):
    """Multi-head attention with the parameters of torch's own; `project` makes queries, keys and values."""

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.in_proj_weight = nn.Parameter(torch.empty(3 * WIDTH, WIDTH))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * WIDTH))
        self.out_proj = FastLinear(WIDTH, WIDTH)
        self.dropout = dropout
        nn.init.xavier_uniform_(self.in_proj_weight)

    def project(self, x: Float[Tensor, "b token 512"], first: int, last: int) -> list[Tensor]:
        """Parts first to last - 1 of (queries, keys, values) of token vectors, each (b, head, token, channel)."""
        weight = self.in_proj_weight[first * WIDTH : last * WIDTH]
        made = linear(x, weight, self.in_proj_bias[first * WIDTH : last * WIDTH])
        return list(made.unflatten(-1, (last - first, HEADS, -1)).permute(2, 0, 3, 1, 4))

    def attend(
        self, queries: Tensor, keys: Tensor, values: Tensor, seen: Bool[Tensor, "token token"] | None = None
    ) -> Float[Tensor, "b token 512"]:
        """Attention of queries, keys and values (b, head, token, channel), and the output projection to token vectors.

        A token attends only to those where `seen` is true; None = all.
        """
        dropout = self.dropout if self.training else 0.0
        mixed = functional.scaled_dot_product_attention(queries, keys, values, seen, dropout)
        return self.out_proj(mixed.transpose(1, 2).flatten(2))


class Block(nn.Module):
    """Pre-norm transformer block: self-attention within reach, cross-attention to the image, feed-forward.

    Hypotheses of one image share its context: their tokens attend to it as one long row, so that nothing is
    repeated per hypothesis. norms_first: order of the parameters, on which the lists of averaged weights depend.
    """

    def __init__(self, dropout: float = 0.1, *, norms_first: bool = True) -> None:
        super().__init__()
        self.dropout = dropout
        if norms_first:
            self.norm1 = nn.LayerNorm(WIDTH)
        self.self_attn = Attention(dropout)
        if norms_first:
            self.norm2 = nn.LayerNorm(WIDTH)
        self.multihead_attn = Attention(dropout)
        self.linear1 = FastLinear(WIDTH, 4 * WIDTH)
        self.linear2 = FastLinear(4 * WIDTH, WIDTH)
        if not norms_first:
            self.norm1 = nn.LayerNorm(WIDTH)
            self.norm2 = nn.LayerNorm(WIDTH)
        self.norm3 = nn.LayerNorm(WIDTH)

    def remember(self, cells: Float[Tensor, "image cell 512"], code: Float[Tensor, "cell 512"]) -> ImageContext:
        """Keys and values of the image map; the same for every hypothesis and every network call."""
        (keys,) = self.multihead_attn.project(cells + code, 1, 2)
        (values,) = self.multihead_attn.project(cells, 2, 3)
        return ImageContext(keys, values)

    def forward(
        self,
        x: Float[Tensor, "b 52 512"],
        context: ImageContext,
        code: Float[Tensor, "52 512"],
        seen: Bool[Tensor, "52 52"],
    ) -> Float[Tensor, "b 52 512"]:
        """Token vectors x after the block. Rows of one image follow each other in b; code: positions of tokens."""
        normed = self.norm1(x)
        queries, keys = self.self_attn.project(normed + code, 0, 2)
        (values,) = self.self_attn.project(normed, 2, 3)
        x = x + self._drop(self.self_attn.attend(queries, keys, values, seen))
        normed = self.norm2(x) + code
        images = len(context.keys)
        (queries,) = self.multihead_attn.project(normed.reshape(images, -1, WIDTH), 0, 1)
        attended = self.multihead_attn.attend(queries, context.keys, context.values)
        x = x + self._drop(attended.reshape(x.shape))
        raised = self._drop(torch.relu_(self.linear1(self.norm3(x))))
        return x + self._drop(self.linear2(raised))

    def _drop(self, x: Tensor) -> Tensor:
        return functional.dropout(x, self.dropout, self.training)


def initialise(network: nn.Module) -> None:
    """Start of training: Kaiming normal weights, biases .01, each linear layer scaled to Frobenius norm 1 at most."""
    for module in network.modules():
        if isinstance(module, nn.Linear):
            nn.init.kaiming_normal_(module.weight)
            nn.init.constant_(module.bias, 0.01)
            with torch.no_grad():
                module.weight /= module.weight.norm().clamp(min=1)
