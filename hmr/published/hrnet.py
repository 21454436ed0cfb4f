"""HRNetCondition, the condition encoder of the published networks: HRNet-W48 with heads (75,986,151 parameters).

Names of parameters are those of the official checkpoints. Sources: HRNet (Wang et al., TPAMI 2020) for the
backbone; ScoreHypo (Xu et al., CVPR 2024) for the heads and their quirks, which trained weights depend on.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from hmr.body.skeleton import PARENTS
from hmr.diffusion.condition import Condition, Observation
from hmr.published.token_graph import JOINTS, TWISTS

CHANNELS = (48, 96, 192, 384)
LOCAL = 256
# Means in the order blue, green, red, deviations in the order red, green, blue, on RGB pictures: as published.
_MEAN, _STD = (0.406, 0.457, 0.480), (0.225, 0.224, 0.229)
_SHARPNESS = 15.0


class HRNetCondition(nn.Module):
    """Picture to betas, a global map (image, 512, 8, 8) and local features (image, 52, 256).

    betas: with the head for betas; ScoreNet's encoder has none, and returns zeros.
    """

    picture_side = 256
    init_shape: Tensor

    def __init__(self, betas: bool = True) -> None:
        super().__init__()
        if betas:
            self.register_buffer("init_shape", torch.zeros(10))  # mean betas of the training data
        self.checkpointing = False  # in training: keep few activations, and compute the others again
        self.conv1 = nn.Conv2d(3, 64, 3, 2, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.conv2 = nn.Conv2d(64, 64, 3, 2, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(64)
        self.layer1 = nn.Sequential(_Bottleneck(64, 64), *(_Bottleneck(256, 64) for _ in range(3)))
        self.transition1 = nn.ModuleList([_unit(256, 48), nn.Sequential(_unit(256, 96, stride=2))])
        self.stage2 = _stage(1, 2)
        self.transition2 = _branch_off(2)
        self.stage3 = _stage(4, 3)
        self.transition3 = _branch_off(3)
        self.stage4 = _stage(3, 4)
        raised = [128, 256, 512, 1024]
        self.incre_modules = nn.ModuleList(
            nn.Sequential(_Bottleneck(before, after // 4)) for before, after in zip(CHANNELS, raised)
        )
        self.downsamp_modules = nn.ModuleList(
            _unit(before, after, stride=2, bias=True) for before, after in pairwise(raised)
        )
        self.final_feat_layer = nn.Sequential(nn.Conv2d(1024, 2048, 1), nn.BatchNorm2d(2048), nn.ReLU())
        self.pred_beta = nn.Linear(2048, 10) if betas else None
        self.fmap_layer = nn.Conv2d(1024, 512, 1)
        self.fmap_layer_local = nn.Conv2d(48, LOCAL, 1)
        self.hmap_layer = nn.Conv2d(LOCAL, JOINTS, 1)

    def forward(self, observation: Observation) -> Condition:
        """Betas (image, 10), and as context "global" (image, 512, 8, 8) and "local" (image, 52, 256) features."""
        lowest, local_map = self.features(normalised(observation.picture))
        if self.pred_beta is None:
            betas = lowest.new_zeros(len(lowest), 10)
        else:
            betas = self.pred_beta(self.final_feat_layer(lowest).mean((2, 3))) + self.init_shape
        places = heat_joints(self.hmap_layer(local_map))
        local = sample_local(local_map, places[:, None])[:, 0]
        return Condition(betas, {"global": self.fmap_layer(lowest), "local": local})

    def maps(self, picture: UInt8[Tensor, "image 256 256 3"]) -> tuple[Tensor, Tensor]:
        """Global map (image, 512, 8, 8) and the local map (image, 256, 64, 64) before it is sampled."""
        lowest, local_map = self.features(normalised(picture))
        return self.fmap_layer(lowest), local_map

    def features(
        self, x: Float[Tensor, "image 3 256 256"]
    ) -> tuple[Float[Tensor, "image 1024 8 8"], Float[Tensor, "image 256 64 64"]]:
        """Features of normalised pixels: the coarsest map, from all four scales, and the local map of the finest."""
        # Faster on accelerators; on CPUs it gains nothing.
        x = x.contiguous(memory_format=torch.channels_last if x.is_cuda else torch.contiguous_format)
        x = torch.relu(self.bn1(self.conv1(x)))
        x = self._through(self.layer1, torch.relu(self.bn2(self.conv2(x))))
        scales = self._through(self.stage2, [transition(x) for transition in self.transition1])
        scales = self._through(self.stage3, [*scales, self.transition2[-1](scales[-1])])
        scales = self._through(self.stage4, [*scales, self.transition3[-1](scales[-1])])
        raised = [module(scale) for module, scale in zip(self.incre_modules, scales)]
        lowest = raised[0]
        for down, scale in zip(self.downsamp_modules, raised[1:]):
            lowest = scale + down(lowest)
        return lowest, self.fmap_layer_local(scales[0])

    def _through(self, stage: nn.Sequential, x: Any) -> Any:
        """A stage, part by part; with `checkpointing` only the activations between the parts are kept."""
        if not (self.checkpointing and torch.is_grad_enabled()):
            return stage(x)
        for part in stage:
            x = checkpoint(part, x, use_reentrant=False)
        return x


def normalised(picture: UInt8[Tensor, "image 256 256 3"]) -> Float[Tensor, "image 3 256 256"]:
    """RGB pictures (0-255) as the published weights expect them, with their mixed channel orders of mean and std."""
    mean, deviation = (torch.tensor(values, device=picture.device) for values in (_MEAN, _STD))
    return ((picture.float() / 255 - mean) / deviation).permute(0, 3, 1, 2)


def heat_joints(heat: Float[Tensor, "image joint h w"]) -> Float[Tensor, "image joint 2"]:
    """Expected place (x, y) of each joint under a softmax of sharpened weights, crop coordinates -1 to just below 1.

    Computed in float64, returned in float32.
    """
    height, width = heat.shape[2:]
    chance = (heat.double() * _SHARPNESS).flatten(2).softmax(-1).unflatten(2, (height, width))
    columns, rows = (torch.arange(n, device=heat.device, dtype=torch.float64) for n in (width, height))
    x, y = (chance.sum(2) * columns).sum(-1), (chance.sum(3) * rows).sum(-1)
    return (2 * torch.stack([x / width - 0.5, y / height - 0.5], -1)).float()


def sample_local(
    local_map: Float[Tensor, "image channel h w"], places: Float[Tensor, "image hypothesis 29 2"]
) -> Float[Tensor, "image hypothesis 52 channel"]:
    """Features of the local map at the joints and at the middles of the bones of joints 1-23.

    places: crop coordinates, -1 to 1. As published, x and y are exchanged at the middles of the bones: the trained
    weights expect it.
    """
    parents = list(PARENTS[1 : TWISTS + 1])
    amid = (places[:, :, parents] + places[:, :, 1 : TWISTS + 1]) / 2
    grid = torch.cat([places, amid.flip(-1)], 2)
    sampled = functional.grid_sample(local_map, grid, "bilinear", "zeros", align_corners=True)
    return sampled.permute(0, 2, 3, 1)


def _unit(
    before: int, after: int, *, kernel: int = 3, stride: int = 1, bias: bool = False, relu: bool = True
) -> nn.Sequential:
    layers = [nn.Conv2d(before, after, kernel, stride, kernel // 2, bias=bias), nn.BatchNorm2d(after)]
    return nn.Sequential(*layers, *([nn.ReLU()] if relu else []))


class _Basic(nn.Module):
    """Residual block of two 3x3 convolutions."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x))))))


