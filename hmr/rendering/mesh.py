"""What is drawn: meshes, the camera that sees them, and what is wrong with a mesh that cannot be drawn."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hmr.rendering.clipping import clipped
from hmr.rendering.rasterizer import NEAR, Floats, Numbers, all_finite, all_within, lambert, project, vertex_normals
from hmr.rendering.style import Colour, Style

LARGEST = 1 << 26
"""Most pixels of a picture: 8192 x 8192."""
SIDES = 3
"""Values of `Mesh.sides`: trunk and head, left limbs, right limbs."""


@dataclass(frozen=True, eq=False)
class Mesh:
    """A triangle mesh in the camera's frame: x right, y down, z forward, metres."""

    vertices: Numbers  # (V, 3)
    faces: Numbers  # (F, 3) outward
    sides: NDArray[np.uint8] | None = None  # (F,) 0 trunk and head, 1 left limbs, 2 right limbs; None = all 0
    colour: Colour | None = None  # of the trunk; None = the style's
    brightness: Floats | None = None  # (V,) 0..1; None = by the style's lights
    name: str = "mesh"  # in messages, as "hypothesis 3"


class WeakPerspective(NamedTuple):
    """A camera without perspective: u = scale x + cx, v = scale y + cy. Every depth is in front of it."""

    scale: float  # px per metre
    cx: float  # px
    cy: float  # px


Camera = Numbers | WeakPerspective
"""fx, fy, cx, cy in pixels, pixel centres at + 0.5; or `WeakPerspective`."""


class PictureError(ValueError):
    """No picture can be drawn, whatever the mesh: image or camera is unusable; the message says why."""


class Placed(NamedTuple):
    """A mesh on the screen, checked and cut at the near plane."""

    points: Floats  # (V, 3) u, v in px, z in metres
    faces: NDArray[np.int32]  # (F, 3)
    source: NDArray[np.int32] | None  # (F,) number of each face in the mesh; None = its own
    brightness: Floats  # (V,)
    sides: NDArray[np.uint8]  # (F,)
    palette: tuple[Colour, Colour, Colour]
    mesh: Mesh  # as it was given


class Scene(NamedTuple):
    """All that can be drawn of the meshes of one picture, and what must be said of them."""

    placed: tuple[Placed, ...]
    remarks: tuple[str, ...]
    far: float  # metres, behind everything, for a camera without perspective; 0 = perspective
    focal: float  # px at 1 m, or px per metre without perspective


def fault_of(mesh: Mesh) -> str:
    """Why a mesh cannot be drawn, with its name and what to do; "" if it can be."""
    vertices, faces = np.asarray(mesh.vertices), np.asarray(mesh.faces)
    if vertices.ndim != 2 or vertices.shape[1:] != (3,) or vertices.dtype.kind not in "fiu":
        return f"{mesh.name}: vertices are {vertices.dtype} {vertices.shape}; give numbers (V, 3) in metres"
    if faces.ndim != 2 or faces.shape[1:] != (3,) or faces.dtype.kind not in "iu":
        return f"{mesh.name}: faces are {faces.dtype} {faces.shape}; give whole numbers (F, 3)"
    if not len(vertices) or not len(faces):
        return f"{mesh.name}: is empty, {len(vertices)} vertices and {len(faces)} faces; there is nothing to draw"
    if not all_within(np.ascontiguousarray(faces), len(vertices)):
        return (
            f"{mesh.name}: faces name vertices {faces.min()} to {faces.max()} of 0 to {len(vertices) - 1}; "
            "give the faces that belong to this mesh"
        )
    if mesh.brightness is not None and np.shape(mesh.brightness) != vertices.shape[:1]:
        return f"{mesh.name}: brightness is {np.shape(mesh.brightness)}; give a number for each vertex"
    if mesh.sides is not None and (np.shape(mesh.sides) != faces.shape[:1] or np.max(mesh.sides) >= SIDES):
        return f"{mesh.name}: sides are {np.shape(mesh.sides)}; give 0, 1 or 2 for each of {len(faces)} faces"
    if not all_finite(np.ascontiguousarray(vertices, np.float32)):
        lost = len(vertices) - int(np.isfinite(vertices).all(axis=1).sum())
        return f"{mesh.name}: {lost} of {len(vertices)} vertices are NaN or infinite; sample it again, or leave it out"
    return ""


