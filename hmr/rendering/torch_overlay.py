"""Overlays by torch: the back end for a GPU. On a CPU it draws the same pictures, slowly; tests hold it to numba there.

Points are snapped and edges tested in whole numbers, as in `hmr.rendering.rasterizer`, so it covers the same samples.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hmr.rendering.blending import CONTOUR, SOLID, STEP, Colours, Lines, in_samples, window
from hmr.rendering.mesh import Camera, Mesh, Scene, check_image, placed
from hmr.rendering.overlay import Overlay
from hmr.rendering.rasterizer import snapped
from hmr.rendering.style import DEFAULT_STYLE, Style

_LOW = (1 << 31) - 1  # faces count down from here in the lower half of a key, so that of equals the first wins
_AT_ONCE = 1 << 24  # pairs of a face and a sample that are tested together, about 2 GB


class TorchRenderer:
    """Z-buffer on a torch device."""

    name = "gpu"

    def __init__(self, device: str | torch.device = "cuda") -> None:
        self.device = torch.device(device)

    @torch.no_grad()
    def draw(
        self, meshes: Sequence[Mesh], camera: Camera, image: NDArray[np.uint8], style: Style = DEFAULT_STYLE
    ) -> Overlay:
        """As `OverlayRenderer.draw`."""
        check_image(image)
        scene = placed(meshes, camera, style)
        overlay = Overlay(image.copy(), np.zeros(image.shape[:2], dtype=np.bool_), scene.remarks)
        left, top, right, bottom = window(scene, *image.shape[:2])
        if left >= right or top >= bottom:
            return overlay
        lines, scale = Lines.of(scene, style, image.shape), style.antialias
        margin = lines.reach
        height, width = (bottom - top + 2 * margin) * scale, (right - left + 2 * margin) * scale
        corners = self._corners(scene, left - margin, top - margin, scale)
        near, face = self._nearest(corners, height, width)
        value = _interpolated(corners, face, width)
        part = (slice(top, bottom), slice(left, right))
        below = torch.from_numpy(np.ascontiguousarray(image[part])).to(self.device)
        picture, mask = _blended(near, face, value, self._tones(Colours.of(scene)), lines, style, below)
        overlay.image[part], overlay.mask[part] = picture.cpu().numpy(), mask.cpu().numpy()
        return overlay

    def _tones(self, colours: Colours) -> Tensor:
        """The colour (F, 3) of each face."""
        palette = torch.from_numpy(colours.palette).to(self.device)
        return palette[torch.from_numpy(colours.tones).to(self.device).long()]

    def _corners(self, scene: Scene, left: int, top: int, scale: int) -> "_Corners":
        """All faces of a scene by their corners, those seen from the front, in samples from (left, top)."""
        grids, nears, values, faces, first = [], [], [], [], 0
        for part in scene.placed:
            at = snapped(in_samples(part.points, left, top, scale), scene.far)
            grids.append(at.grid)
            nears.append(at.nearness)
            values.append(part.brightness)
            faces.append(part.faces + first)
            first += len(part.points)
        index = torch.from_numpy(np.concatenate(faces)).to(self.device).long()
        index = index[:, [0, 2, 1]]  # clockwise on the screen, where v points down
        grid, near, value = (torch.from_numpy(np.concatenate(x)).to(self.device) for x in (grids, nears, values))
        return _Corners(grid.long()[index], near[index], value[index])

    def _nearest(self, corners: "_Corners", height: int, width: int) -> tuple[Tensor, Tensor]:
        """Nearness (h, w), 0 where nothing is, and face (h, w), of what is nearest."""
        lows = ((corners.grid.amin(1) + 127) >> 8).clamp(min=0)
        highs = (corners.grid.amax(1) - 128) >> 8
        highs = torch.minimum(highs, torch.tensor([width - 1, height - 1], device=self.device))
        extent = (highs - lows + 1).clamp(min=0)
        a, b, c = corners.grid.unbind(1)
        area = _cross(b - a, c - a)
        count = extent.prod(1) * ((area > 0) & (corners.near > 0).all(1))
        keys = torch.zeros(height * width, dtype=torch.int64, device=self.device)
        chosen = count.nonzero()[:, 0]
        ends = count[chosen].cumsum(0)
        batch = torch.div(ends - 1, _AT_ONCE, rounding_mode="floor")
        for number in range(int(batch[-1]) + 1 if len(batch) else 0):
            some = chosen[batch == number]
            self._test(corners, some, count[some], lows[some], extent[some, 0], width, keys)
        near = (keys >> 32).to(torch.int32).view(torch.float32)
        face = torch.where(keys > 0, _LOW - (keys & 0xFFFFFFFF), 0)
        return near.view(height, width), face.view(height, width)

    def _test(
        self, corners: "_Corners", faces: Tensor, count: Tensor, low: Tensor, across: Tensor, width: int, keys: Tensor
    ) -> None:
        """Put these faces into the keys (h * w,), where they are the nearest so far."""
        each = torch.repeat_interleave(torch.arange(len(faces), device=self.device), count)
        place = torch.arange(len(each), device=self.device) - (count.cumsum(0) - count)[each]
        column = low[each, 0] + place % across[each]
        row = low[each, 1] + place // across[each]
        shares = _edges(corners.grid[faces], each, column, row)
        hit = (shares[0] | shares[1] | shares[2]) >= 0
        each, column, row = each[hit], column[hit], row[hit]
        near = _at(corners, corners.near, faces[each], shares[1][hit], shares[2][hit])
        key = (near.view(torch.int32).long() << 32) | (_LOW - faces[each])
        keys.scatter_reduce_(0, row * width + column, key, "amax")

    def close(self) -> None:
        """Nothing is held between pictures."""

    def __enter__(self) -> "TorchRenderer":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Corners(NamedTuple):
    """The three corners of each face."""

    grid: Tensor  # (F, 3, 2) steps of 1/256 sample
    near: Tensor  # (F, 3)
    value: Tensor  # (F, 3)


def _cross(p: Tensor, q: Tensor) -> Tensor:
    return p[..., 0] * q[..., 1] - p[..., 1] * q[..., 0]


def _edges(grid: Tensor, each: Tensor, column: Tensor, row: Tensor) -> list[Tensor]:
    """The three edge functions of faces (F, 3, 2) at samples (N,) of faces `each`; all at least 0: inside."""
    x, y = column * 256 + 128, row * 256 + 128
    found = []
    for first, second in ((1, 2), (2, 0), (0, 1)):
        start, step = grid[:, first], grid[:, second] - grid[:, first]
        top_left = (step[:, 1] < 0) | ((step[:, 1] == 0) & (step[:, 0] > 0))
        start, step, top_left = start[each], step[each], top_left[each]
        found.append(step[:, 0] * (y - start[:, 1]) - step[:, 1] * (x - start[:, 0]) - (~top_left).long())
    return found


def _at(corners: _Corners, quantity: Tensor, face: Tensor, share_b: Tensor, share_c: Tensor) -> Tensor:
    """A quantity (F, 3) of the corners at samples of given faces (N,), linear on the screen."""
    a, b, c = corners.grid.unbind(1)
    scale = (1.0 / _cross(b - a, c - a).double()).float()
    slope_b = (quantity[:, 1] - quantity[:, 0]) * scale
    slope_c = (quantity[:, 2] - quantity[:, 0]) * scale
    return quantity[face, 0] + share_b.float() * slope_b[face] + share_c.float() * slope_c[face]


def _interpolated(corners: _Corners, face: Tensor, width: int) -> Tensor:
    """The value (h, w) at every sample of the face that is nearest there."""
    flat = face.reshape(-1)
    place = torch.arange(len(flat), device=flat.device)
    shares = _edges(corners.grid, flat, place % width, torch.div(place, width, rounding_mode="floor"))
    return _at(corners, corners.value, flat, shares[1], shares[2]).view(face.shape)


def _blended(
    near: Tensor, face: Tensor, value: Tensor, tones: Tensor, lines: Lines, style: Style, below: Tensor
) -> tuple[Tensor, Tensor]:
    """The picture below (h, w, 3) with the mesh over it, and its mask (h, w): as `hmr.rendering.overlay.blend`."""
    height, width = below.shape[:2]
    scale = style.antialias
    inner = slice(lines.reach * scale, -lines.reach * scale)

    def shifted(down: int, right: int) -> Tensor:
        return torch.roll(near, (-down * scale, -right * scale), (0, 1))[inner, inner]

    here, light = near[inner, inner], value[inner, inner]
    weight = torch.full_like(here, style.opacity)
    solid = max(style.opacity, SOLID)
    around = torch.stack([shifted(*d) for d in ((-lines.edge, 0), (lines.edge, 0), (0, -lines.edge), (0, lines.edge))])
    around = around.amax(0)
    if lines.far:
        hidden = around >= here + (STEP + lines.step)
    else:
        room = (1 - lines.step) - STEP * here
        hidden = (room > 0) & (around * room >= here)
    light = torch.where(hidden, light * (1 - style.outline), light)
    weight = torch.where(hidden, solid, weight)
    if lines.contour:
        rim = torch.stack([shifted(*offset) for offset in lines.offsets.tolist()]).amin(0) == 0
        light, weight = torch.where(rim, CONTOUR, light), torch.where(rim, solid, weight)
    weight = torch.where(here > 0, weight, 0)
    colours = tones[face[inner, inner]] * (light * weight)[..., None]
    covered = weight.view(height, scale, width, scale).mean((1, 3))
    drawn = colours.view(height, scale, width, scale, 3).mean((1, 3))
    picture = below * (1 - covered)[..., None] + 255 * drawn + 0.5
    mask = 2 * (here > 0).view(height, scale, width, scale).sum((1, 3)) >= scale * scale
    return picture.to(torch.uint8), mask
