"""Meshes seen from elsewhere, without the photograph: from the side, from above, all around.

No perspective, so that lengths compare. What is farther from the viewer is darker. The floor lies under the lowest
point, with a shadow where the body touches it or nearly does; it has fields of 25 cm.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from hmr.rendering.mesh import Mesh, WeakPerspective, fault_of
from hmr.rendering.overlay import NumbaRenderer, Overlay, OverlayRenderer
from hmr.rendering.rasterizer import Buffers, Floats, draw_surface, snapped
from hmr.rendering.style import DEFAULT_STYLE, PAPER, Style

FROM_RIGHT: Floats = np.array([[0, 0, 1], [0, 1, 0], [-1, 0, 0]], np.float32)
"""Turns the camera's frame so that one looks from the photograph's right: near the camera is left, far is right."""
FROM_ABOVE: Floats = np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]], np.float32)
"""Turns it so that one looks down from above: near the camera is at the bottom, far at the top."""
SHADE = 0.35  # least share by which the farthest point is darker than the nearest
TILT = 6.0  # degrees from which side views look down, so that the floor is seen
FILL = 0.86  # of the picture's side that the meshes take
CELLS = 72  # of the floor, each way
TILE = 0.25  # metres, side of a field of the floor
TOUCH = 0.05  # metres above the floor at which the shadow has faded to a third


def side_view(
    meshes: Sequence[Mesh], size: int, style: Style = DEFAULT_STYLE, renderer: OverlayRenderer | None = None
) -> NDArray[np.uint8]:
    """The meshes from the photograph's right, (size, size, 3): depth runs from left to right, and they fill it."""
    return view(meshes, _tilted(TILT) @ FROM_RIGHT, size, style, renderer).image


def top_view(
    meshes: Sequence[Mesh], size: int, style: Style = DEFAULT_STYLE, renderer: OverlayRenderer | None = None
) -> NDArray[np.uint8]:
    """The meshes from above, (size, size, 3): depth runs from the bottom to the top."""
    return view(meshes, FROM_ABOVE, size, style, renderer).image


def turntable(
    meshes: Sequence[Mesh], size: int, frames: int = 36, style: Style = DEFAULT_STYLE,
    renderer: OverlayRenderer | None = None,
) -> Iterator[NDArray[np.uint8]]:  # fmt: skip
    """Pictures (size, size, 3) all around the meshes, once, from a little above; the first is from the front."""
    drawer = renderer or NumbaRenderer()
    scale = _scale(meshes, size)
    for turn in np.linspace(0, 2 * np.pi, frames, endpoint=False):
        cos, sin = np.cos(turn), np.sin(turn)
        around = np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]], np.float32)
        yield view(meshes, _tilted(12.0) @ around, size, style, drawer, scale).image


def view(
    meshes: Sequence[Mesh], turn: Floats, size: int, style: Style = DEFAULT_STYLE,
    renderer: OverlayRenderer | None = None, scale: float | None = None,
) -> Overlay:  # fmt: skip
    """The meshes turned by a rotation (3, 3) about their middle, on paper, (size, size, 3).

    scale: px per metre; None = so that they fill the picture. A mesh that cannot be drawn is named in the remarks.
    """
    drawer, paper = renderer or NumbaRenderer(), np.full((size, size, 3), PAPER, dtype=np.uint8)
    sound = [mesh for mesh in meshes if not fault_of(mesh)]
    style = replace(style, opacity=1.0, depth_shade=max(style.depth_shade, SHADE))
    if not sound:
        return drawer.draw(meshes, WeakPerspective(1.0, size / 2, size / 2), paper, style)
    low, high = _box(sound)
    middle = (low + high) / 2
    turned = [replace(mesh, vertices=(np.asarray(mesh.vertices, np.float32) - middle) @ turn.T) for mesh in sound]
    seen_low, seen_high = _box(turned)
    centre = (seen_low + seen_high)[:2] / 2
    scale = scale or FILL * size / max(float((seen_high - seen_low)[:2].max()), 1e-3)
    camera = WeakPerspective(scale, size / 2 - scale * float(centre[0]), size / 2 - scale * float(centre[1]))
    if style.ground:
        floor = _floor(sound, low, high)
        floor = replace(floor, vertices=(np.asarray(floor.vertices) - middle) @ turn.T)
        bare = replace(style, contour=0.0, outline=0.0, depth_shade=0.0)
        paper = NumbaRenderer().draw([floor], camera, paper, bare).image  # OpenGL knows no shadow
    drawn = drawer.draw(turned, camera, paper, style)
    return drawn._replace(remarks=tuple(fault for mesh in meshes if (fault := fault_of(mesh))))


