"""Overlays through OpenGL: the reference back end of `hmr.rendering.overlay`. Importing this module loads no GL."""

import os
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hmr.rendering.blending import Colours, Lines, blend
from hmr.rendering.gl_platform import gl_platform
from hmr.rendering.mesh import SIDES, Camera, Mesh, Scene, check_image, placed, shade_of_depth
from hmr.rendering.overlay import Overlay, OverlayError
from hmr.rendering.rasterizer import NEAR, Buffers, Lights, vertex_normals
from hmr.rendering.style import DEFAULT_STYLE, Style

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
    four samples, up to 0.4 pixel off its centre, so that edges differ a little from numba's. It lights all meshes: a
    brightness of a mesh's own counts for nothing.
    """

    name = "pyrender"

    def __init__(self) -> None:
        if _open_renderers:
            raise OverlayError("A pyrender renderer is open in this process already: use it, or close it first.")
        pyrender = self._pyrender = load_pyrender()
        self._renderer = pyrender.OffscreenRenderer(64, 64)
        self._scene = pyrender.Scene(bg_color=(0.6, 0.6, 0.6, 1.0))  # mixed into the edges: no dark fringe
        self._light_nodes: list = []
        self._lights: Lights | None = None
        self._thread = threading.get_ident()
        _open_renderers.append(self)

    def draw(
        self, meshes: Sequence[Mesh], camera: Camera, image: NDArray[np.uint8], style: Style = DEFAULT_STYLE
    ) -> Overlay:
        """As `OverlayRenderer.draw`; the number of samples is OpenGL's.

        Raises OverlayError if the renderer is closed or belongs to another thread, PictureError for an image or camera
        that cannot be used.
        """
        if self not in _open_renderers:
            raise OverlayError("This pyrender renderer is closed; open another one.")
        if threading.get_ident() != self._thread:
            raise OverlayError("A pyrender renderer belongs to the thread that opened it; draw there, or use numba.")
        check_image(image)
        scene = placed(meshes, camera, style)
        overlay = Overlay(image.copy(), np.zeros(image.shape[:2], dtype=np.bool_), scene.remarks)
        if not scene.placed:
            return overlay
        depths = [np.asarray(part.mesh.vertices, np.float32)[:, 2] for part in scene.placed]
        far = max(float(depth.max()) for depth in depths)
        if scene.far:  # without perspective depth is never negative in OpenGL: move everything in front of it
            near, far = 1.0, 3.0 + far - min(float(depth.min()) for depth in depths)
        else:
            near = max(NEAR, 0.5 * min(float(depth[depth > NEAR].min()) for depth in depths))
            far = 2.0 * far
        self._scene.add_node(lens := self._lens(scene, camera, image.shape, near, far))
        self._scene.main_camera_node = lens
        self._light(style)
        self._renderer.viewport_height, self._renderer.viewport_width = image.shape[:2]
        colours = Colours.of(scene)
        rows = colours.palette.tolist()
        forward = 2.0 - min(float(depth.min()) for depth in depths) if scene.far else 0.0
        nodes = {
            self._node(part.mesh, side, style, forward): rows.index(np.array(part.palette[side], np.float32).tolist())
            for part in scene.placed
            for side in range(SIDES)
            if side in part.sides
        }
        try:
            grey, depth = self._renderer.render(self._scene)  # pyright: ignore[reportGeneralTypeIssues]
            marks = {node: (row, 0, 0) for node, row in nodes.items()}
            tone, _ = self._renderer.render(  # pyright: ignore[reportGeneralTypeIssues]
                self._scene, flags=self._pyrender.RenderFlags.SEG, seg_node_map=marks
            )
        finally:
            for node in (lens, *nodes):
                self._scene.remove_node(node)
        lines = Lines.of(scene, style, image.shape)
        nearness = np.zeros(depth.shape, np.float32)
        there = depth > 0
        nearness[there] = 1.0 + far - depth[there] if scene.far else 1.0 / depth[there]
        face = np.pad(tone[..., 0].astype(np.int32), lines.reach, mode="edge")
        value = np.pad(_LINEAR[grey[..., 0]], lines.reach, mode="edge")
        buffers = Buffers(np.pad(nearness, lines.reach, mode="edge"), face, value)
        toned = Colours(np.arange(len(colours.palette), dtype=np.uint8), colours.palette)
        scratch = np.empty(2 * buffers.nearness.size, np.float32)
        blend(buffers, toned, lines._replace(far=far if scene.far else 0.0), style, *overlay[:2], scratch)
        return overlay

    def _lens(self, scene: Scene, camera: Camera, shape: Sequence[int], near: float, far: float) -> Any:
        """A node with the camera; pyrender looks along -z with y up."""
        numbers = [float(value) for value in np.asarray(camera)]
        if not scene.far:
            return self._pyrender.Node(camera=self._pyrender.IntrinsicsCamera(*numbers, znear=near, zfar=far))
        height, width = shape[:2]
        scale, cx, cy = numbers
        lens = self._pyrender.OrthographicCamera(width / 2 / scale, height / 2 / scale, znear=near, zfar=far)
        pose = np.eye(4)
        pose[:2, 3] = (width / 2 - cx) / scale, -(height / 2 - cy) / scale
        return self._pyrender.Node(camera=lens, matrix=pose)

    def _node(self, mesh: Mesh, side: int, style: Style, forward: float) -> Any:
        """A node with the faces of one side of a mesh, in white, moved forward by so many metres."""
        vertices, faces = np.asarray(mesh.vertices, np.float32), np.asarray(mesh.faces)
        colours = np.ones((len(vertices), 4), np.float32)
        if style.depth_shade:
            colours[:, :3] *= shade_of_depth(vertices[:, 2], style)[:, None]
        primitive = self._pyrender.Primitive(
            positions=vertices + np.array([0, 0, forward], np.float32),
            normals=vertex_normals(vertices, faces),
            color_0=colours,
            indices=faces if mesh.sides is None else faces[mesh.sides == side],
            material=self._pyrender.MetallicRoughnessMaterial(
                baseColorFactor=(1.0, 1.0, 1.0, 1.0), metallicFactor=0.0, roughnessFactor=1.0
            ),
        )  # fmt: skip
        return self._scene.add(self._pyrender.Mesh([primitive]), pose=_FLIP)

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
