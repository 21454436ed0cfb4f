"""A z-buffer for triangle meshes: depth, faces, colours, silhouettes. Numba on one CPU thread, no GL.

Frame: OpenCV camera, x right, y down, z forward, metres. Pixels: u to the right, v down, the centre of the
pixel in column c and row r at (c + 0.5, r + 0.5).

Coverage is exact: points are snapped to 1/256 pixel and edges are tested in whole numbers with the top-left
rule, so that two triangles that share an edge leave no crack between them and draw no pixel twice. One that is
partly outside the picture is clipped to it. A triangle with a vertex nearer than `NEAR` (or behind the camera, or
not finite) is left out: `hmr.rendering.clipping` cuts such triangles at the near plane first, so that the part in
front of it is drawn. The loops release the GIL: threads may draw different pictures.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Numbers = NDArray[Any] | Sequence[Any]  # anything that np.asarray turns into an array of the stated shape

NEAR = 0.25
"""Metres in front of the camera within which nothing is drawn. No photograph shows a person nearer than that, and a
body placed around the camera by mistake would fill the picture."""

_STEPS_LOG2 = 8
_STEPS = 1 << _STEPS_LOG2  # snapping grid: steps per pixel
_HALF = _STEPS // 2
_FARTHEST = 2.0**20  # pixels; farther points would overflow the whole numbers of the edge test
compiled = numba.njit(cache=True, nogil=True, error_model="numpy", boundscheck=False)


def project(vertices: Numbers, camera: Numbers) -> Floats:
    """Pinhole projection of vertices (V, 3), metres, with camera (4,) fx, fy, cx, cy in pixels.

        u = fx x / z + cx,   v = fy y / z + cy

    Returns (V, 3): u and v in pixels, z in metres. A vertex nearer than `NEAR` gets u = v = 0; by its z the
    drawing functions leave its triangles out.
    """
    camera = np.asarray(camera, dtype=np.float64)
    vertices = np.ascontiguousarray(vertices, dtype=np.float32)
    return _project(vertices, camera[0], camera[1], camera[2], camera[3])


def draw_depth(
    points: Numbers,
    faces: Numbers,
    height: int,
    width: int,
    *,
    cull_back: bool = False,
    out: Floats | None = None,
) -> Floats:
    """Depth in metres of the nearest triangle at each pixel centre, (height, width); inf where there is none.

    points (V, 3): u, v in pixels, z in metres, as `project` gives them; faces (F, 3). Depth is right in
    perspective. cull_back leaves out triangles seen from behind: for a closed mesh with outward faces (the
    body is one) the result is the same, and faster.
    out (height, width) float32 is overwritten and returned, to save the allocation. Raises ValueError if points are not
    (V, 3).
    """
    buffers = Buffers.empty(height, width)
    draw_surface(buffers, snapped(points), faces, cull_back=cull_back)
    depth = np.empty((height, width), dtype=np.float32) if out is None else out
    with np.errstate(divide="ignore"):
        return np.divide(np.float32(1.0), buffers.nearness, out=depth)


class Buffers(NamedTuple):
    """The z-buffer: for each sample what is nearest to the camera there."""

    nearness: Floats  # (h, w) larger is nearer, linear on the screen; 0 = nothing is there
    face: NDArray[np.int32]  # (h, w) number of the face; meaningless where nothing is
    value: Floats  # (h, w) a quantity of the vertices, interpolated on the screen; meaningless where nothing is

    @classmethod
    def empty(cls, height: int, width: int) -> "Buffers":
        """Buffers (height, width) in which nothing is drawn yet."""
        shape = (height, width)
        return cls(np.zeros(shape, np.float32), np.empty(shape, np.int32), np.empty(shape, np.float32))


class Snapped(NamedTuple):
    """Points as the edge test needs them."""

    grid: NDArray[np.int32]  # (V, 2) in steps of 1/256 px
    nearness: Floats  # (V,) 1 / z, or far - z without perspective; 0 = not to be drawn


def snapped(points: Numbers, far: float = 0.0) -> Snapped:
    """Points (V, 3) (u, v in px, z in metres) on the grid. far: 0 = perspective, else a z behind all points, of a
    picture without perspective. Raises ValueError if points are not (V, 3).
    """
    return Snapped(*_snap(_points(points), far))


def draw_surface(
    buffers: Buffers, at: Snapped, faces: Numbers, values: Floats | None = None, *, first: int = 0,
    cull_back: bool = True,
) -> None:  # fmt: skip
    """Draw one mesh into the buffers, in place; meshes drawn one after another hide each other in any order.

    faces (F, 3); values (V,) for the buffer of values; first: number of the mesh's first face in the buffer of faces.
    cull_back leaves out triangles seen from behind, which a closed mesh with outward faces never shows.
    """
    values = np.zeros(len(at.nearness), np.float32) if values is None else values
    _draw_surface(*at, values, _faces(faces), first, *buffers, cull_back)


def draw_colours(
    points: Numbers,
    faces: Numbers,
    colours: Numbers,
    image: Floats,
    depth: Floats | None = None,
    *,
    cull_back: bool = False,
    covered: NDArray[np.bool_] | None = None,
) -> NDArray[np.bool_]:
    """Draw a mesh into `image` (h, w, 3) float32, 0..1, in place; vertex colours (V, 3), already shaded.

    Colours vary linearly over a triangle on the screen (Gouraud). With a depth buffer (h, w) float32 (inf
    where empty, updated in place), several meshes drawn one after another hide each other in any order.
    Returns the pixels (h, w) that this call drew; `covered` is cleared and used for them if given. Raises
    ValueError if points are not (V, 3).
    """
    shape = image.shape[:2]
    depth = np.full(shape, np.inf, dtype=np.float32) if depth is None else depth
    covered = np.empty(shape, dtype=np.bool_) if covered is None else covered
    covered.fill(False)
    colours = np.ascontiguousarray(colours, dtype=np.float32)
    _draw_colours(*_snap(_points(points), 0.0), _faces(faces), colours, image, depth, covered, cull_back)
    return covered


def draw_silhouettes(points: Numbers, faces: Numbers, size: int, *, cull_back: bool = True) -> NDArray[np.uint8]:
    """Pixels covered by each of B meshes with the same faces: uint8 (B, size, size), 255 inside, 0 outside.

    points (B, V, 3): u, v in pixels of the small picture, z in metres. Triangles seen from behind are left
    out by default: the body is closed, so they add nothing. Pass cull_back=False for an open mesh. Raises
    ValueError if points are not (B, V, 3).
    """
    points = np.ascontiguousarray(points, dtype=np.float32)
    if points.ndim != 3:
        raise ValueError(f"points has shape {points.shape}; a batch of meshes has (B, V, 3): add an axis")
    drawn = np.zeros((len(points), size, size), dtype=np.uint8)
    _draw_silhouettes(points, _faces(faces), drawn, cull_back)
    return drawn


def vertex_normals(vertices: Numbers, faces: Numbers) -> Floats:
    """Unit normals (V, 3): mean normal of the faces about a vertex, with their areas as weights; zero without faces."""
    return _vertex_normals(np.ascontiguousarray(vertices, dtype=np.float32), _faces(faces))


@dataclass(frozen=True, eq=False)
class Lights:
    """Ambient light and directional lights in the camera frame, for `shade`."""

    ambient: float = 0.22
    directions: Floats = field(  # (L, 3) unit vectors from the surface towards each light
        default_factory=lambda: _unit([[-0.55, -0.60, -0.60], [0.80, -0.15, -0.45], [0.0, -0.75, 0.65]])
    )
    strengths: Floats = field(  # (L,) brightness added where a light falls straight on the surface
        default_factory=lambda: np.array([0.78, 0.28, 0.25], dtype=np.float32)
    )


def shade(normals: Numbers, lights: Lights, colour: Numbers = (1.0, 1.0, 1.0)) -> Floats:
    """Lambert shading: vertex colours (V, 3), 0..1, from unit normals (V, 3) and colour (3,) or (V, 3).

    colour * (ambient + sum_l strength_l max(0, normal . direction_l))
    """
    normals = np.asarray(normals, dtype=np.float32)
    facing = np.maximum(normals @ np.asarray(lights.directions, dtype=np.float32).T, 0.0)
    brightness = lights.ambient + facing @ np.asarray(lights.strengths, dtype=np.float32)
    return np.minimum(brightness[:, None] * np.asarray(colour, dtype=np.float32), 1.0)


def _unit(vectors: Numbers) -> Floats:
    vectors = np.asarray(vectors, dtype=np.float32)
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def _points(points: Numbers) -> Floats:
    points = np.ascontiguousarray(points, dtype=np.float32)
    if points.ndim != 2 or points.shape[1] != 3:
        raise ValueError(f"points has shape {points.shape}; one mesh has (V, 3): u, v in px, z in metres")
    return points


def _faces(faces: Numbers) -> NDArray[np.int32]:
    return np.ascontiguousarray(faces, dtype=np.int32)


@compiled
def _project(vertices, fx, fy, cx, cy):
    points = np.empty_like(vertices)
    for i in range(len(vertices)):
        z = vertices[i, 2]
        points[i, 2] = z
        if z > NEAR:
            points[i, 0] = fx * vertices[i, 0] / z + cx
            points[i, 1] = fy * vertices[i, 1] / z + cy
        else:
            points[i, 0] = points[i, 1] = 0.0
    return points


@compiled
def _snap(points, far):
    """Points (V, 3) on the grid, (V, 2) whole numbers, and nearness (V,), 0 for a point not to be drawn."""
    grid = np.zeros((len(points), 2), dtype=np.int32)
    nearness = np.zeros(len(points), dtype=np.float32)
    for i in range(len(points)):
        u, v, z = points[i]
        in_sight = z < np.float32(far) if far > 0.0 else z > NEAR and z < np.inf  # False for NaN
        if in_sight and abs(u) < _FARTHEST and abs(v) < _FARTHEST:
            grid[i, 0] = np.int32(np.floor(u * _STEPS + np.float32(0.5)))
            grid[i, 1] = np.int32(np.floor(v * _STEPS + np.float32(0.5)))
            nearness[i] = np.float32(far) - z if far > 0.0 else np.float32(1.0) / z
    return grid, nearness


@numba.njit(inline="always")
def _corners(grid, nearness, faces, face, cull_back):
    """Vertices a, b, c of a face in clockwise order on the screen, and twice its area; 0 = draw nothing."""
    a, b, c = faces[face, 0], faces[face, 1], faces[face, 2]
    area = (np.int64(grid[b, 0]) - grid[a, 0]) * (np.int64(grid[c, 1]) - grid[a, 1]) - (
        np.int64(grid[b, 1]) - grid[a, 1]
    ) * (np.int64(grid[c, 0]) - grid[a, 0])
    if area < 0:  # seen from the front: counter-clockwise on the screen, where v points down
        b, c, area = c, b, -area
    elif cull_back:
        area = np.int64(0)
    if nearness[a] == 0.0 or nearness[b] == 0.0 or nearness[c] == 0.0:
        area = np.int64(0)
    return a, b, c, area


@numba.njit(inline="always")
def _span(p, q, r, length):
    """First and last pixel whose centre lies within the three grid coordinates and the picture."""
    first = (min(p, q, r) + _HALF - 1) >> _STEPS_LOG2
    last = (max(p, q, r) - _HALF) >> _STEPS_LOG2
    return max(first, 0), min(last, length - 1)


@numba.njit(inline="always")
def _edge(grid, p, q, column, row):
    """Edge p -> q at a pixel centre: value (>= 0: inside), step per column, step per row."""
    dx = np.int64(grid[q, 0]) - grid[p, 0]
    dy = np.int64(grid[q, 1]) - grid[p, 1]
    x = np.int64(column) * _STEPS + _HALF - grid[p, 0]
    y = np.int64(row) * _STEPS + _HALF - grid[p, 1]
    top_left = dy < 0 or (dy == 0 and dx > 0)
    return dx * y - dy * x - (0 if top_left else 1), -dy * _STEPS, dx * _STEPS


@compiled
def _draw_surface(grid, nearness, values, faces, number, near, owner, value, cull_back):
    height, width = near.shape
    for face in range(len(faces)):
        a, b, c, area = _corners(grid, nearness, faces, face, cull_back)
        if area == 0:
            continue
        left, right = _span(grid[a, 0], grid[b, 0], grid[c, 0], width)
        top, bottom = _span(grid[a, 1], grid[b, 1], grid[c, 1], height)
        if left > right or top > bottom:
            continue
        wa, wa_x, wa_y = _edge(grid, b, c, left, top)
        wb, wb_x, wb_y = _edge(grid, c, a, left, top)
        wc, wc_x, wc_y = _edge(grid, a, b, left, top)
        near_a, scale = nearness[a], np.float32(1.0 / area)
        near_b, near_c = (nearness[b] - near_a) * scale, (nearness[c] - near_a) * scale
        value_a = values[a]
        value_b, value_c = (values[b] - value_a) * scale, (values[c] - value_a) * scale
        # Unsigned: an index that cannot be negative costs no test for it.
        for row in range(np.uint64(top), np.uint64(bottom + 1)):
            ea, eb, ec = wa, wb, wc
            for column in range(np.uint64(left), np.uint64(right + 1)):
                if (ea | eb | ec) >= 0:
                    share_b, share_c = np.float32(eb), np.float32(ec)
                    found = near_a + share_b * near_b + share_c * near_c
                    if found > near[row, column]:
                        near[row, column] = found
                        owner[row, column] = number + face
                        value[row, column] = value_a + share_b * value_b + share_c * value_c
                ea += wa_x
                eb += wb_x
                ec += wc_x
            wa += wa_y
            wb += wb_y
            wc += wc_y


@compiled
def _draw_colours(grid, nearness, faces, colours, image, depth, covered, cull_back):
    height, width = depth.shape
    for face in range(len(faces)):
        a, b, c, area = _corners(grid, nearness, faces, face, cull_back)
        if area == 0:
            continue
        left, right = _span(grid[a, 0], grid[b, 0], grid[c, 0], width)
        top, bottom = _span(grid[a, 1], grid[b, 1], grid[c, 1], height)
        if left > right or top > bottom:
            continue
        wa, wa_x, wa_y = _edge(grid, b, c, left, top)
        wb, wb_x, wb_y = _edge(grid, c, a, left, top)
        wc, wc_x, wc_y = _edge(grid, a, b, left, top)
        near_a, scale = nearness[a], np.float32(1.0 / area)
        near_b, near_c = nearness[b] - near_a, nearness[c] - near_a
        red, green, blue = colours[a, 0], colours[a, 1], colours[a, 2]
        red_b, green_b, blue_b = colours[b, 0] - red, colours[b, 1] - green, colours[b, 2] - blue
        red_c, green_c, blue_c = colours[c, 0] - red, colours[c, 1] - green, colours[c, 2] - blue
        for row in range(top, bottom + 1):
            ea, eb, ec = wa, wb, wc
            for column in range(left, right + 1):
                if (ea | eb | ec) >= 0:
                    share_b, share_c = np.float32(eb) * scale, np.float32(ec) * scale
                    z = np.float32(1.0) / (near_a + share_b * near_b + share_c * near_c)
                    if z < depth[row, column]:
                        depth[row, column] = z
                        covered[row, column] = True
                        image[row, column, 0] = red + share_b * red_b + share_c * red_c
                        image[row, column, 1] = green + share_b * green_b + share_c * green_c
                        image[row, column, 2] = blue + share_b * blue_b + share_c * blue_c
                ea += wa_x
                eb += wb_x
                ec += wc_x
            wa += wa_y
            wb += wb_y
            wc += wc_y


@compiled
def _draw_silhouettes(points, faces, drawn, cull_back):
    height, width = drawn.shape[1:]
    for mesh in range(len(points)):
        grid, nearness = _snap(points[mesh], 0.0)
        picture = drawn[mesh]
        for face in range(len(faces)):
            a, b, c, area = _corners(grid, nearness, faces, face, cull_back)
            if area == 0:
                continue
            left, right = _span(grid[a, 0], grid[b, 0], grid[c, 0], width)
            top, bottom = _span(grid[a, 1], grid[b, 1], grid[c, 1], height)
            if left > right or top > bottom:
                continue
            wa, wa_x, wa_y = _edge(grid, b, c, left, top)
            wb, wb_x, wb_y = _edge(grid, c, a, left, top)
            wc, wc_x, wc_y = _edge(grid, a, b, left, top)
            for row in range(top, bottom + 1):
                ea, eb, ec = wa, wb, wc
                for column in range(left, right + 1):
                    if (ea | eb | ec) >= 0:
                        picture[row, column] = 255
                    ea += wa_x
                    eb += wb_x
                    ec += wc_x
                wa += wa_y
                wb += wb_y
                wc += wc_y


@compiled
def _vertex_normals(vertices, faces):
    normals = np.zeros_like(vertices)
    for face in range(len(faces)):
        a, b, c = faces[face, 0], faces[face, 1], faces[face, 2]
        x, y, z = vertices[a, 0], vertices[a, 1], vertices[a, 2]
        bx, by, bz = vertices[b, 0] - x, vertices[b, 1] - y, vertices[b, 2] - z
        cx, cy, cz = vertices[c, 0] - x, vertices[c, 1] - y, vertices[c, 2] - z
        nx, ny, nz = by * cz - bz * cy, bz * cx - bx * cz, bx * cy - by * cx
        for corner in (a, b, c):
            normals[corner, 0] += nx
            normals[corner, 1] += ny
            normals[corner, 2] += nz
    for i in range(len(normals)):
        x, y, z = normals[i, 0], normals[i, 1], normals[i, 2]
        length = np.sqrt(x * x + y * y + z * z)
        if length > 0.0:
            normals[i, 0] = x / length
            normals[i, 1] = y / length
            normals[i, 2] = z / length
    return normals


@compiled
def all_finite(vertices):
    """Whether no coordinate of vertices (V, 3) is NaN or infinite."""
    fine = True
    for row in vertices:
        fine &= abs(row[0]) < np.inf and abs(row[1]) < np.inf and abs(row[2]) < np.inf
    return fine


@compiled
def all_within(faces, count):
    """Whether all numbers of faces (F, 3) are from 0 to count - 1. Others would be read from outside of the array."""
    for row in faces:
        for number in row:
            if number < 0 or number >= count:
                return False
    return True


@compiled
def lambert(normals, ambient, directions, strengths):
    """Lambert's brightness (V,), at most 1, of unit normals (V, 3)."""
    lit = np.empty(len(normals), np.float32)
    for i in range(len(normals)):
        total = np.float32(ambient)
        for k in range(len(directions)):
            facing = (
                normals[i, 0] * directions[k, 0] + normals[i, 1] * directions[k, 1] + normals[i, 2] * directions[k, 2]
            )
            total += strengths[k] * max(facing, np.float32(0.0))
        lit[i] = min(total, np.float32(1.0))
    return lit
