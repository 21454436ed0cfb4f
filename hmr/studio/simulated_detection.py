"""Simulated detections: what BlazePose would have seen of bodies that were never drawn.

Drawing a person and running the detector takes 40 ms, placing a body 0.6 ms; so a base can be trained on far more
bodies than can be drawn. The noise is drawn again at every step. Its numbers were set so that simulated detections
have the errors of measured ones, on drawn people whose truth is known and on photographs with annotated keypoints;
`hmr-align experiment detector` prints both beside each other.

All lengths are shares of the square model crop's half side ("crop units", the crop is 2 wide) unless they are metres.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from pydantic import BaseModel as Settings
from pydantic import ConfigDict
from torch import Tensor

from hmr.body.camera import project
from hmr.body.landmark_points import LANDMARKS
from hmr.detection.people import CROP_MARGIN, SMALLEST_CROP
from hmr.diffusion.mirror import LANDMARK_SWAP

# Parts whose errors are shared: the landmarks of each, from the trunk outwards.
_LEFT_ARM, _LEFT_LEG = (13, 15, 17, 19, 21), (25, 27, 29, 31)
_LIMBS = tuple(tuple(i + side for i in limb) for limb in (_LEFT_ARM, _LEFT_LEG) for side in (0, 1))
_SHARE = {13: 0.5, 15: 0.9, 17: 1.0, 19: 1.0, 21: 1.0, 25: 0.5, 27: 0.9, 29: 1.0, 31: 1.0}
_TRUNK = (*range(13), 23, 24)
_TRUNK_CORNERS = (11, 12, 23, 24)

_FACTOR = torch.ones(LANDMARKS)
_FACTOR[:11], _FACTOR[11:13], _FACTOR[13:15], _FACTOR[15:17], _FACTOR[17:23] = 0.7, 0.9, 1.15, 1.2, 1.35
_FACTOR[23:25], _FACTOR[25:27], _FACTOR[27:29], _FACTOR[29:] = 0.95, 1.0, 1.0, 1.35


class DetectionNoise(Settings):
    """How detections err."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    least: float = 0.012  # standard deviation of a visible landmark; log-uniform for each person between these two
    most: float = 0.045
    hidden: float = 0.13  # of a limb's hidden landmarks, which move together
    gross: float = 0.03  # share of visible limbs that are put elsewhere
    swap: float = 0.03  # share of people seen the wrong way round
    swap_legs: float = 0.02  # share of people whose legs alone are exchanged
    swap_arms: float = 0.01
    behind: float = 0.13  # metres about the trunk's middle plane within which a limb behind it is hidden
    occluded: float = 0.25  # share of people with something in front of them
    anatomy: float = 0.012  # metres by which a person's landmarks lie elsewhere than the mean body's, clothes included
    world_size: float = 0.10  # standard deviation of the logarithm of the world landmarks' size
    world_mean_size: float = 0.95  # their mean size over the body's
    depth_low: float = 0.25  # the world landmarks' depths are the true ones times a uniform factor
    depth_high: float = 1.0
    world_noise: float = 0.018  # metres, of each coordinate; three times that in depth
    world_hidden: float = 0.09  # metres, of a hidden limb, which moves together
    turn: float = 8.0  # degrees by which the whole skeleton is tipped about x, and half of it about the other axes


class PlacedPeople(NamedTuple):
    """The truth of n people before cameras; metres in the camera frame."""

    joints: Float[Tensor, "n 29 3"]
    marks: Float[Tensor, "n 33 3"]  # where the detector's landmarks lie on them
    twists: Float[Tensor, "n 46"]
    betas: Float[Tensor, "n 10"]
    camera: Float[Tensor, "n 4"]  # fx, fy, cx, cy, px
    size: Float[Tensor, " n"]  # width and height of the square picture, px

    def select(self, index: Tensor) -> "PlacedPeople":
        """The people with these row numbers (some,), in that order; metres and pixels as above."""
        return PlacedPeople(*(part[index] for part in self))


class Detections(NamedTuple):
    """What a detector saw of n people."""

    landmarks: Float[Tensor, "n 33 4"]  # x, y, z in px of the picture, visibility
    world: Float[Tensor, "n 33 3"]  # metres about the hips
    crop: Float[Tensor, "n 3"]  # centre x, centre y, side, px

    def select(self, index: Tensor) -> "Detections":
        """The people with these row numbers (some,), in that order; metres and pixels as above."""
        return Detections(*(part[index] for part in self))


