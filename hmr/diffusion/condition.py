"""What a model knows about a person: observations in, a condition out.

`ConditionEncoder` is the one protocol that every base model's encoder follows. The embedded encoder
(`LandmarkEncoder`) reads the detector's landmarks, that of version 0.1 (`CropEncoder`) also the pixels of the person
crop; the published networks read HRNet features.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn

from hmr.diffusion.latent import DIMS
from hmr.diffusion.noise_schedule import DATA_SCALE

LANDMARKS = 33
PICTURE = 128
"""Side of the picture that is stored with a person, px; its mask has half that side."""
PATCH = 8
PLACES = (0, 11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28)
"""Landmarks of the nose, shoulders, elbows, wrists, hips, knees and ankles."""
FARTHEST = 3.0
"""Landmarks are clamped to this many crop units from the centre: beyond that the detector only guesses."""


class Observation(NamedTuple):
    """People as any encoder may see them: pixels and detections, never labels. One row per person."""

    picture: UInt8[Tensor, "image side side 3"]  # RGB of the crop; `side` px as the encoder wants it
    mask: UInt8[Tensor, "image 64 64"]  # person probability x 255 over the crop
    landmarks: Float[Tensor, "image 33 4"]  # crop coordinates u, v (-1..1), z in the same unit, visibility 0..1
    world: Float[Tensor, "image 33 3"]  # world landmarks, metres about the hips

    def select(self, index: Int[Tensor, " some"]) -> "Observation":
        """The people with these row numbers, in that order; crop units and metres as above."""
        return Observation(*(part[index] for part in self))


@dataclass(frozen=True)
class Condition:
    """An encoder's output for each image; the encoder and its noise predictor agree on the names in `context`."""

    betas: Float[Tensor, "image 10"]
    context: dict[str, Tensor]  # first axis: image

    def select(self, index: Tensor) -> "Condition":
        """The images with these row numbers (some,), in that order; betas are unit-free shape weights."""
        return type(self)(self.betas[index], {name: part[index] for name, part in self.context.items()})

    def to(self, device: torch.device) -> "Condition":
        """The same condition on another device."""
        return type(self)(self.betas.to(device), {name: part.to(device) for name, part in self.context.items()})


class ConditionEncoder(Protocol):
    """Anything that turns observations into a condition."""

    picture_side: int  # px, of the pictures that it reads

    def __call__(self, observation: Observation) -> Condition: ...


class CropEncoder(nn.Module):
    """Landmarks and a small image encoder on the person crop; also regresses the mean of x0 and the betas.

    The mean is what a plain regressor would answer; the noise predictor models the rest around it. Regression plus
    residual learns on a CPU in minutes, where noise prediction alone hardly learns the mean.

    detections: also pass the landmarks themselves to the noise predictor, beside the features, so that fine-tuning it
    can use them for people about whom the frozen features contain little.
    """

    picture_side = PICTURE

    def __init__(self, width: int = 320, features: int = 256, image: bool = True, detections: bool = False) -> None:
        super().__init__()
        self.image = image
        self.detections = detections
        if image:
            # Patches of 8 x 8 keep the look of a face at the cost of a picture a fourth as wide.
            self.patch_net = nn.Sequential(nn.Linear(PATCH * PATCH * 4, 80), nn.ReLU())
            self.picture_net = nn.Sequential(
                _Residual(80),
                _conv(80, 128, 2),
                _conv(128, 128),
                _conv(128, 128, 2),
                nn.Flatten(),
                nn.Linear(128 * 16, features),
                nn.SiLU(),
            )
        self.landmark_net = nn.Sequential(
            nn.Linear(LANDMARKS * 7, width), nn.SiLU(), nn.Linear(width, features), nn.SiLU()
        )
        self.fuse = nn.Sequential(
            nn.Dropout(0.1), nn.Linear(features * (2 if image else 1), width), nn.SiLU(), nn.Dropout(0.1),
            nn.Linear(width, features), nn.SiLU(),
        )  # fmt: skip
        self.mean_head = nn.Linear(features, DIMS)
        self.beta_head = nn.Linear(features, 10)
        # A linear path from the detections lets the network learn plain lifting easily.
        self.lifting = nn.Linear(LANDMARKS * 7, DIMS)

    def forward(self, observation: Observation) -> Condition:
        """Betas (image, 10), and as context "features" (image, channel) and "mean" of x0 (image, 133)."""
        marks = torch.cat([observation.landmarks.flatten(1), 2 * observation.world.flatten(1)], 1)
        parts = [self.landmark_net(marks)]
        if self.image:
            grid = self.patch_net(_patches(observation)).permute(0, 3, 1, 2)  # channels last in memory
            parts.append(self.picture_net(grid).float())
        features = self.fuse(torch.cat(parts, 1))
        mean = DATA_SCALE * (self.mean_head(features) + self.lifting(marks))
        joined = torch.cat([features, marks], 1) if self.detections else features
        return Condition(self.beta_head(features), {"features": joined, "mean": mean})


