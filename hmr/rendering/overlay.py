"""Pictures of a mesh for people and critics: drawn over its photograph, and from the side.

One interface, two back ends. `NumbaRenderer` is the default: fast on a CPU and free of GL. `PyrenderRenderer`
(in `hmr.rendering.gl_overlay`) draws the same picture through OpenGL and is the reference. Camera: pinhole (4,) fx, fy,
cx, cy in pixels; x right, y down, z forward, metres; pixel centres at + 0.5. Meshes are closed with outward
faces, as the body is: triangles seen from behind are not drawn.
"""

import os
import subprocess
import sys
from dataclasses import dataclass, field
from functools import lru_cache
from math import prod
from typing import NamedTuple, Protocol, runtime_checkable

import numba
import numpy as np
from numpy.typing import NDArray

from hmr.rendering.rasterizer import NEAR, Lights, Numbers, draw_colours, project, shade, vertex_normals

GL_MEND = (
    "On Debian or Ubuntu: apt-get install libegl1 libegl-mesa0 libgl1 libgl1-mesa-dri libgles2. "
    "The numba renderer draws the same pictures and needs no GL."
)
_BUDGET = 1 << 22  # subpixels drawn at once, about 70 MB: a larger picture is drawn in bands


class OverlayError(RuntimeError):
    """A picture cannot be drawn; the message says why and what to do."""


@dataclass(frozen=True, eq=False)
class Style:
    """How a mesh looks."""

    colour: tuple[float, float, float] = (0.66, 0.82, 0.99)  # RGB in full light, 0..1
    opacity: float = 0.92  # 1 hides the photograph behind the mesh
    outline: float = 0.55  # how much a limb darkens what is behind its edge, 0..1
    lights: Lights = field(default_factory=Lights)


DEFAULT_STYLE = Style()
_BACKGROUND = (244, 243, 240)


class Overlay(NamedTuple):
    image: NDArray[np.uint8]  # (h, w, 3) the photograph with the mesh over it
    mask: NDArray[np.bool_]  # (h, w) pixels that show the mesh


@runtime_checkable
class OverlayRenderer(Protocol):
    """Draws overlays; keeps its buffers between pictures. Use it in one thread, and `close` it at the end."""

    name: str

    def render(
        self,
        vertices: Numbers,
        faces: Numbers,
        camera: Numbers,
        image: NDArray[np.uint8],
        style: Style = DEFAULT_STYLE,
    ) -> Overlay:
        """The mesh drawn over a copy of the photograph.

        vertices (V, 3), metres, camera frame; faces (F, 3); camera (4,) fx, fy, cx, cy in pixels; image (h, w, 3) uint8
        RGB, else ValueError.
        """
        ...

    def close(self) -> None:
        """Release what the renderer holds."""
        ...


