"""Forward kinematics, and the analytic inverse: bone directions and twists to joint rotations.

The inverse is the one that the published networks run (hybrid analytical-neural inverse kinematics, Li et al.,
HybrIK, CVPR 2021): a rest bone is turned onto the predicted bone by the smallest rotation, and what remains, the
turn about the bone, is the predicted twist. Batched and differentiable; the only loop goes outwards from the root,
all joints at the same distance from it at once.
"""

from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from hmr.body.skeleton import CHILDREN, PARENTS

PelvisRule = Literal["hip_line", "hip_mean"]
BODY_JOINTS = 24
TWISTS = 23
_TINY = 1e-8
_PARENTS = list(PARENTS)
_AIMED = list(CHILDREN[:BODY_JOINTS])


def _levels() -> list[tuple[slice, list[int]]]:
    """Runs of joints that carry a rotation and whose parents all come before the run, with those parents."""
    levels, first = [], 1
    while first < BODY_JOINTS:
        last = next((j for j in range(first, BODY_JOINTS) if PARENTS[j] >= first), BODY_JOINTS)
        levels.append((slice(first, last), list(PARENTS[first:last])))
        first = last
    return levels


def _chains() -> Float[Tensor, "29 29"]:
    """1 where a joint's chain from the root has the other joint's bone."""
    chains = torch.eye(len(PARENTS))
    for joint in range(1, len(PARENTS)):
        chains[joint] += chains[PARENTS[joint]]
    return chains


_LEVELS = _levels()
_CHAINS = _chains()


class PosedSkeleton(NamedTuple):
    """Joints and rotations of a posed skeleton."""

    joints: Float[Tensor, "b 29 3"]  # metres, root at the translation
    rotations: Float[Tensor, "b 24 3 3"]  # of every joint, in the frame of the camera


def forward_kinematics(
    rotations: Float[Tensor, "b 24 3 3"], rest: Float[Tensor, "b 29 3"], translation: Float[Tensor, "b 3"] | None = None
) -> PosedSkeleton:
    """Pose the 29 joints of a rest skeleton (metres) by local rotations; the root turns about the pelvis joint."""
    turns, resting = rotations.transpose(0, 1), rest.transpose(0, 1)  # joints first: a level is a slice then
    turned = turns[:1]
    for level, parents in _LEVELS:
        turned = torch.cat([turned, turned[parents] @ turns[level]])
    bones = (turned[_PARENTS[1:]] @ (resting[1:] - resting[_PARENTS[1:]])[..., None])[..., 0]
    root = resting[:1] if translation is None else resting[:1] + translation
    places = (_CHAINS.to(root) @ torch.cat([root, bones]).flatten(1)).unflatten(1, (-1, 3))
    return PosedSkeleton(places.transpose(0, 1), turned.transpose(0, 1))


def smallest_rotation(start: Float[Tensor, "*b 3"], end: Float[Tensor, "*b 3"]) -> Float[Tensor, "*b 3 3"]:
    """The rotation by the smallest angle that turns the direction `start` onto the direction `end`.

    Opposite directions have no smallest rotation: half a turn about one perpendicular axis is taken. A zero
    vector has no direction: the identity is returned.
    """
    a = torch.nn.functional.normalize(start, dim=-1, eps=_TINY)
    b = torch.nn.functional.normalize(end, dim=-1, eps=_TINY)
    cosine = (a * b).sum(-1, keepdim=True)
    # Half-way quaternion (1 + cos, a x b), which only opposite directions leave without a length.
    least = torch.eye(3, dtype=a.dtype, device=a.device)[a.abs().argmin(-1)]
    opposite = cosine < -1 + 1e-6
    vector = torch.where(opposite, torch.linalg.cross(a, least), torch.linalg.cross(a, b))
    scalar = torch.where(opposite, torch.zeros_like(cosine), 1 + cosine)
    known = (start.norm(dim=-1, keepdim=True) > _TINY) & (end.norm(dim=-1, keepdim=True) > _TINY)
    vector = torch.where(known, vector, torch.zeros_like(vector))
    scalar = torch.where(known, scalar, torch.ones_like(scalar))
    quaternion = torch.nn.functional.normalize(torch.cat([vector, scalar], -1), dim=-1)
    return _from_quaternion(quaternion)


def axis_rotation(axis: Float[Tensor, "*b 3"], cos_sin: Float[Tensor, "*b 2"]) -> Float[Tensor, "*b 3 3"]:
    """Rotation about a unit axis by the angle whose (cosine, sine) is given (Rodrigues)."""
    cos, sin = cos_sin[..., 0, None, None], cos_sin[..., 1, None, None]
    cross = _cross_matrix(axis)
    eye = torch.eye(3, dtype=axis.dtype, device=axis.device)
    return eye + sin * cross + (1 - cos) * (cross @ cross)