class LandmarkEncoder(nn.Module):
    """A residual MLP on the detector's landmarks; regresses the mean of x0, how sure each number is, and the betas.

    The mean and its spread are a Gaussian answer for each person (the spread is large where a limb is hidden); the
    noise predictor models what that answer leaves out. No picture is read, so it can be trained on bodies that were
    never drawn.

    reads: `everything` = all 33 landmarks with depth and visibility, and the world landmarks. `places` = where 13
    joints of the body are in the picture and nothing else: a base that can learn from critics, which know the rest.
    detections: also pass what was read to the noise predictor, beside the features, so that fine-tuning it can use it
    for people about whom the frozen features contain little.
    """

    picture_side = PICTURE

    def __init__(
        self, reads: Literal["everything", "places"] = "everything", width: int = 640, blocks: int = 4,
        features: int = 256, detections: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        self.reads, self.detections = reads, detections
        inputs = numbers_read(reads)
        self.start = nn.Linear(inputs, width)
        self.blocks = nn.ModuleList(_Dense(width) for _ in range(blocks))
        self.norm = nn.LayerNorm(width)
        self.features = nn.Linear(width, features)
        self.mean_head = nn.Linear(width, DIMS)
        self.spread_head = nn.Linear(width, DIMS)
        self.beta_head = nn.Linear(width, 10)
        # A linear path from the detections lets the network learn plain lifting easily.
        self.lifting = nn.Linear(inputs, DIMS)
        nn.init.zeros_(self.spread_head.weight)
        nn.init.constant_(self.spread_head.bias, -1.5)

    def forward(self, observation: Observation) -> Condition:
        """Betas (image, 10), and as context "features" (image, channel), "mean" and "spread" of x0 (image, 133)."""
        marks = self._read(observation)
        hidden = self.start(marks)
        for block in self.blocks:
            hidden = block(hidden)
        hidden = nn.functional.silu(self.norm(hidden))
        mean = DATA_SCALE * (self.mean_head(hidden) + self.lifting(marks))
        spread = DATA_SCALE * self.spread_head(hidden).clamp(-5, 1).exp()
        features = self.features(hidden)
        joined = torch.cat([features, marks], 1) if self.detections else features
        return Condition(self.beta_head(hidden), {"features": joined, "mean": mean, "spread": spread})

    def _read(self, observation: Observation) -> Tensor:
        marks = torch.nan_to_num(observation.landmarks)
        if self.reads == "places":
            return marks[:, list(PLACES), :2].clamp(-FARTHEST, FARTHEST).flatten(1)
        marks = torch.cat([marks[..., :3].clamp(-FARTHEST, FARTHEST), marks[..., 3:]], -1)
        return torch.cat([marks.flatten(1), 2 * torch.nan_to_num(observation.world).flatten(1)], 1)


def numbers_read(reads: str) -> int:
    """How many numbers of each person a `LandmarkEncoder` with this `reads` takes in."""
    return LANDMARKS * 7 if reads == "everything" else 2 * len(PLACES)


class _Dense(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.wide = nn.Linear(width, width)
        self.back = nn.Linear(width, width)
        nn.init.zeros_(self.back.weight)
        nn.init.zeros_(self.back.bias)

    def forward(self, hidden: Tensor) -> Tensor:
        return hidden + self.back(nn.functional.silu(self.wide(self.norm(hidden))))


def _patches(observation: Observation) -> Tensor:
    """Picture and mask as patches (image, 16, 16, 8 * 8 * 4) in -1..1."""
    mask = observation.mask.repeat_interleave(2, 1).repeat_interleave(2, 2)[..., None]
    planes = torch.cat([observation.picture, mask], -1)
    cut = planes.unflatten(2, (-1, PATCH)).unflatten(1, (-1, PATCH)).transpose(2, 3)
    return cut.flatten(3).float().div_(127.5).sub_(1)


def _conv(before: int, after: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU())


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            _conv(channels, channels), nn.Conv2d(channels, channels, 3, 1, 1, bias=False), nn.BatchNorm2d(channels)
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.body(x))
