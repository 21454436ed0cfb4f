"""Pinhole geometry without ground truth: from crop coordinates and relative depth to a place in front of the camera.

Cameras are (fx, fy, cx, cy) in px of the photograph, crops (centre x, centre y, side) in the same px. Crop
coordinates run from -1 to 1 over the crop, as the published networks have them (u = (x - cx) 256 / side + 128).
"""

import torch
from jaxtyping import Float
from torch import Tensor

LEAST_DEPTH = 0.2
"""Least distance in metres from the camera's plane to a joint: the skin around it is up to 0.15 m nearer."""


def project(points: Float[Tensor, "*b p 3"], camera: Float[Tensor, "*b 4"]) -> Float[Tensor, "*b p 2"]:
    """Pinhole projection, px, of points in the camera frame, metres; depths below 1 cm count as 1 cm."""
    focal, centre = camera[..., None, :2], camera[..., None, 2:]
    return focal * points[..., :2] / points[..., 2:].clamp(min=0.01) + centre


def to_crop(pixels: Float[Tensor, "*b p 2"], crop: Float[Tensor, "*b 3"]) -> Float[Tensor, "*b p 2"]:
    """Pixels of the photograph to crop coordinates: -1 to 1 over the crop, beyond that outside it."""
    return (pixels - crop[..., None, :2]) * 2 / crop[..., None, 2:]


def from_crop(places: Float[Tensor, "*b p 2"], crop: Float[Tensor, "*b 3"]) -> Float[Tensor, "*b p 2"]:
    """Crop coordinates to pixels of the photograph; the inverse of `to_crop`."""
    return places * crop[..., None, 2:] / 2 + crop[..., None, :2]


def fit_root_depth(
    rays: Float[Tensor, "b p 2"], depths: Float[Tensor, "b p"], lengths: Float[Tensor, "b bone"],
    starts: list[int], ends: list[int],
) -> Float[Tensor, " b"]:  # fmt: skip
    """Depth of the root, metres, at which the bones are as long as the body's own.

    A joint at depth z + d on the ray (r, 1) lies at (z + d) r. The condition that the squared lengths of all bones add
    up to those of the body gives one quadratic in z; its larger root is taken, at least 0.3 m.

    Args:
        rays: (x - cx) / fx and (y - cy) / fy of each joint.
        depths: of each joint, minus the root's, metres.
        lengths: of the bones of the shaped body, metres; bone k runs from joint starts[k] to ends[k].
    """
    slope = rays[:, ends] - rays[:, starts]
    offset = depths[:, ends, None] * rays[:, ends] - depths[:, starts, None] * rays[:, starts]
    a = slope.square().sum((-1, -2)).clamp(min=1e-9)
    b = (slope * offset).sum((-1, -2))
    # Depth differences greater than the bone's own length cannot be right: they must not use up the whole sum.
    along = torch.minimum((depths[:, ends] - depths[:, starts]).square(), 0.95 * lengths.square()).sum(-1)
    c = offset.square().sum((-1, -2)) + along - lengths.square().sum(-1)
    return ((-b + (b * b - a * c).clamp(min=0).sqrt()) / a).clamp(min=0.3)


def back_project(
    rays: Float[Tensor, "b p 2"], depths: Float[Tensor, "b p"], root_depth: Float[Tensor, " b"]
) -> Float[Tensor, "b p 3"]:
    """Joints in the camera frame, metres, from rays and depths relative to the root."""
    z = (root_depth[:, None] + depths)[..., None]
    return torch.cat([rays * z, z], -1)


def fit_translation(
    joints: Float[Tensor, "b p 3"], rays: Float[Tensor, "b p 2"], weights: Float[Tensor, "b p"]
) -> Float[Tensor, "b 3"]:
    """Translation (b, 3), metres, that puts posed joints best onto their rays: linear least squares of

        (X + tx) - r_x (Z + tz) = 0,   (Y + ty) - r_y (Z + tz) = 0.

    The depth is kept at 0.3 m or more for the joints' mean, so that no body ends up behind the camera.
    """
    w = weights[..., None]
    total = w.sum(1)
    gap = joints[..., :2] - rays * joints[..., 2:]  # what (tx, ty) - r tz must cancel
    mean_ray, mean_gap = (w * rays).sum(1) / total, (w * gap).sum(1) / total
    ray, rest = rays - mean_ray[:, None], gap - mean_gap[:, None]
    depth = (w * ray * rest).sum((-1, -2)) / (w * ray.square()).sum((-1, -2)).clamp(min=1e-9)
    depth = torch.maximum(depth, 0.3 - (weights * joints[..., 2]).sum(1) / weights.sum(1))
    return torch.cat([mean_ray * depth[:, None] - mean_gap, depth[:, None]], -1)


def step_back(joints: Float[Tensor, "b p 3"]) -> Float[Tensor, "b 3"]:
    """Shift, metres, that puts every joint of placed bodies LEAST_DEPTH or more before the camera; 0 if it is already.

    Along the ray to the joints' mean, so that the body stays where it is in the picture, and grows smaller there.
    """
    middle = joints.mean(1)
    short = (LEAST_DEPTH - joints[..., 2].amin(1)).clamp(min=0)
    return short[:, None] * middle / middle[:, 2:].clamp(min=0.1)
