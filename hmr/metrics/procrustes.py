"""The similarity that brings one set of points closest to another, for very many small sets, compiled.

For centred points x, y and S = sum x y^T, the rotation R that maximises trace(R S) is the quaternion of the largest
eigenvalue of a symmetric 4 x 4 matrix K(S), and the scale is that eigenvalue over sum |x|^2. A quaternion is never a
reflection. The eigenvalue is found by Newton's method from above on K's characteristic polynomial, the quaternion from
the cofactors of K - lambda I; where two eigenvalues nearly meet (points on a line, mirrored points), by Jacobi's
rotations.

Source: Horn 1987, "Closed-form solution of absolute orientation using unit quaternions"; Theobald 2005, "Rapid
calculation of RMSDs using a quaternion-based characteristic polynomial".
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numba
import numpy as np
from numpy.typing import NDArray

Reals = NDArray[np.float64]
Flags = NDArray[np.bool_]

LEAST = 1e-18
"""Sum of squares (m^2) below which all points of a set coincide."""
CHUNK = 4096
"""Sets that one thread does at a time."""


@numba.njit(nogil=True, cache=True)
def _largest(k: Reals, q: Reals) -> float:
    """Largest eigenvalue of a symmetric 4 x 4 matrix and its unit vector `q`: cyclic Jacobi. Destroys `k`."""
    v = np.eye(4)
    for _ in range(30):
        off = 0.0
        for i in range(4):
            for j in range(i):
                off += k[i, j] * k[i, j]
        if off < 1e-32:
            break
        for i in range(1, 4):
            for j in range(i):
                if k[i, j] == 0.0:
                    continue
                theta = (k[i, i] - k[j, j]) / (2 * k[i, j])
                t = 1.0 / (abs(theta) + np.sqrt(theta * theta + 1))
                t = -t if theta < 0 else t
                c = 1.0 / np.sqrt(t * t + 1)
                s = t * c
                for m in range(4):
                    a, b = k[m, i], k[m, j]
                    k[m, i], k[m, j] = c * a + s * b, c * b - s * a
                for m in range(4):
                    a, b = k[i, m], k[j, m]
                    k[i, m], k[j, m] = c * a + s * b, c * b - s * a
                for m in range(4):
                    a, b = v[m, i], v[m, j]
                    v[m, i], v[m, j] = c * a + s * b, c * b - s * a
    best = 0
    for i in range(1, 4):
        if k[i, i] > k[best, best]:
            best = i
    for m in range(4):
        q[m] = v[m, best]
    return k[best, best]


@numba.njit(nogil=True, cache=True)
def _rotation(s: Reals, r: Reals, k: Reals, q: Reals) -> float:
    """Fill `r` with the rotation that maximises trace(r s), r x ~ y for s = sum x y^T; return that maximum.

    `s` (3, 3) is scaled so that the maximum is at most 1; `k` (4, 4) and `q` (4,) are room to work in.
    """
    xx, xy, xz, yx, yy, yz, zx, zy, zz = (
        s[0, 0], s[0, 1], s[0, 2], s[1, 0], s[1, 1], s[1, 2], s[2, 0], s[2, 1], s[2, 2],
    )  # fmt: skip
    a, b, c, d = xx + yy + zz, yz - zy, zx - xz, xy - yx
    e, f, g = xx - yy - zz, xy + yx, zx + xz
    h, i, j = -xx + yy - zz, yz + zy, -xx - yy + zz
    square = xx * xx + xy * xy + xz * xz + yx * yx + yy * yy + yz * yz + zx * zx + zy * zy + zz * zz
    det = xx * (yy * zz - yz * zy) - xy * (yx * zz - yz * zx) + xz * (yx * zy - yy * zx)
    c2, c1 = -2 * square, -8 * det
    # det(K) by the first row
    k11 = e * (h * j - i * i) - f * (f * j - i * g) + g * (f * i - h * g)
    k12 = b * (h * j - i * i) - f * (c * j - i * d) + g * (c * i - h * d)
    k13 = b * (f * j - i * g) - e * (c * j - i * d) + g * (c * g - f * d)
    k14 = b * (f * i - h * g) - e * (c * i - h * d) + f * (c * g - f * d)
    c0 = a * k11 - b * k12 + c * k13 - d * k14
    top = 1.0
    for _ in range(60):
        t2 = top * top
        slope = 4 * t2 * top + 2 * c2 * top + c1
        if slope <= 0:
            break
        step = (t2 * t2 + c2 * t2 + c1 * top + c0) / slope
        top -= step
        if abs(step) < 1e-14:
            break
    # cofactors of K - top I, whose columns are multiples of the vector
    e0, h0, j0 = e - top, h - top, j - top
    n0, n1, n2 = h0 * j0 - i * i, f * j0 - i * g, f * i - h0 * g
    p0, p1, p2 = c * j0 - i * d, c * i - h0 * d, c * g - f * d
    q0 = e0 * n0 - f * n1 + g * n2
    q1 = -(b * n0 - f * p0 + g * p1)
    q2 = b * n1 - e0 * p0 + g * p2
    q3 = -(b * n2 - e0 * p1 + f * p2)
    size = q0 * q0 + q1 * q1 + q2 * q2 + q3 * q3
    if size < 1e-8:  # another column, or two eigenvalues that meet
        k[0, 0], k[1, 1], k[2, 2], k[3, 3] = a, e, h, j
        k[0, 1] = k[1, 0] = b
        k[0, 2] = k[2, 0] = c
        k[0, 3] = k[3, 0] = d
        k[1, 2] = k[2, 1] = f
        k[1, 3] = k[3, 1] = g
        k[2, 3] = k[3, 2] = i
        top = _largest(k, q)
        q0, q1, q2, q3 = q[0], q[1], q[2], q[3]
        size = 1.0
    norm = 1.0 / np.sqrt(size)
    q0, q1, q2, q3 = q0 * norm, q1 * norm, q2 * norm, q3 * norm
    r[0, 0], r[0, 1], r[0, 2] = 1 - 2 * (q2 * q2 + q3 * q3), 2 * (q1 * q2 - q0 * q3), 2 * (q1 * q3 + q0 * q2)
    r[1, 0], r[1, 1], r[1, 2] = 2 * (q1 * q2 + q0 * q3), 1 - 2 * (q1 * q1 + q3 * q3), 2 * (q2 * q3 - q0 * q1)
    r[2, 0], r[2, 1], r[2, 2] = 2 * (q1 * q3 - q0 * q2), 2 * (q2 * q3 + q0 * q1), 1 - 2 * (q1 * q1 + q2 * q2)
    return top


@numba.njit(nogil=True, cache=True)
def _fit(x: Reals, y: Reals, given: Flags, whole: bool, s: Reals, r: Reals, k: Reals, q: Reals, mean: Reals) -> float:
    """Scale of the best similarity of `x` (J, 3) to `y`; `r` its rotation, `mean` the two centroids (6,)."""
    count = 0
    mean[:] = 0.0
    for p in range(len(x)):
        if whole or given[p]:
            count += 1
            for c in range(3):
                mean[c] += x[p, c]
                mean[3 + c] += y[p, c]
    for c in range(6):
        mean[c] /= max(count, 1)
    size_x = size_y = 0.0
    s[:] = 0.0
    for p in range(len(x)):
        if whole or given[p]:
            x0, x1, x2 = x[p, 0] - mean[0], x[p, 1] - mean[1], x[p, 2] - mean[2]
            y0, y1, y2 = y[p, 0] - mean[3], y[p, 1] - mean[4], y[p, 2] - mean[5]
            size_x += x0 * x0 + x1 * x1 + x2 * x2
            size_y += y0 * y0 + y1 * y1 + y2 * y2
            s[0, 0] += x0 * y0
            s[0, 1] += x0 * y1
            s[0, 2] += x0 * y2
            s[1, 0] += x1 * y0
            s[1, 1] += x1 * y1
            s[1, 2] += x1 * y2
            s[2, 0] += x2 * y0
            s[2, 1] += x2 * y1
            s[2, 2] += x2 * y2
    if not (size_x > LEAST and size_y > LEAST):  # also where something is not finite
        r[:] = 0.0
        r[0, 0] = r[1, 1] = r[2, 2] = 1.0
        return 0.0 if size_x <= LEAST or size_y <= LEAST else np.nan
    norm = 1.0 / np.sqrt(size_x * size_y)
    for i in range(3):
        for j in range(3):
            s[i, j] *= norm
    return _rotation(s, r, k, q) * np.sqrt(size_y / size_x)


@numba.njit(nogil=True, cache=True)
def _errors(x: Reals, y: Reals, aligned: Flags, measured: Flags, out: Reals) -> None:
    """Mean distance after alignment of each set."""
    s, r, k, q, mean = np.empty((3, 3)), np.empty((3, 3)), np.empty((4, 4)), np.empty(4), np.empty(6)
    all_aligned, all_measured = len(aligned) == 0, len(measured) == 0
    flags = np.empty(0, np.bool_)
    for n in range(len(x)):
        scale = _fit(x[n], y[n], flags if all_aligned else aligned[n], all_aligned, s, r, k, q, mean)
        total, count = 0.0, 0
        for p in range(x.shape[1]):
            if all_measured or measured[n, p]:
                x0, x1, x2 = x[n, p, 0] - mean[0], x[n, p, 1] - mean[1], x[n, p, 2] - mean[2]
                d0 = scale * (r[0, 0] * x0 + r[0, 1] * x1 + r[0, 2] * x2) + mean[3] - y[n, p, 0]
                d1 = scale * (r[1, 0] * x0 + r[1, 1] * x1 + r[1, 2] * x2) + mean[4] - y[n, p, 1]
                d2 = scale * (r[2, 0] * x0 + r[2, 1] * x1 + r[2, 2] * x2) + mean[5] - y[n, p, 2]
                total += np.sqrt(d0 * d0 + d1 * d1 + d2 * d2)
                count += 1
        out[n] = total / count if count else np.nan


@numba.njit(nogil=True, cache=True)
def _moved(x: Reals, y: Reals, aligned: Flags, out: Reals) -> None:
    """All points of each set after alignment."""
    s, r, k, q, mean = np.empty((3, 3)), np.empty((3, 3)), np.empty((4, 4)), np.empty(4), np.empty(6)
    whole = len(aligned) == 0
    flags = np.empty(0, np.bool_)
    for n in range(len(x)):
        scale = _fit(x[n], y[n], flags if whole else aligned[n], whole, s, r, k, q, mean)
        for p in range(x.shape[1]):
            x0, x1, x2 = x[n, p, 0] - mean[0], x[n, p, 1] - mean[1], x[n, p, 2] - mean[2]
            for c in range(3):
                out[n, p, c] = scale * (r[c, 0] * x0 + r[c, 1] * x1 + r[c, 2] * x2) + mean[3 + c]


@numba.njit(nogil=True, cache=True, fastmath={"reassoc", "contract"})
def _distances(x: NDArray, y: NDArray, each: int, start: int, out: Reals) -> None:
    """Mean distance of each set to the one that `each` of them share; the first is number `start`."""
    for n in range(len(x)):
        target, total = y[(start + n) // each], 0.0
        for p in range(x.shape[1]):
            d0 = np.float64(x[n, p, 0]) - np.float64(target[p, 0])
            d1 = np.float64(x[n, p, 1]) - np.float64(target[p, 1])
            d2 = np.float64(x[n, p, 2]) - np.float64(target[p, 2])
            total += np.sqrt(d0 * d0 + d1 * d1 + d2 * d2)
        out[n] = total / x.shape[1]


def mean_distances(points: NDArray, target: NDArray) -> Reals:
    """(n,) mean distance of (n, J, 3) points to (m, J, 3) targets, n / m sets per target; in the points' unit."""
    x, y = np.ascontiguousarray(points), np.ascontiguousarray(target)
    each, out = len(x) // max(len(y), 1), np.empty(len(x))
    _in_threads(lambda part: _distances(x[part], y, each, part.start, out[part]), len(x), max(1, 100_000 // x.shape[1]))
    return out


@numba.njit(nogil=True, cache=True)
def _apart(x: NDArray, out: Reals) -> None:
    """Sum of the distances of each set's points to the same points of the other sets of its group."""
    groups, sets, points, _ = x.shape
    for n in range(groups):
        out[n] = 0.0
        for i in range(sets):
            for j in range(i):
                total = 0.0
                for p in range(points):
                    d0 = np.float64(x[n, i, p, 0]) - np.float64(x[n, j, p, 0])
                    d1 = np.float64(x[n, i, p, 1]) - np.float64(x[n, j, p, 1])
                    d2 = np.float64(x[n, i, p, 2]) - np.float64(x[n, j, p, 2])
                    total += np.sqrt(d0 * d0 + d1 * d1 + d2 * d2)
                out[n, i] += total
                out[n, j] += total


def distances_in_groups(points: NDArray) -> Reals:
    """(n, g) how far each set of (n, g, J, 3) points lies from the rest of its group; float32 or float64.

    The sum over the other sets of the mean distance of points, times J.
    """
    x = np.ascontiguousarray(points)
    out = np.empty(x.shape[:2])
    _in_threads(lambda part: _apart(x[part], out[part]), len(x), max(1, 1_000_000 // max(1, x[0].size * x.shape[1])))
    return out


def aligned_errors(points: Reals, target: Reals, aligned: Flags | None = None, measured: Flags | None = None) -> Reals:
    """(n,) mean distance of (n, J, 3) points, moved by the best similarity of each set, to `target`; in their unit.

    aligned: (n, J) which points the similarity is found from; measured: which are then averaged; None = all. NaN where
    none is measured.
    """
    x, y, none = np.ascontiguousarray(points), np.ascontiguousarray(target), np.zeros((0, 0), bool)
    on, over = (none if one is None else np.ascontiguousarray(one) for one in (aligned, measured))
    out = np.empty(len(x))

    def work(part: slice) -> None:
        _errors(x[part], y[part], on[part] if len(on) else on, over[part] if len(over) else over, out[part])

    _in_threads(work, len(x))
    return out


def aligned_points(points: Reals, target: Reals, aligned: Flags | None = None) -> Reals:
    """(n, J, 3) points moved by the best similarity of each set to `target`; see `aligned_errors`."""
    x, y = np.ascontiguousarray(points), np.ascontiguousarray(target)
    on = np.zeros((0, 0), bool) if aligned is None else np.ascontiguousarray(aligned)
    out = np.empty_like(x)
    _in_threads(lambda part: _moved(x[part], y[part], on[part] if len(on) else on, out[part]), len(x))
    return out


def _in_threads(work: Callable[[slice], None], count: int, size: int = CHUNK) -> None:
    """Run `work` on parts of `size` sets on all available cores; the compiled code runs without Python's lock."""
    parts = [slice(start, min(start + size, count)) for start in range(0, count, size)]
    if len(parts) < 2:
        for part in parts:
            work(part)
        return
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with ThreadPoolExecutor(min(cores, len(parts))) as pool:
        list(pool.map(work, parts))