def inverse_kinematics(
    joints: Float[Tensor, "b 29 3"],
    twists: Float[Tensor, "b 23 2"],
    rest: Float[Tensor, "b 29 3"],
    pelvis: PelvisRule = "hip_line",
) -> Float[Tensor, "b 24 3 3"]:
    """Local joint rotations from joint places and twists; only bone directions matter, not their lengths.

    Args:
        joints: joint places in any unit and with any origin, camera-aligned axes.
        twists: (cos, sin) of joints 1-23 about their rest bone, not necessarily of unit length.
        rest: rest skeleton of the same body.
        pelvis: what decides the rotation about the spine. The published networks take the mean of the hips, which
            lies nearly on the spine's line; the line between the hips gives the same for exact joints and is far more
            stable for predicted ones.

    Source: HybrIK (Li et al. 2021), section 3.3, "naive" form: the pelvis from the spine bone and the hips, spine3
    from the neck bone alone, every other joint from its one child.
    """
    places, resting = joints.transpose(0, 1), rest.transpose(0, 1)  # joints first: a level is a slice then
    bones = resting[_AIMED] - resting[:BODY_JOINTS]
    targets = places[_AIMED] - places[:BODY_JOINTS]
    unit = torch.nn.functional.normalize(twists.transpose(0, 1), dim=-1, eps=_TINY)
    about = axis_rotation(torch.nn.functional.normalize(bones[1:], dim=-1, eps=_TINY), unit)
    turned = _pelvis_rotation(joints, rest, pelvis)[None]
    local = [turned]
    for level, parents in _LEVELS:
        above = turned[parents]
        wanted = (above.transpose(-1, -2) @ targets[level][..., None])[..., 0]
        local.append(smallest_rotation(bones[level], wanted) @ about[level.start - 1 : level.stop - 1])
        turned = torch.cat([turned, above @ local[-1]])
    return torch.cat(local).transpose(0, 1)


def twists_of(rotations: Float[Tensor, "b 24 3 3"], rest: Float[Tensor, "b 29 3"]) -> Float[Tensor, "b 23 2"]:
    """(cos, sin) of the twist of joints 1-23: the rotation about the rest bone that the smallest rotation leaves."""
    bones = torch.nn.functional.normalize((rest[:, _AIMED] - rest[:, :BODY_JOINTS])[:, 1:], dim=-1, eps=_TINY)
    swing = smallest_rotation(bones, (rotations[:, 1:] @ bones[..., None])[..., 0])
    twist = swing.transpose(-1, -2) @ rotations[:, 1:]
    least = torch.eye(3, dtype=bones.dtype, device=bones.device)[bones.abs().argmin(-1)]
    side = torch.nn.functional.normalize(_reject(least, bones), dim=-1)
    turned = (twist @ side[..., None])[..., 0]
    return torch.stack([(turned * side).sum(-1), (turned * torch.linalg.cross(bones, side)).sum(-1)], -1)


def _pelvis_rotation(joints: Tensor, rest: Tensor, pelvis: str) -> Tensor:
    spine = joints[:, 3] - joints[:, 0]
    upright = smallest_rotation(rest[:, 3] - rest[:, 0], spine)
    if pelvis == "hip_line":
        hips, hips_rest = joints[:, 1] - joints[:, 2], rest[:, 1] - rest[:, 2]
    else:
        hips = (joints[:, 1] + joints[:, 2]) / 2 - joints[:, 0]
        hips_rest = (rest[:, 1] + rest[:, 2]) / 2 - rest[:, 0]
    axis = torch.nn.functional.normalize(spine, dim=-1, eps=_TINY)
    hips_rest = (upright @ hips_rest[..., None])[..., 0]
    return smallest_rotation(_reject(hips_rest, axis), _reject(hips, axis)) @ upright


def _reject(vector: Tensor, axis: Tensor) -> Tensor:
    return vector - (vector * axis).sum(-1, keepdim=True) * axis


def _cross_matrix(axis: Tensor) -> Tensor:
    x, y, z = axis.unbind(-1)
    zero = torch.zeros_like(x)
    return torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).reshape(*axis.shape[:-1], 3, 3)


def _from_quaternion(q: Tensor) -> Tensor:
    x, y, z, w = q.unbind(-1)
    rows = [
        1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w),
        2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w),
        2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y),
    ]  # fmt: skip
    return torch.stack(rows, -1).reshape(*q.shape[:-1], 3, 3)
