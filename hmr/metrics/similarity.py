"""Errors of hypotheses in torch, on the device where the points are: what `pose_metrics` does with tensors of a GPU.

Horn's quaternion as in `procrustes`, for a whole batch at once: the eigenvector of the largest eigenvalue of a
symmetric 4 x 4 matrix. Metres; results stay on the device, float64 (float32 where the device has no float64).

Source: Horn 1987, "Closed-form solution of absolute orientation using unit quaternions".
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from hmr.metrics.procrustes import LEAST


def mean_error(
    predicted: Float[Tensor, "*batch point 3"],
    true: Float[Tensor, "*batch point 3"],
    given: Bool[Tensor, "*batch point"] | None = None,
) -> Float[Tensor, "*batch"]:
    """Mean distance of the given points, metres; NaN where none is given."""
    distances = (_exact(predicted) - _exact(true)).norm(dim=-1)
    if given is None:
        return distances.mean(-1)
    flags = given.expand_as(distances)
    return distances.where(flags, 0.0).sum(-1) / flags.sum(-1)  # 0 / 0 is NaN


def aligned_error(
    predicted: Float[Tensor, "*batch point 3"],
    true: Float[Tensor, "*batch point 3"],
    aligned: Bool[Tensor, "*batch point"] | None = None,
    measured: Bool[Tensor, "*batch point"] | None = None,
) -> Float[Tensor, "*batch"]:
    """Mean distance, metres, after the best similarity of each set to its target; NaN where nothing is measured.

    aligned: the points that the similarity is found from; measured: those that are averaged; None = all.
    """
    return mean_error(aligned_points(predicted, true, aligned), true, measured)


def aligned_points(
    points: Float[Tensor, "*batch point 3"],
    target: Float[Tensor, "*batch point 3"],
    aligned: Bool[Tensor, "*batch point"] | None = None,
) -> Float[Tensor, "*batch point 3"]:
    """`points` moved by the rotation, scale > 0 and translation that bring each set closest to `target`.

    Never a reflection. Points that all coincide go to the target's centroid; what is not finite stays so.
    """
    x, y = torch.broadcast_tensors(_exact(points), _exact(target))
    weight = x.new_ones(x.shape[:-1]) if aligned is None else aligned.expand(x.shape[:-1]).to(x)
    weight = (weight / weight.sum(-1, keepdim=True).clamp(min=1))[..., None]
    mean_x, mean_y = (weight * x).sum(-2, keepdim=True), (weight * y).sum(-2, keepdim=True)
    moving, fixed = x - mean_x, y - mean_y
    size_x, size_y = ((weight * part.square()).sum((-2, -1)) for part in (moving, fixed))
    bound = (size_x * size_y).sqrt()
    usable = (size_x * x.shape[-2] > LEAST) & (size_y * x.shape[-2] > LEAST) & bound.isfinite()
    shared = ((weight * moving).mT @ fixed) / bound.where(usable, 1.0)[..., None, None]
    values, vectors = torch.linalg.eigh(_horn(shared.where(usable[..., None, None], 0.0)))
    scale = (values[..., -1] * (size_y / size_x.where(usable, 1.0)).sqrt()).where(usable, 0.0 * bound)
    return scale[..., None, None] * (moving @ _matrix(vectors[..., -1]).mT) + mean_y


def _horn(s: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 4 4"]:
    """K(S), whose largest eigenvalue is the maximum of trace(R S) over rotations."""
    (xx, xy, xz), (yx, yy, yz), (zx, zy, zz) = (row.unbind(-1) for row in s.unbind(-2))
    rows = [
        [xx + yy + zz, yz - zy, zx - xz, xy - yx],
        [yz - zy, xx - yy - zz, xy + yx, zx + xz],
        [zx - xz, xy + yx, -xx + yy - zz, yz + zy],
        [xy - yx, zx + xz, yz + zy, -xx - yy + zz],
    ]
    return torch.stack([torch.stack(row, -1) for row in rows], -2)


def _matrix(q: Float[Tensor, "*batch 4"]) -> Float[Tensor, "*batch 3 3"]:
    """The rotation of unit quaternions (real part first)."""
    w, x, y, z = q.unbind(-1)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return torch.stack([torch.stack(row, -1) for row in rows], -2)


def _exact(values: Tensor) -> Tensor:
    return values if values.device.type == "mps" else values.double()
