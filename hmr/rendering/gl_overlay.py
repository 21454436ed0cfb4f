"""Overlays through OpenGL: the reference back end of `hmr.rendering.overlay`. Importing this module loads no GL."""

import os
import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hmr.rendering.overlay import DEFAULT_STYLE, Overlay, OverlayError, Style, bare_overlay, compose, gl_platform
from hmr.rendering.rasterizer import NEAR, Lights, Numbers, vertex_normals

_FLIP = np.diag([1.0, -1.0, -1.0, 1.0])  # pyrender looks along -z with y up
_LINEAR = ((np.arange(256) / 255) ** 2.2).astype(np.float32)  # undoes the gamma of pyrender's shader
_LAMBERT = np.pi / 0.96**2  # its shader spreads light over pi, and takes 4 % off twice for gloss
_open_renderers: list["PyrenderRenderer"] = []


def load_pyrender() -> Any:
    """The pyrender module, with the OpenGL platform that works here; raises OverlayError if none does."""
    platform, reason = gl_platform()
    if platform is None:
        raise OverlayError(reason)
    os.environ["PYOPENGL_PLATFORM"] = platform  # PyOpenGL reads it once, when it is first imported
    import pyrender

    return pyrender


class PyrenderRenderer:
    """pyrender with renderer, scene, camera and lights kept from picture to picture.

    EGL and OSMesa allow one open renderer in a process, used by the thread that opened it; opening a second raises
    OverlayError. Start worker processes by `spawn`: a context does not survive a fork. Its mask is one of each pixel's
    four samples, up to 0.4 pixel off its centre, so that edges differ a little from numba's.
    """

    name = "pyrender"

    def __init__(self) -> None:
        if _open_renderers:
            raise OverlayError("A pyrender renderer is open in this process already: use it, or close it first.")
        pyrender = self._pyrender = load_pyrender()
        self._renderer = pyrender.OffscreenRenderer(64, 64)
        self._scene = pyrender.Scene()
        self._camera = pyrender.IntrinsicsCamera(1.0, 1.0, 0.0, 0.0)
        self._scene.add(self._camera)
        self._light_nodes: list = []
        self._lights: Lights | None = None
        self._thread = threading.get_ident()
        _open_renderers.append(self)

    def render(
        self,
        vertices: Numbers,
        faces: Numbers,
        camera: Numbers,
        image: NDArray[np.uint8],
        style: Style = DEFAULT_STYLE,
    ) -> Overlay:
        """As `OverlayRenderer.render`: vertices in metres, camera in pixels.

        Raises OverlayError if the renderer is closed or belongs to another thread, ValueError if the image is not uint8
        RGB.
        """
        if self not in _open_renderers:
            raise OverlayError("This pyrender renderer is closed; open another one.")
        if threading.get_ident() != self._thread:
            raise OverlayError("A pyrender renderer belongs to the thread that opened it; draw there, or use numba.")
        vertices = np.ascontiguousarray(vertices, dtype=np.float32)
        in_front = vertices[:, 2][vertices[:, 2] > NEAR]
        overlay = bare_overlay(image)
        if len(in_front) == 0:
            return overlay
        fx, fy, cx, cy = (float(value) for value in np.asarray(camera))
        lens = self._camera
        lens.fx, lens.fy, lens.cx, lens.cy = fx, fy, cx, cy
        lens.znear, lens.zfar = max(NEAR, 0.5 * float(in_front.min())), 2.0 * float(in_front.max())
        self._light(style)
        self._scene.bg_color = np.array([*style.colour, 1.0])  # mixed into the edges: no dark fringe
        material = self._pyrender.MetallicRoughnessMaterial(
            baseColorFactor=(*style.colour, 1.0), metallicFactor=0.0, roughnessFactor=1.0
        )
        primitive = self._pyrender.Primitive(
            positions=vertices, normals=vertex_normals(vertices, faces), indices=faces, material=material
        )
        node = self._scene.add(self._pyrender.Mesh([primitive]), pose=_FLIP)
        self._renderer.viewport_height, self._renderer.viewport_width = image.shape[0], image.shape[1]
        try:
            picture, depth = self._renderer.render(self._scene)  # pyright: ignore[reportGeneralTypeIssues]
        finally:
            self._scene.remove_node(node)
        depth[depth == 0] = np.inf
        compose(_LINEAR[picture], depth, fx, style, overlay)
        return overlay

    def _light(self, style: Style) -> None:
        if style.lights is self._lights:
            return
        for node in self._light_nodes:
            self._scene.remove_node(node)
        self._lights, self._light_nodes = style.lights, []
        self._scene.ambient_light = np.full(3, style.lights.ambient)
        for direction, strength in zip(style.lights.directions, style.lights.strengths, strict=True):
            lamp = self._pyrender.DirectionalLight(intensity=_LAMBERT * float(strength))
            self._light_nodes.append(self._scene.add(lamp, pose=_towards(_FLIP[:3, :3] @ direction)))

    def close(self) -> None:
        """Release the GL context; needed before another pyrender renderer can be opened."""
        if self in _open_renderers:
            _open_renderers.remove(self)
            self._renderer.delete()

    def __enter__(self) -> "PyrenderRenderer":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _towards(direction: NDArray) -> NDArray[np.float64]:
    """Pose (4, 4) whose z axis points along a unit vector: a light with this pose shines from there."""
    side = np.cross([0.0, 1.0, 0.0] if abs(direction[1]) < 0.9 else [1.0, 0.0, 0.0], direction)
    side /= np.linalg.norm(side)
    pose = np.eye(4)
    pose[:3, :3] = np.stack([side, np.cross(direction, side), direction], axis=1)
    return pose
