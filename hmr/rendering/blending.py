"""From the z-buffer to pixels: colours, contour, edges of limbs, opacity, several samples a pixel."""

from collections.abc import Sequence
from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from hmr.rendering.mesh import Scene
from hmr.rendering.rasterizer import Buffers, Floats
from hmr.rendering.style import Style

FULL_WIDTH = 512  # px of a picture in which widths of lines are as the style says
STEP = 0.03  # metres by which a limb must lie in front of what is behind it, for its edge to be drawn
CONTOUR = 0.16  # brightness of the contour
SOLID = 0.9  # least opacity of lines
_compiled = numba.njit(cache=True, nogil=True, error_model="numpy")


class Colours(NamedTuple):
    """The colour of each face of a scene, in full light."""

    tones: NDArray[np.uint8]  # (F,) row of the palette
    palette: Floats  # (T, 3) RGB, 0..1

    @classmethod
    def of(cls, scene: Scene) -> "Colours":
        """Colours of all faces, numbered through all meshes; at most 85 meshes have colours of their own."""
        rows: dict[tuple, int] = {}
        tones = []
        for part in scene.placed:
            own = np.array([rows.setdefault(colour, min(len(rows), 255)) for colour in part.palette], np.uint8)
            tones.append(own[part.sides])
        return cls(np.concatenate(tones), np.array(list(rows)[:256], np.float32))


class Lines(NamedTuple):
    """Contour and inner edges in pixels of one picture."""

    reach: int  # px of margin that lines need
    contour: int  # px, 0 = none
    edge: int  # px
    step: float  # depth that two pixels are apart at 1 m, or everywhere without perspective
    far: float  # of the scene: 0 = perspective

    @property
    def offsets(self) -> NDArray[np.int64]:
        """(8, 2) rows and columns, px, at which the contour looks for the border."""
        far, near = self.contour, round(0.7 * self.contour)
        straight = [(-far, 0), (far, 0), (0, -far), (0, far)]
        return np.array([*straight, (-near, -near), (-near, near), (near, -near), (near, near)])

    @classmethod
    def of(cls, scene: Scene, style: Style, shape: Sequence[int]) -> "Lines":
        """Widths for a picture of (height, width, ...)."""
        share = min(shape[:2]) / FULL_WIDTH
        contour = round(style.contour * share)
        edge = max(round(share), 1)
        return cls(max(contour, edge) + 1, contour, edge, 2.0 / scene.focal, scene.far)


def in_samples(points: Floats, left: int, top: int, scale: int) -> Floats:
    """Points (V, 3) (u, v in px, z) counted in samples from the pixel (left, top), `scale` samples a pixel."""
    return (points - np.array([left, top, 0], np.float32)) * np.array([scale, scale, 1], np.float32)