def simulate(people: PlacedPeople, noise: DetectionNoise, generator: torch.Generator) -> Detections:
    """Detections of placed people, with new random noise at each call."""
    draw = _Draw(generator)
    people = people._replace(marks=people.marks + noise.anatomy * draw.normal(*people.marks.shape) * _FACTOR[:, None])
    places = project(people.marks, people.camera)
    unit = _extent(places, torch.ones(places.shape[:2], dtype=torch.bool)) * CROP_MARGIN / 2  # px of a crop unit
    hidden = _hidden(people, places, unit, noise, draw)
    level = torch.exp(draw.uniform(len(places), 1) * _log_ratio(noise) + torch.tensor(noise.least).log())
    errors = draw.normal(*places.shape) * (level * _FACTOR)[..., None]
    world_errors = draw.normal(*people.marks.shape) * noise.world_noise * torch.tensor([1.0, 1.0, 3.0])
    for limb in _LIMBS:
        share = torch.tensor([_SHARE[i if i in _SHARE else i - 1] for i in limb])[:, None]
        lost = hidden[:, limb].any(1) | (draw.uniform(len(places)) < noise.gross)
        shift = draw.normal(len(places), 1, 2) * noise.hidden * lost[:, None, None]
        errors[:, limb] += (
            share * shift + 0.3 * noise.hidden * draw.normal(len(places), len(limb), 2) * (hidden[:, limb, None])
        )
        shift = draw.normal(len(places), 1, 3) * noise.world_hidden * (0.35 + 0.65 * lost[:, None, None])
        world_errors[:, limb] += share * shift
    trunk = list(_TRUNK)
    errors[:, trunk] += draw.normal(len(places), len(trunk), 2) * 0.05 * hidden[:, trunk, None]
    found = places + errors * unit[:, None, None]

    hips = people.marks[:, 23:25].mean(1, keepdim=True)
    true = as_the_crop_sees(people.marks - hips, hips)
    compression = noise.depth_low + (noise.depth_high - noise.depth_low) * draw.uniform(len(places), 1)
    size = noise.world_mean_size * torch.exp(noise.world_size * draw.normal(len(places), 1, 1))
    world = _tipped(true, noise.turn, draw) * size
    world = torch.cat([world[..., :2], world[..., 2:] * compression[..., None]], -1) + world_errors
    per_metre = people.camera[:, :1] / hips[:, :, 2].clamp(min=0.3)  # px at the hips, as BlazePose's z has it
    depth = world[..., 2] * per_metre
    landmarks = torch.cat([found, depth[..., None], _visibility(hidden, draw)[..., None]], -1)
    landmarks, world = _swapped(landmarks, world, noise, draw)
    world = world - world[:, 23:25].mean(1, keepdim=True)
    return Detections(landmarks, world, _crops(landmarks))


class _Draw:
    """Random tensors from one generator."""

    def __init__(self, generator: torch.Generator) -> None:
        self.generator = generator

    def normal(self, *shape: int) -> Tensor:
        return torch.randn(shape, generator=self.generator)

    def uniform(self, *shape: int) -> Tensor:
        return torch.rand(shape, generator=self.generator)


def _log_ratio(noise: DetectionNoise) -> Tensor:
    return torch.tensor(noise.most / noise.least).log()


def _extent(places: Tensor, counted: Tensor) -> Tensor:
    """(n,) longer side of the box about the counted points."""
    high = places.masked_fill(~counted[..., None], -torch.inf).amax(1)
    low = places.masked_fill(~counted[..., None], torch.inf).amin(1)
    return (high - low).amax(-1)


def _hidden(
    people: PlacedPeople, places: Tensor, unit: Tensor, noise: DetectionNoise, draw: _Draw
) -> Bool[Tensor, "n 33"]:
    """Landmarks beyond the picture, behind the trunk or behind something."""
    beyond = ((places < 0) | (places > people.size[:, None, None])).any(-1)
    corners = people.marks[:, list(_TRUNK_CORNERS)]
    top, bottom = corners[:, :2].mean(1, keepdim=True), corners[:, 2:].mean(1, keepdim=True)
    axis = bottom - top
    along = ((people.marks - top) * axis).sum(-1) / axis.square().sum(-1).clamp(min=1e-6)
    nearest = top + along.clamp(0, 1)[..., None] * axis
    gap = people.marks - nearest
    behind = (gap[..., :2].norm(dim=-1) < noise.behind) & (gap[..., 2] > 0.06)
    behind[:, list(_TRUNK)] = False
    middle = places[torch.arange(len(places)), (draw.uniform(len(places)) * LANDMARKS).long()]
    reach = (0.12 + 0.3 * draw.uniform(len(places), 1, 2)) * unit[:, None, None]
    covered = ((places - middle[:, None]).abs() < reach).all(-1)
    covered &= (draw.uniform(len(places), 1) < noise.occluded) & ~covered[:, :1]  # never a face
    return beyond | behind | covered