class NumbaRenderer:
    """Z-buffer on one CPU thread; supersample 2 or more smooths the edges (2 by 2 samples a pixel)."""

    name = "numba"

    def __init__(self, supersample: int = 2) -> None:
        self.supersample = supersample
        self._buffers = [np.empty(0, dtype) for dtype in (np.float32, np.float32, np.bool_)]

    def render(
        self,
        vertices: Numbers,
        faces: Numbers,
        camera: Numbers,
        image: NDArray[np.uint8],
        style: Style = DEFAULT_STYLE,
    ) -> Overlay:
        """As `OverlayRenderer.render`: metres, pixels; raises ValueError if the image is not uint8 RGB."""
        overlay, scale = bare_overlay(image), self.supersample
        vertices = np.ascontiguousarray(vertices, dtype=np.float32)
        points = project(vertices, camera)
        left, top, right, bottom = _window(points, image.shape[1], image.shape[0])
        if left >= right or top >= bottom:
            return overlay
        faces = np.ascontiguousarray(faces, dtype=np.int32)
        colours = shade(vertex_normals(vertices, faces), style.lights, style.colour)
        focal = float(np.asarray(camera)[0])
        band = max(1, _BUDGET // ((right - left + 2) * scale * scale))
        for first in range(top, bottom, band):
            last = min(first + band, bottom)
            # Draw one pixel more on each side: outlines look at their neighbours.
            picture, depth, covered = self._kept((last - first + 2) * scale, (right - left + 2) * scale)
            depth.fill(np.inf)
            shifted = points.copy()
            shifted[:, 0] = (points[:, 0] - (left - 1)) * scale
            shifted[:, 1] = (points[:, 1] - (first - 1)) * scale
            draw_colours(shifted, faces, colours, picture, depth, cull_back=True, covered=covered)
            part = (slice(first, last), slice(left, right))
            _compose(
                picture,
                depth,
                scale,
                focal,
                style.opacity,
                style.outline,
                overlay.image[part],
                overlay.mask[part],
            )
        return overlay

    def _kept(self, height: int, width: int) -> list[NDArray]:
        """Colour (h, w, 3), depth (h, w) and coverage (h, w), cut from buffers that only grow."""
        shapes = ((height, width, 3), (height, width), (height, width))
        for i, shape in enumerate(shapes):
            if self._buffers[i].size < prod(shape):
                self._buffers[i] = np.empty(prod(shape), self._buffers[i].dtype)
        return [kept[: prod(s)].reshape(s) for kept, s in zip(self._buffers, shapes, strict=True)]

    def close(self) -> None:
        """Release the buffers."""
        self._buffers = [np.empty(0, kept.dtype) for kept in self._buffers]

    def __enter__(self) -> "NumbaRenderer":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def side_view(
    vertices: Numbers,
    faces: Numbers,
    size: int,
    style: Style = DEFAULT_STYLE,
    renderer: OverlayRenderer | None = None,
) -> NDArray[np.uint8]:
    """The mesh seen from the photograph's right, (size, size, 3), so that depth runs from left to right.

    Vertices (V, 3), metres, camera frame, are turned by 90 degrees about the vertical axis through the middle
    of the mesh: what is near the photograph's camera is on the left, what is far on the right. It fills the picture.
    """
    vertices = np.asarray(vertices, dtype=np.float32)
    centred = vertices - (vertices.min(0) + vertices.max(0)) / 2
    turned = np.stack([centred[:, 2], centred[:, 1], -centred[:, 0]], axis=1)
    extent = max(float(np.ptp(turned[:, :2], axis=0).max()), 1e-3)
    distance = 6 * extent
    turned[:, 2] += distance
    focal = 0.88 * size * (distance - extent / 2) / extent
    background = np.full((size, size, 3), _BACKGROUND, dtype=np.uint8)
    style = Style(style.colour, 1.0, style.outline, style.lights)
    drawn = (renderer or NumbaRenderer()).render(turned, faces, (focal, focal, size / 2, size / 2), background, style)
    return drawn.image


def check_gl() -> tuple[bool, str]:
    """Whether pyrender can draw here, and by which driver or why not. Tested in a separate process."""
    platform, reason = gl_platform()
    return platform is not None, reason


@lru_cache(maxsize=1)
def gl_platform() -> tuple[str | None, str]:
    """The PYOPENGL_PLATFORM that works (the user's, else egl, else osmesa) or None; and the driver, or the reason."""
    wanted = os.environ.get("PYOPENGL_PLATFORM")
    failures = []
    for platform in [wanted] if wanted else ["egl", "osmesa"]:
        try:
            tried = subprocess.run(
                [sys.executable, "-c", _TRY_GL],
                env={**os.environ, "PYOPENGL_PLATFORM": platform},
                capture_output=True,
                text=True,
                timeout=120,
            )
        except subprocess.TimeoutExpired:
            failures.append(f"{platform}: no answer after 120 s")
            continue
        if tried.returncode == 0:
            return platform, f"{platform}: {tried.stdout.strip().splitlines()[-1]}"
        said = tried.stderr.strip().splitlines() or [f"process ended with {tried.returncode}"]
        failures.append(f"{platform}: {said[-1]}")
    return None, f"No OpenGL driver for pyrender ({'; '.join(failures)}). {GL_MEND}"


_TRY_GL = """
import numpy, pyrender
from OpenGL.GL import GL_RENDERER, glGetString
renderer = pyrender.OffscreenRenderer(8, 8)
driver = glGetString(GL_RENDERER)
scene = pyrender.Scene(bg_color=(1.0, 0.0, 0.0))
scene.add(pyrender.PerspectiveCamera(1.0))
picture, _ = renderer.render(scene)
assert picture.shape[:2] == (8, 8) and picture[4, 4, 0] == 255, "the driver draws a wrong picture"
renderer.delete()
print(driver.decode() if driver else "unnamed driver")
"""


def compose(
    picture: NDArray[np.float32],
    depth: NDArray[np.float32],
    focal: float,
    style: Style,
    overlay: Overlay,
) -> None:
    """Blend a drawn picture (h, w, 3), 0..1, into an overlay of the same size, in place, and fill its mask.

    depth (h, w) in metres, inf where there is no mesh; focal in pixels.
    """
    picture = np.pad(picture, ((1, 1), (1, 1), (0, 0)))
    depth = np.pad(depth, 1, mode="edge")
    _compose(picture, depth, 1, focal, style.opacity, style.outline, overlay.image, overlay.mask)


def bare_overlay(image: NDArray[np.uint8]) -> Overlay:
    """A copy of the photograph, (h, w, 3) pixels of 0-255, without a mesh; raises ValueError if it is not uint8 RGB."""
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"image is {image.dtype} {image.shape}; an overlay needs uint8 (height, width, 3), RGB")
    return Overlay(image.copy(), np.zeros(image.shape[:2], dtype=np.bool_))


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _window(points, width, height):
    """Left, top, right, bottom of the part of a picture that holds all points in front of the camera."""
    left, top, right, bottom = np.inf, np.inf, -np.inf, -np.inf
    for i in range(len(points)):
        u, v, z = points[i, 0], points[i, 1], points[i, 2]
        if z > NEAR and np.isfinite(u) and np.isfinite(v):
            left, right = min(left, u), max(right, u)
            top, bottom = min(top, v), max(bottom, v)
    if not (left < width and right > 0.0 and top < height and bottom > 0.0):
        return 0, 0, 0, 0
    first = max(int(np.floor(max(left, 0.0))), 0), max(int(np.floor(max(top, 0.0))), 0)
    last = int(np.ceil(min(right, width))), int(np.ceil(min(bottom, height)))
    return first[0], first[1], last[0], last[1]


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _compose(picture, depth, scale, focal, opacity, outline, image, mask):
    """Blend a drawn picture into an image (h, w, 3) uint8 in place, and fill its mask (h, w).

    picture and depth have scale samples a pixel each way and one pixel of margin on each side. A sample just
    behind the edge of a nearer part (by 3 cm and two pixels or more) is darkened by `outline`, at the edge
    of the whole mesh by half as much. A pixel is in the mask if half its samples show the mesh.
    """
    height, width = mask.shape
    samples = scale * scale
    step, least = np.float32(2.0 / focal), np.float32(0.03)
    inner, rim = np.float32(1.0 - outline), np.float32(1.0 - 0.5 * outline)
    new, share = np.float32(255.0 * opacity / samples), np.float32(opacity / samples)
    empty = np.float32(np.inf)
    for row in range(height):
        for column in range(width):
            seen = 0
            red = green = blue = np.float32(0.0)
            for y in range((row + 1) * scale, (row + 2) * scale):
                for x in range((column + 1) * scale, (column + 2) * scale):
                    z = depth[y, x]
                    if z == empty:
                        continue
                    seen += 1
                    above, below = depth[y - scale, x], depth[y + scale, x]
                    before, after = depth[y, x - scale], depth[y, x + scale]
                    nearest = z - least - step * z
                    if above < nearest or below < nearest or before < nearest or after < nearest:
                        light = inner
                    elif above == empty or below == empty or before == empty or after == empty:
                        light = rim
                    else:
                        light = np.float32(1.0)
                    red += light * picture[y, x, 0]
                    green += light * picture[y, x, 1]
                    blue += light * picture[y, x, 2]
            if seen > 0:
                mask[row, column] = 2 * seen >= samples
                old = np.float32(1.0) - share * np.float32(seen)
                half = np.float32(0.5)
                image[row, column, 0] = np.uint8(old * np.float32(image[row, column, 0]) + new * red + half)
                image[row, column, 1] = np.uint8(old * np.float32(image[row, column, 1]) + new * green + half)
                image[row, column, 2] = np.uint8(old * np.float32(image[row, column, 2]) + new * blue + half)
