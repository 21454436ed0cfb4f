"""Meshes drawn over a picture, on one CPU thread: the default back end, and what all back ends share.

`NumbaRenderer` is fast and free of GL. `hmr.rendering.gl_overlay` draws the same picture through OpenGL and is the
reference; `hmr.rendering.torch_overlay` draws it on a GPU. Frames and cameras are those of `hmr.rendering.mesh`. Meshes
are closed with outward faces, as the body is: triangles seen from behind are not drawn.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from hmr.rendering.blending import Colours, Lines, blend, in_samples, window
from hmr.rendering.mesh import Camera, Mesh, check_image, placed
from hmr.rendering.rasterizer import Buffers, draw_surface, snapped
from hmr.rendering.style import DEFAULT_STYLE, Style

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
        self._kept, self._scratch = Buffers.empty(0, 0), np.empty(0, np.float32)

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
            blend(buffers, colours, look, style, overlay.image[part], overlay.mask[part], self._scratch)
        return overlay

    def _cleared(self, height: int, width: int) -> Buffers:
        """Empty buffers, cut from kept ones that only grow."""
        size = height * width
        if self._kept.nearness.size < size:
            # Kept too, though a picture needs it only while it is drawn: memory that each picture takes and gives
            # back is cleared by the system page by page, and threads wait for one another there.
            self._kept, self._scratch = Buffers.empty(1, size), np.empty(2 * size, np.float32)
        kept, shape = self._kept, (height, width)
        nearness = kept.nearness.reshape(-1)[:size].reshape(shape)
        nearness.fill(0)
        return Buffers(
            nearness, kept.face.reshape(-1)[:size].reshape(shape), kept.value.reshape(-1)[:size].reshape(shape)
        )

    def close(self) -> None:
        """Release the buffers."""
        self._kept, self._scratch = Buffers.empty(0, 0), np.empty(0, np.float32)

    def __enter__(self) -> "NumbaRenderer":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