def check_image(image: Any) -> None:
    """Raises PictureError if `image` is no uint8 RGB picture, empty, or too large."""
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        kind = f"{getattr(image, 'dtype', type(image).__name__)} {getattr(image, 'shape', '')}"
        raise PictureError(f"image is {kind}; an overlay needs uint8 (height, width, 3), RGB")
    height, width = image.shape[:2]
    if not 0 < height * width <= LARGEST:
        raise PictureError(f"image is {width} x {height} px; give one of 1 to {LARGEST} pixels, as 8192 x 8192")


def check_camera(camera: Camera) -> None:
    """Raises PictureError if a camera's numbers are not finite, or its focal length or scale is not positive."""
    numbers = np.asarray(camera, dtype=np.float64)
    wanted = (3,) if isinstance(camera, WeakPerspective) else (4,)
    if numbers.shape != wanted or not np.isfinite(numbers).all() or (numbers[: wanted[0] - 2] <= 0).any():
        raise PictureError(
            f"camera is {numbers.tolist()}; give fx, fy, cx, cy in pixels (fx and fy above 0), or "
            "WeakPerspective(scale, cx, cy)"
        )


def placed(meshes: Sequence[Mesh], camera: Camera, style: Style) -> Scene:
    """The meshes as they are drawn. One that cannot be drawn is left out, and a remark names it.

    Raises PictureError for an unusable camera.
    """
    check_camera(camera)
    faults = [fault_of(mesh) for mesh in meshes]
    remarks = [fault for fault in faults if fault]
    sound = [mesh for mesh, fault in zip(meshes, faults) if not fault]
    weak = isinstance(camera, WeakPerspective)
    arrays = [np.ascontiguousarray(mesh.vertices, dtype=np.float32) for mesh in sound]
    far = 1.0 + max((float(v[:, 2].max()) for v in arrays), default=0.0) if weak else 0.0
    if weak:
        arrays = [v - np.array([0, 0, far - 1.0], np.float32) for v in arrays]  # small numbers keep their digits
        far = 1.0
    focal = float(np.asarray(camera)[0])
    parts = []
    for mesh, vertices in zip(sound, arrays):
        found = _placed(mesh, vertices, camera, far, style)
        if not found.faces.size:
            remarks.append(f"{mesh.name}: lies behind the camera, or within {NEAR} m of it: nothing of it is drawn")
            continue
        parts.append(found)
        if found.source is not None:
            remarks.append(f"{mesh.name}: reaches within {NEAR} m of the camera: that part of it is cut off")
    return Scene(tuple(parts), tuple(remarks), far, focal)


def _placed(mesh: Mesh, vertices: Floats, camera: Camera, far: float, style: Style) -> Placed:
    faces = np.ascontiguousarray(mesh.faces, dtype=np.int32)
    if mesh.brightness is None:
        lights = style.lights
        brightness = lambert(vertex_normals(vertices, faces), lights.ambient, lights.directions, lights.strengths)
    else:
        brightness = np.array(mesh.brightness, np.float32)
    if style.depth_shade:
        brightness *= shade_of_depth(vertices[:, 2], style)
    sides = np.zeros(len(faces), np.uint8) if mesh.sides is None else np.asarray(mesh.sides, np.uint8)
    palette, source = style.palette(mesh.colour), None
    if isinstance(camera, WeakPerspective):
        points = vertices * np.array([camera.scale, camera.scale, 1.0], np.float32)
        points[:, :2] += np.array([camera.cx, camera.cy], np.float32)
    else:
        if (cut := clipped(vertices, faces)) is not None:
            vertices, faces, source = cut.vertices, cut.faces, cut.source
            brightness, sides = cut.carried(brightness), sides[source]
        points = project(vertices, camera)
    return Placed(points, faces, source, brightness, sides, palette, mesh)


def shade_of_depth(depth: Floats, style: Style) -> Floats:
    """Factor (V,) of a mesh's brightness, by its vertices' depth in metres: 1 at the nearest."""
    extent = np.float32(max(float(np.ptp(depth)), 1e-6))
    return 1 - np.float32(style.depth_shade) * (depth - depth.min()) / extent
