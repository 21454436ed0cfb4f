"""The diffused vector: 29 joints as (u, v, depth) and 23 twists as (cos, sin), and its way to a posed body.

Layout of the 133 numbers, all times `DATA_SCALE`: 87 = 29 x (u, v in crop coordinates -1..1, depth minus the
pelvis' in metres), 46 = 23 x (cos, sin). Source: ScoreHypo (Xu et al. 2024), as restated in the project's notes.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from hmr.body.camera import back_project, fit_root_depth, fit_translation, from_crop, project, to_crop
from hmr.body.kinematics import PelvisRule, forward_kinematics, inverse_kinematics, twists_of
from hmr.body.skeleton import PARENTS
from hmr.diffusion.noise_schedule import DATA_SCALE

JOINT_DIMS = 87
TWIST_DIMS = 46
DIMS = JOINT_DIMS + TWIST_DIMS

# Bones that carry the scale of the body: limbs, trunk and head, not the short tips of hands and feet.
_ENDS = [j for j in range(1, 25) if j not in (10, 11, 22, 23)]
_STARTS = [PARENTS[j] for j in _ENDS]


class Decoding(NamedTuple):
    """How a network's diffused vectors are turned into bodies."""

    pelvis: PelvisRule = "hip_line"
    """From what inverse kinematics takes the rotation about the spine."""
    rounds: int = 0
    """How often joints are put back onto their rays, and the bones turned again. 0 = as published."""


PUBLISHED = Decoding()


class Posed(NamedTuple):
    """Hypotheses as bodies; metres, camera frame."""

    rotations: Float[Tensor, "b 24 3 3"]
    translation: Float[Tensor, "b 3"]
    joints: Float[Tensor, "b 29 3"]  # translation included


def encode(
    rotations: Float[Tensor, "b 24 3 3"], translation: Float[Tensor, "b 3"], rest: Float[Tensor, "b 29 3"],
    camera: Float[Tensor, "b 4"], crop: Float[Tensor, "b 3"],
) -> Float[Tensor, "b 133"]:  # fmt: skip
    """The diffused vector of a known body, in the layout above.

    Translation and rest joints in metres; camera (fx, fy, cx, cy) and crop (centre x, y, side) in px.
    """
    joints = forward_kinematics(rotations, rest, translation).joints
    places = to_crop(project(joints, camera), crop)
    depths = (joints - joints[:, :1])[..., 2:]
    flat = torch.cat([torch.cat([places, depths], -1).flatten(1), twists_of(rotations, rest).flatten(1)], 1)
    return flat * DATA_SCALE


def decode(
    latents: Float[Tensor, "b 133"], rest: Float[Tensor, "b 29 3"], camera: Float[Tensor, "b 4"],
    crop: Float[Tensor, "b 3"], how: Decoding = PUBLISHED, *, root_depth: Float[Tensor, " b"] | None = None,
) -> Posed:  # fmt: skip
    """Bodies from diffused vectors: root depth by fit, inverse kinematics, place by fit to (u, v). No ground truth.

    Inverse kinematics keeps only directions, so joints drift from their (u, v) along a chain of bones whose lengths are
    not the predicted ones. Each of `how.rounds` puts the posed joints back onto their rays at their depths and turns
    the bones to them: bone lengths are kept, and the seen (u, v) count more than the guessed depth.

    rest: metres; camera (fx, fy, cx, cy) and crop (centre x, y, side): px. root_depth: metres, if it is known, as the
    published evaluation takes it from the ground truth; it affects the pose, while the place is still fitted.
    """
    joints = latents[:, :JOINT_DIMS].unflatten(1, (29, 3)) / DATA_SCALE
    twists = latents[:, JOINT_DIMS:].unflatten(1, (23, 2))
    rays = (from_crop(joints[..., :2], crop) - camera[:, None, 2:]) / camera[:, None, :2]
    depths = joints[..., 2] - joints[:, :1, 2]
    lengths = (rest[:, _ENDS] - rest[:, _STARTS]).norm(dim=-1)
    root = fit_root_depth(rays, depths, lengths, _STARTS, _ENDS) if root_depth is None else root_depth
    weights = torch.ones_like(depths)
    weights[:, [25, 26, 27, 28]] = 0.2  # tips of fingers and toes hang on the ends of the chain
    wanted = back_project(rays, depths, root)
    for _ in range(how.rounds):
        reached = _bodies(wanted, twists, rest, rays, weights, how.pelvis).joints[..., 2:]
        wanted = torch.cat([rays * reached, reached], -1)
    return _bodies(wanted, twists, rest, rays, weights, how.pelvis)


def _bodies(wanted: Tensor, twists: Tensor, rest: Tensor, rays: Tensor, weights: Tensor, pelvis: PelvisRule) -> Posed:
    """Bodies whose bones point as those between the wanted joints, where their joints lie best on the rays."""
    rotations = inverse_kinematics(wanted, twists, rest, pelvis)
    posed = forward_kinematics(rotations, rest).joints
    translation = fit_translation(posed, rays, weights)
    return Posed(rotations, translation, posed + translation[:, None])


def mean_latent(latents: Float[Tensor, "g 133"]) -> Float[Tensor, " 133"]:
    """Mean of hypotheses as diffused vectors, with (cos, sin) of the twists brought back to unit length."""
    mean = latents.mean(0)
    twists = torch.nn.functional.normalize(mean[JOINT_DIMS:].unflatten(0, (23, 2)), dim=-1) * DATA_SCALE
    return torch.cat([mean[:JOINT_DIMS], twists.flatten()])