def window(scene: Scene, height: int, width: int) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of the part of a picture that can show the scene, px; all 0 if there is none."""
    windows = [_window(part.points, width, height) for part in scene.placed]
    shown = [w for w in windows if w[0] < w[2]]
    if not shown:
        return 0, 0, 0, 0
    lefts, tops, rights, bottoms = zip(*shown)
    return min(lefts), min(tops), max(rights), max(bottoms)


def blend(
    buffers: Buffers, colours: Colours, lines: Lines, style: Style, image: NDArray[np.uint8], mask: NDArray[np.bool_],
    scratch: Floats,
) -> None:  # fmt: skip
    """Blend what was drawn into an image (h, w, 3) and fill its mask (h, w), in place.

    The buffers have `style.antialias` samples a pixel each way, and `lines.reach` pixels of margin on each side.
    scratch: at least (2, h + 2 reach, w + 2 reach) floats, whose contents do not matter.
    """
    height, width = image.shape[0] + 2 * lines.reach, image.shape[1] + 2 * lines.reach
    scale = buffers.nearness.shape[0] // height
    low, high = scratch.reshape(-1)[: 2 * height * width].reshape(2, height, width)
    _blend(*buffers, *colours, scale, *lines, lines.offsets, style.opacity, 1 - style.outline, image, mask, low, high)


@_compiled
def _window(points, width, height):
    """Left, top, right, bottom of the part of a picture that holds all points."""
    left, top, right, bottom = np.inf, np.inf, -np.inf, -np.inf
    for i in range(len(points)):
        u, v = points[i, 0], points[i, 1]
        if u == 0.0 and v == 0.0:
            continue  # `project` puts points here that are too near
        left, right = min(left, u), max(right, u)
        top, bottom = min(top, v), max(bottom, v)
    if not (left < width and right > 0.0 and top < height and bottom > 0.0):
        return 0, 0, 0, 0
    first = max(int(np.floor(max(left, 0.0))), 0), max(int(np.floor(max(top, 0.0))), 0)
    last = int(np.ceil(min(right, width))), int(np.ceil(min(bottom, height)))
    return first[0], first[1], last[0], last[1]


@_compiled
def _hidden_from(near, step, far):
    """The nearness from which on a neighbour lies in front of a sample by STEP and two pixels."""
    if far > 0.0:
        return near + np.float32(STEP + step)
    room = np.float32(1.0 - step) - np.float32(STEP) * near
    return near / room if room > 0.0 else np.float32(np.inf)


@_compiled
def _extremes(near, scale, low, high):
    """Least and greatest nearness of the samples of each pixel."""
    for row in range(len(low)):
        lows, highs = low[row], high[row]
        if scale == 2:  # by far the most frequent: written so that it is done for many pixels at once
            upper, lower = near[2 * row], near[2 * row + 1]
            for column in range(len(lows)):
                a, b, c, d = upper[2 * column], upper[2 * column + 1], lower[2 * column], lower[2 * column + 1]
                lows[column], highs[column] = min(min(a, b), min(c, d)), max(max(a, b), max(c, d))
            continue
        for column in range(len(lows)):
            least = most = near[row * scale, column * scale]
            for y in range(row * scale, (row + 1) * scale):
                for x in range(column * scale, (column + 1) * scale):
                    least, most = min(least, near[y, x]), max(most, near[y, x])
            lows[column], highs[column] = least, most


@_compiled
def _kinds(low, high, row, reach, contour, slant, edge, step, far, kinds):
    """Of each pixel in a row: 0 = empty, 1 = within a mesh with no line near, 2 = to be looked at sample by sample."""
    n = len(kinds)
    here, most = low[row, reach : reach + n], high[row, reach : reach + n]
    north, south = low[row - contour, reach : reach + n], low[row + contour, reach : reach + n]
    west, east = low[row, reach - contour : reach - contour + n], low[row, reach + contour : reach + contour + n]
    nw, ne = low[row - slant, reach - slant : reach - slant + n], low[row - slant, reach + slant : reach + slant + n]
    sw, se = low[row + slant, reach - slant : reach - slant + n], low[row + slant, reach + slant : reach + slant + n]
    up, down = high[row - edge, reach : reach + n], high[row + edge, reach : reach + n]
    before, after = high[row, reach - edge : reach - edge + n], high[row, reach + edge : reach + edge + n]
    zero, least = np.float32(0.0), np.float32(STEP)
    keep, apart = np.float32(1.0 - step), np.float32(STEP + step)
    for k in range(n):
        border = min(min(min(north[k], south[k]), min(west[k], east[k])), min(min(nw[k], ne[k]), min(sw[k], se[k])))
        around = max(max(up[k], down[k]), max(before[k], after[k]))
        if far > 0.0:
            open_view = around < here[k] + apart
        else:
            open_view = around * (keep - least * here[k]) < here[k]
        inside = (here[k] > zero) & (border > zero) & open_view
        kinds[k] = 0 if most[k] == zero else (1 if inside else 2)


@_compiled
def _blend(
    near, face, value, tones, palette, scale, reach, contour, edge, step, far, offsets, opacity, inner, image, mask,
    low, high,
):  # fmt: skip
    """The contour is the part of the mesh within `contour` pixels of its border, dark and opaque. A sample within
    `edge` pixels of a nearer part is darkened by `inner`. A pixel is in the mask if half its samples show a mesh.
    """
    height, width = mask.shape
    samples = scale * scale
    one, dark, half = np.float32(1.0), np.float32(CONTOUR), np.float32(0.5)
    opacity, inner = np.float32(opacity), np.float32(inner)
    solid, full = max(opacity, np.float32(SOLID)), np.float32(255.0 / samples)
    offsets = scale * offsets
    count = len(offsets) if contour > 0 else 0
    e = edge * scale
    if scale == 1:
        low = high = near
    else:
        _extremes(near, scale, low, high)
    kinds = np.empty(width, np.uint8)
    for row in range(height):
        _kinds(low, high, row + reach, reach, contour, offsets[7, 0] // scale, edge, step, far, kinds)
        for column in range(width):
            kind = kinds[column]
            if kind == 0:
                continue
            top, left = (row + reach) * scale, (column + reach) * scale
            red = green = blue = covered = np.float32(0.0)
            seen = 0
            if kind == 1:
                seen = samples
                first, last = np.uint64(top), np.uint64(top + scale)  # unsigned: see `draw_surface`
                start, end = np.uint64(left), np.uint64(left + scale)
                tone, light, alike = tones[face[top, left]], np.float32(0.0), True
                for y in range(first, last):
                    for x in range(start, end):
                        light += value[y, x]
                        alike &= tones[face[y, x]] == tone
                if alike:
                    red, green, blue = light * palette[tone, 0], light * palette[tone, 1], light * palette[tone, 2]
                else:
                    for y in range(first, last):
                        for x in range(start, end):
                            tone, light = tones[face[y, x]], value[y, x]
                            red += light * palette[tone, 0]
                            green += light * palette[tone, 1]
                            blue += light * palette[tone, 2]
                red, green, blue, covered = opacity * red, opacity * green, opacity * blue, opacity
            else:
                for y in range(top, top + scale):
                    for x in range(left, left + scale):
                        if near[y, x] == 0.0:
                            continue
                        seen += 1
                        light, weight, rim = value[y, x], opacity, False
                        for k in range(count):
                            rim |= near[y + offsets[k, 0], x + offsets[k, 1]] == 0.0
                        if rim:
                            light, weight = dark, solid
                        else:
                            around = max(max(near[y - e, x], near[y + e, x]), max(near[y, x - e], near[y, x + e]))
                            if around >= _hidden_from(near[y, x], step, far):
                                light, weight = light * inner, solid
                        tone = tones[face[y, x]]
                        covered += weight
                        red += weight * light * palette[tone, 0]
                        green += weight * light * palette[tone, 1]
                        blue += weight * light * palette[tone, 2]
                covered /= np.float32(samples)
            mask[row, column] = 2 * seen >= samples
            old = one - covered
            image[row, column, 0] = np.uint8(old * np.float32(image[row, column, 0]) + full * red + half)
            image[row, column, 1] = np.uint8(old * np.float32(image[row, column, 1]) + full * green + half)
            image[row, column, 2] = np.uint8(old * np.float32(image[row, column, 2]) + full * blue + half)