def _tilted(degrees: float) -> Floats:
    """A rotation (3, 3) after which one looks down by an angle."""
    angle = np.radians(degrees)
    cos, sin = np.cos(angle), np.sin(angle)
    return np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]], np.float32)


def _scale(meshes: Sequence[Mesh], size: int) -> float:
    """Pixels a metre at which the meshes fit into the picture however they are turned about the vertical axis."""
    sound = [mesh for mesh in meshes if not fault_of(mesh)]
    if not sound:
        return 1.0
    low, high = _box(sound)
    width = 2 * max(
        float(np.linalg.norm((np.asarray(mesh.vertices) - (low + high) / 2)[:, [0, 2]], axis=1).max()) for mesh in sound
    )
    return FILL * size / max(width, float((high - low)[1]), 1e-3)


class _Box(NamedTuple):
    low: Floats  # (3,)
    high: Floats  # (3,)


def _box(meshes: Sequence[Mesh]) -> _Box:
    vertices = [np.asarray(mesh.vertices, np.float32) for mesh in meshes]
    return _Box(np.min([v.min(0) for v in vertices], axis=0), np.max([v.max(0) for v in vertices], axis=0))


def _floor(meshes: Sequence[Mesh], low: Floats, high: Floats) -> Mesh:
    """A round floor under the lowest point, in the camera's frame, darker where a mesh is just above it."""
    radius = 0.62 * max(float((high - low)[[0, 2]].max()), 0.5 * float(high[1] - low[1]), 0.3)
    middle, level = (low + high) / 2, float(high[1])
    cell = 2 * radius / CELLS
    corner = middle[[0, 2]] - radius
    buffers = Buffers.empty(CELLS + 1, CELLS + 1)
    for mesh in meshes:  # seen from below: the nearest surface is the lowest
        vertices = np.asarray(mesh.vertices, np.float32)
        places = (vertices[:, [0, 2]] - corner) / cell + 0.5
        points = np.column_stack([places, level - vertices[:, 1]]).astype(np.float32)
        draw_surface(buffers, snapped(points, _HIGH), mesh.faces, cull_back=False)
    height = np.where(buffers.nearness > 0, _HIGH - buffers.nearness, np.inf)
    shadow = gaussian_filter(np.maximum(0.8 * np.exp(-height / TOUCH), 0.3 * np.exp(-height / (8 * TOUCH))), 1.0)
    at = np.arange(CELLS + 1) * cell + corner[:, None]
    x, z = np.meshgrid(*at)  # rows are z, columns are x
    fields = (np.floor((x - middle[0]) / TILE) + np.floor((z - middle[2]) / TILE)) % 2
    rim = np.clip(3 * (1 - np.hypot(x - middle[0], z - middle[2]) / radius), 0, 1)  # fades out: no border
    brightness = (1 - rim * (0.06 + 0.05 * fields)) * (1 - shadow)
    row, column = np.mgrid[:CELLS, :CELLS].reshape(2, -1)
    a = row * (CELLS + 1) + column
    b, c, d = a + 1, a + CELLS + 1, a + CELLS + 2
    far = np.hypot(x - middle[0], z - middle[2]).ravel() > radius
    faces = np.concatenate([np.stack([a, b, c], 1), np.stack([b, d, c], 1)])
    faces = faces[~far[faces].any(1)]
    vertices = np.stack([x.ravel(), np.full(x.size, level), z.ravel()], 1).astype(np.float32)
    return Mesh(vertices, faces, colour=_FLOOR, brightness=brightness.astype(np.float32).ravel(), name="floor")


_FLOOR = (PAPER[0] / 255, PAPER[1] / 255, PAPER[2] / 255)
_HIGH = 100.0  # metres: above every body
