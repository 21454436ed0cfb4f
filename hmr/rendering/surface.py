"""What a camera sees of a mesh, as numbers: silhouettes, depth, part ids, visible vertices. No colours.

The same rasteriser and the same near plane as in pictures. Frames and cameras are those of `hmr.rendering.mesh`.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hmr.rendering.clipping import clipped
from hmr.rendering.mesh import Camera, Mesh, PictureError, WeakPerspective, placed
from hmr.rendering.rasterizer import Buffers, Floats, Numbers, draw_silhouettes, draw_surface, project, snapped
from hmr.rendering.style import DEFAULT_STYLE

NEITHER = -1
"""Face or part of a pixel that shows no mesh."""


class Surface(NamedTuple):
    """The visible surface of one mesh, sampled at pixel centres."""

    depth: Floats  # (h, w) z in metres, inf where there is no mesh
    face: NDArray[np.int32]  # (h, w) number of the face, NEITHER where there is none

    @property
    def silhouette(self) -> NDArray[np.bool_]:
        """(h, w) pixels whose centre the mesh covers."""
        return self.face != NEITHER

    def parts(self, part_of_face: NDArray[np.integer]) -> NDArray[np.int32]:
        """(h, w) the part of each pixel, from the part (F,) of each face; NEITHER where there is no mesh."""
        return np.where(self.silhouette, np.asarray(part_of_face, np.int32)[self.face], np.int32(NEITHER))


def surface(mesh: Mesh, camera: Camera, height: int, width: int, *, cull_back: bool = True) -> Surface:
    """Depth and faces of one mesh. Raises PictureError if the mesh or the camera cannot be used.

    cull_back: leave out triangles seen from behind; a closed mesh never shows them.
    """
    scene = placed([mesh], camera, DEFAULT_STYLE)
    buffers = Buffers.empty(height, width)
    if not scene.placed:
        if "behind the camera" not in scene.remarks[0]:
            raise PictureError(scene.remarks[0])
        return Surface(np.full((height, width), np.inf, np.float32), np.full((height, width), NEITHER, np.int32))
    (part,) = scene.placed
    draw_surface(buffers, snapped(part.points, scene.far), part.faces, cull_back=cull_back)
    there = buffers.nearness > 0
    face = np.where(there, buffers.face, 0)
    face = face if part.source is None else part.source[face]
    depth = np.full((height, width), np.inf, np.float32)
    if scene.far:
        offset = float(np.asarray(mesh.vertices)[:, 2].max())
        depth[there] = scene.far - buffers.nearness[there] + np.float32(offset)
    else:
        depth[there] = np.float32(1.0) / buffers.nearness[there]
    return Surface(depth, np.where(there, face, NEITHER).astype(np.int32))


def silhouettes(meshes: Numbers, faces: Numbers, camera: Numbers, size: int) -> NDArray[np.uint8]:
    """Pixels covered by each of B closed meshes with the same faces: uint8 (B, size, size), 255 inside, 0 outside.

    meshes (B, V, 3), metres; camera (4,) in pixels. What is nearer than the near plane is cut off. A vertex that is
    not finite takes its triangles with it.
    """
    meshes = np.ascontiguousarray(meshes, dtype=np.float32)
    faces = np.ascontiguousarray(faces, dtype=np.int32)
    drawn = np.zeros((len(meshes), size, size), np.uint8)
    cuts = [clipped(mesh, faces) for mesh in meshes]
    whole = [k for k, cut in enumerate(cuts) if cut is None]
    if whole:
        drawn[whole] = draw_silhouettes(np.stack([project(meshes[k], camera) for k in whole]), faces, size)
    for k, cut in enumerate(cuts):
        if cut is not None and len(cut.faces):
            drawn[k] = draw_silhouettes(project(cut.vertices, camera)[None], cut.faces, size)[0]
    return drawn


def soft_silhouettes(meshes: Numbers, faces: Numbers, camera: Numbers, size: int, *, samples: int = 4) -> Floats:
    """The share of each pixel that each of B meshes covers, 0..1: (B, size, size), of samples x samples points."""
    finer = silhouettes(meshes, faces, np.asarray(camera, np.float64) * samples, size * samples)
    shares = finer.reshape(len(finer), size, samples, size, samples).mean((2, 4), dtype=np.float32)
    return shares / np.float32(255.0)


def visible_vertices(mesh: Mesh, camera: Camera, height: int, width: int, *, slack: float = 0.01) -> NDArray[np.bool_]:
    """Which vertices (V,) the camera sees: within the picture, and at most `slack` metres behind what is drawn there.

    A pixel's depth is that of its centre: where the surface is steep, it may differ from a vertex's by more than the
    slack; a face that is drawn shows its corners too. Raises as `surface`.
    """
    seen = surface(mesh, camera, height, width)
    vertices, faces = np.asarray(mesh.vertices, np.float32), np.asarray(mesh.faces)
    if isinstance(camera, WeakPerspective):
        places = vertices[:, :2] * camera.scale + np.array([camera.cx, camera.cy], np.float32)
        ahead = np.ones(len(vertices), bool)
    else:
        points = project(vertices, camera)
        places, ahead = points[:, :2], points[:, 2] > 0
        ahead &= (points[:, :2] != 0).any(1)  # `project` puts vertices here that are too near
    column, row = np.floor(places[:, 0]).astype(np.int64), np.floor(places[:, 1]).astype(np.int64)
    inside = ahead & (column >= 0) & (column < width) & (row >= 0) & (row < height)
    visible = np.zeros(len(vertices), bool)
    depth = seen.depth[row[inside], column[inside]]
    visible[inside] = np.isfinite(depth) & (vertices[inside, 2] <= depth + slack)
    corners = np.zeros(len(vertices), bool)
    corners[faces[np.unique(seen.face[seen.silhouette])]] = True
    return visible | (corners & inside)
