"""Pictures resampled fast: upright by area, and through any affine map.

Pixel centres lie at + 0.5; outside the picture is black. Both kernels
release the GIL and are compiled once (numba keeps them in its cache).
"""

import math

import numba
import numpy as np
from numpy.typing import NDArray


@numba.njit(cache=True, nogil=True)
def _spread(start: float, step: float, out: int, length: int) -> tuple[NDArray, NDArray, NDArray]:
    """Per output pixel: first source pixel, one past the last, and the share of the first and of the last.

    The window of output i is centred at start + (i + 1/2) step and max(1, step) wide.
    """
    first = np.empty(out, np.int64)
    last = np.empty(out, np.int64)
    shares = np.empty((out, 2), np.float32)
    width = max(1.0, step)
    for i in range(out):
        low = start + (i + 0.5) * step - width / 2
        high = low + width
        first[i] = math.floor(low)
        last[i] = math.ceil(high)
        shares[i, 0] = first[i] + 1 - low
        shares[i, 1] = high - (last[i] - 1)
    return first, last, shares


@numba.njit(cache=True, nogil=True, fastmath=True)
def resample_area(
    pixels: NDArray[np.uint8], left: float, top: float, step: float, height: int, width: int
) -> NDArray[np.uint8]:
    """(h, w, 3) -> (height, width, 3), 0-255: each output pixel is a mean over a window max(1, step) pixels wide.

    Output pixel (i, j) is centred at (left + (j + 1/2) step, top + (i + 1/2) step) of the source. A window
    one pixel wide is bilinear interpolation; a wider one is the exact area mean, so shrinking does not alias.
    """
    rows, columns = pixels.shape[0], pixels.shape[1]
    out = np.zeros((height, width, 3), np.uint8)
    row_first, row_last, row_share = _spread(top, step, height, rows)
    col_first, col_last, col_share = _spread(left, step, width, columns)
    start = min(max(col_first[0], 0), columns)
    stop = max(min(col_last[-1], columns), start)
    line = np.zeros((stop - start) * 3, np.float32)
    area = np.float32(max(1.0, step) ** 2)
    flat = pixels.reshape(rows, columns * 3)
    for i in range(height):
        line[:] = 0
        for row in range(max(row_first[i], 0), min(row_last[i], rows)):
            weight = np.float32(1)
            if row == row_first[i]:
                weight = row_share[i, 0]
            elif row == row_last[i] - 1:
                weight = row_share[i, 1]
            source = flat[row, start * 3 : stop * 3]
            for k in range(len(line)):
                line[k] += weight * source[k]
        for j in range(width):
            red = np.float32(0)
            green = np.float32(0)
            blue = np.float32(0)
            for column in range(max(col_first[j], 0), min(col_last[j], columns)):
                weight = np.float32(1)
                if column == col_first[j]:
                    weight = col_share[j, 0]
                elif column == col_last[j] - 1:
                    weight = col_share[j, 1]
                place = (column - start) * 3
                red += weight * line[place]
                green += weight * line[place + 1]
                blue += weight * line[place + 2]
            out[i, j, 0] = np.uint8(red / area + np.float32(0.5))
            out[i, j, 1] = np.uint8(green / area + np.float32(0.5))
            out[i, j, 2] = np.uint8(blue / area + np.float32(0.5))
    return out


def resample_affine(source: NDArray, matrix: NDArray[np.float64], size: int, samples: int) -> NDArray[np.float32]:
    """(h, w, c) -> (size, size, c): output point (u, v) shows source point matrix (2, 3) @ (u, v, 1).

    Bilinear; each output pixel is the mean of samples x samples points, against aliasing.
    """
    return _resampled(np.ascontiguousarray(source), matrix, size, samples)


@numba.njit(cache=True, nogil=True, fastmath=True)
def _resampled(source: NDArray, matrix: NDArray[np.float64], size: int, samples: int) -> NDArray[np.float32]:
    rows, columns, channels = source.shape
    flat, line = source.reshape(-1), columns * channels
    out = np.zeros((size, size, channels), np.float32)
    share, step = np.float32(1.0 / (samples * samples)), 1.0 / samples
    across_x, across_y = matrix[0, 0], matrix[1, 0]
    for i in range(size):
        for j in range(size):
            for a in range(samples):
                v = i + (a + 0.5) * step
                left = matrix[0, 1] * v + matrix[0, 2] - 0.5
                top = matrix[1, 1] * v + matrix[1, 2] - 0.5
                for b in range(samples):
                    u = j + (b + 0.5) * step
                    x = across_x * u + left
                    y = across_y * u + top
                    if x >= 0 and y >= 0 and x < columns - 1 and y < rows - 1:
                        # Unsigned places need no test for negative ones.
                        column, row = np.int64(x), np.int64(y)
                        lower = np.float32(y - row) * share
                        upper = share - lower
                        right = np.float32(x - column)
                        first = np.uint64(row * line + column * channels)
                        for k in range(channels):
                            here = first + np.uint64(k)
                            beside = here + np.uint64(channels)
                            below, opposite = here + np.uint64(line), beside + np.uint64(line)
                            out[i, j, k] += (
                                (upper - upper * right) * flat[here]
                                + upper * right * flat[beside]
                                + (lower - lower * right) * flat[below]
                                + lower * right * flat[opposite]
                            )
                    elif x > -1 and y > -1 and x < columns and y < rows:
                        _add_at_edge(out[i, j], source, x, y, share)
    return out


@numba.njit(cache=True, nogil=True, fastmath=True)
def _add_at_edge(out: NDArray[np.float32], source: NDArray, x: float, y: float, share: np.float32) -> None:
    """Add the share of a point within a pixel of the edge to (c,) values; outside is black."""
    rows, columns, channels = source.shape
    column, row = math.floor(x), math.floor(y)
    for r in range(max(row, 0), min(row + 2, rows)):
        for c in range(max(column, 0), min(column + 2, columns)):
            weight = np.float32((1 - abs(r - y)) * (1 - abs(c - x))) * share
            for k in range(channels):
                out[k] += weight * source[r, c, k]