class _Bottleneck(nn.Module):
    """Residual block 1x1, 3x3, 1x1 that ends with four times its width."""

    def __init__(self, before: int, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * width)
        self.downsample = None if before == 4 * width else _unit(before, 4 * width, kernel=1, relu=False)

    def forward(self, x: Tensor) -> Tensor:
        inner = torch.relu(self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x))))))
        past = x if self.downsample is None else self.downsample(x)
        return torch.relu(past + self.bn3(self.conv3(inner)))


class _Module(nn.Module):
    """Branches of different scale, four blocks each, and their exchange."""

    def __init__(self, scales: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(nn.Sequential(*(_Basic(c) for _ in range(4))) for c in CHANNELS[:scales])
        self.fuse_layers = nn.ModuleList(
            nn.ModuleList(_exchange(source, target) for source in range(scales)) for target in range(scales)
        )

    def forward(self, scales: list[Tensor]) -> list[Tensor]:
        scales = [branch(scale) for branch, scale in zip(self.branches, scales)]
        return [
            torch.relu(sum(layer(scale) for layer, scale in zip(row, scales)))  # type: ignore[arg-type]
            for row in self.fuse_layers
        ]


def _exchange(source: int, target: int) -> nn.Module:
    """What brings the features of one scale to another: nearest upsampling, or a chain of strided convolutions."""
    before, after = CHANNELS[source], CHANNELS[target]
    if source == target:
        return nn.Identity()
    if source > target:
        up = nn.Upsample(scale_factor=2 ** (source - target), mode="nearest")
        return nn.Sequential(*_unit(before, after, kernel=1, relu=False), up)
    steps = target - source
    chain = [_unit(before, before, stride=2) for _ in range(steps - 1)]
    return nn.Sequential(*chain, _unit(before, after, stride=2, relu=False))


def _stage(modules: int, scales: int) -> nn.Sequential:
    return nn.Sequential(*(_Module(scales) for _ in range(modules)))


def _branch_off(scales: int) -> nn.ModuleList:
    """The transition that adds a scale; the others pass as they are."""
    passing: Sequence[nn.Module] = [nn.Identity() for _ in range(scales)]
    return nn.ModuleList([*passing, nn.Sequential(_unit(CHANNELS[scales - 1], CHANNELS[scales], stride=2))])