def _visibility(hidden: Tensor, draw: _Draw) -> Tensor:
    """(n, 33): seen limbs have about .9, hidden ones about .3; face and trunk are nearly always sure."""
    seen = torch.sigmoid(3.2 + 1.3 * draw.normal(*hidden.shape))
    unseen = torch.sigmoid(-1.6 + 1.6 * draw.normal(*hidden.shape))
    trunk = 1 - 0.004 * draw.uniform(*hidden.shape)
    unseen_trunk = torch.sigmoid(3.5 + 1.5 * draw.normal(*hidden.shape))
    of_trunk = torch.zeros(LANDMARKS, dtype=torch.bool)
    of_trunk[list(_TRUNK)] = True
    return torch.where(of_trunk, torch.where(hidden, unseen_trunk, trunk), torch.where(hidden, unseen, seen))


def as_the_crop_sees(points: Tensor, towards: Tensor) -> Tensor:
    """Points (n, p, 3), metres, rotated so that the ray to `towards` (n, 1, 3) becomes the z axis.

    The detector sees only the crop, not where it lies in the picture.
    """
    z = torch.nn.functional.normalize(towards, dim=-1)
    x = torch.nn.functional.normalize(torch.stack([z[..., 2], torch.zeros_like(z[..., 0]), -z[..., 0]], -1), dim=-1)
    y = torch.linalg.cross(z, x)
    return points @ torch.cat([x, y, z], 1).transpose(1, 2)


def _tipped(points: Tensor, degrees: float, draw: _Draw) -> Tensor:
    """Each person rotated a little as a whole."""
    vector = draw.normal(len(points), 3) * torch.deg2rad(torch.tensor([degrees, degrees / 2, degrees / 2]))
    cross = torch.zeros(len(points), 3, 3)
    x, y, z = vector.unbind(-1)
    cross[:, 0, 1], cross[:, 0, 2], cross[:, 1, 0] = -z, y, z
    cross[:, 1, 2], cross[:, 2, 0], cross[:, 2, 1] = -x, -y, x
    return points @ torch.linalg.matrix_exp(cross).transpose(1, 2)


def _swapped(landmarks: Tensor, world: Tensor, noise: DetectionNoise, draw: _Draw) -> tuple[Tensor, Tensor]:
    """Some people seen the wrong way round: left and right exchanged, depths turned over with them."""
    chance = draw.uniform(len(landmarks))
    whole = chance < noise.swap
    legs = (chance >= noise.swap) & (chance < noise.swap + noise.swap_legs)
    arms = (chance >= 0.5) & (chance < 0.5 + noise.swap_arms)
    order = torch.arange(LANDMARKS).repeat(len(landmarks), 1)
    other = torch.tensor(LANDMARK_SWAP)
    order[whole] = other
    order[legs, 25:], order[arms, 13:23] = other[25:], other[13:23]
    rows = torch.arange(len(landmarks))[:, None]
    landmarks, world = landmarks[rows, order].clone(), world[rows, order].clone()
    landmarks[whole, :, 2] *= -1
    world[whole, :, 2] *= -1
    return landmarks, world


def _crops(landmarks: Tensor) -> Tensor:
    """(n, 3) square model crops, as `hmr.detection.people.person_crop` makes them."""
    counted = landmarks[..., 3] > 0.1
    counted |= (counted.sum(1) < 6)[:, None]
    places = landmarks[..., :2]
    high = places.masked_fill(~counted[..., None], -torch.inf).amax(1)
    low = places.masked_fill(~counted[..., None], torch.inf).amin(1)
    side = (CROP_MARGIN * (high - low).amax(-1)).clamp(min=SMALLEST_CROP)
    return torch.cat([(low + high) / 2, side[:, None]], -1)
