"""Meshes drawn over a picture, on one CPU thread: the default back end, and what all back ends share.

`NumbaRenderer` is fast and free of GL. `hmr.rendering.gl_overlay` draws the same picture through OpenGL and is the
reference; `hmr.rendering.torch_overlay` draws it on a GPU. Frames and cameras are those of `hmr.rendering.mesh`. Meshes
are closed with outward faces, as the body is: triangles seen from behind are not drawn.
"""

import os
import subprocess
import sys
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from hmr.rendering.blending import Colours, Lines, blend, in_samples, window
from hmr.rendering.mesh import Camera, Mesh, check_image, placed
from hmr.rendering.rasterizer import Buffers, draw_surface, snapped
from hmr.rendering.style import DEFAULT_STYLE, Style

GL_MEND = (
    "On Debian or Ubuntu: apt-get install libegl1 libegl-mesa0 libgl1 libgl1-mesa-dri libgles2. "
    "The numba renderer draws the same pictures and needs no GL."
)
_BUDGET = 1 << 22  # samples drawn at once, about 50 MB: a larger picture is drawn in bands


class OverlayError(RuntimeError):
    """A picture cannot be drawn; the message says why and what to do."""


class Overlay(NamedTuple):
    image: NDArray[np.uint8]  # (h, w, 3) the photograph with the meshes over it
    mask: NDArray[np.bool_]  # (h, w) pixels that show a mesh
    remarks: tuple[str, ...] = ()  # what is wrong with a mesh that was not drawn or was cut, by its name


@runtime_checkable
class OverlayRenderer(Protocol):
    """Draws overlays; keeps its buffers between pictures. Use it in one thread, and `close` it at the end."""

    name: str

    def draw(
        self, meshes: Sequence[Mesh], camera: Camera, image: NDArray[np.uint8], style: Style = DEFAULT_STYLE
    ) -> Overlay:
        """Meshes over a copy of the image (h, w, 3); the nearer hides the farther.

        A mesh that cannot be drawn (NaN, empty, wrong faces, behind the camera) is left out and named in the remarks.
        Raises PictureError (a ValueError) for an image or camera that cannot be used.
        """
        ...

    def close(self) -> None:
        """Release what the renderer holds."""
        ...


class NumbaRenderer:
    """Z-buffer on one CPU thread."""

    name = "numba"

    def __init__(self) -> None:
        self._kept = Buffers.empty(0, 0)

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
        colours, look, scale = Colours.of(scene), Lines.of(scene, style, image.shape), style.antialias
        margin = look.reach
        band = max(1, _BUDGET // ((right - left + 2 * margin) * scale * scale))
        for first in range(top, bottom, band):
            last = min(first + band, bottom)
            # Some pixels more on each side: lines look at their neighbours.
            buffers = self._cleared((last - first + 2 * margin) * scale, (right - left + 2 * margin) * scale)
            number = 0
            for part in scene.placed:
                shifted = in_samples(part.points, left - margin, first - margin, scale)
                draw_surface(buffers, snapped(shifted, scene.far), part.faces, part.brightness, first=number)
                number += len(part.faces)
            part = (slice(first, last), slice(left, right))
            blend(buffers, colours, look, style, overlay.image[part], overlay.mask[part])
        return overlay

    def _cleared(self, height: int, width: int) -> Buffers:
        """Empty buffers, cut from kept ones that only grow."""
        size = height * width
        if self._kept.nearness.size < size:
            self._kept = Buffers.empty(1, size)
        kept, shape = self._kept, (height, width)
        nearness = kept.nearness.reshape(-1)[:size].reshape(shape)
        nearness.fill(0)
        return Buffers(
            nearness, kept.face.reshape(-1)[:size].reshape(shape), kept.value.reshape(-1)[:size].reshape(shape)
        )

    def close(self) -> None:
        """Release the buffers."""
        self._kept = Buffers.empty(0, 0)

    def __enter__(self) -> "NumbaRenderer":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


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
