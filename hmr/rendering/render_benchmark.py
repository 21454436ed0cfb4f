"""Overlays per second of each renderer, against pyrender used as example code uses it."""

import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hmr.rendering.gl_overlay import PyrenderRenderer, load_pyrender
from hmr.rendering.overlay import NumbaRenderer, OverlayRenderer, gl_platform
from hmr.rendering.rasterizer import Numbers

NAIVE = "pyrender with a new renderer, scene and mesh for every picture"


def measure_renderers(vertices: Numbers, faces: Numbers, *, size: int = 512, rounds: int = 7) -> list[dict[str, Any]]:
    """Overlays per second of each back end, drawing one mesh over a picture of (size, size).

    vertices (V, 3), metres, y down; placed here to fill most of the picture. Every round draws with each
    renderer in turn, so that other work on the machine slows all alike; a value is the median of the rounds.
    Each result has metric, value, unit, baseline and ratio (to `NAIVE` in the same run, above 1 is faster).
    Without GL only numba is measured, baseline and ratio are None, and `hmr.rendering.overlay.check_gl` says why.
    """
    mesh, camera = _framed(np.asarray(vertices, dtype=np.float32), size)
    faces = np.ascontiguousarray(faces, dtype=np.int32)
    photograph = np.full((size, size, 3), 128, dtype=np.uint8)

    def draw(renderer: OverlayRenderer) -> Callable[[], object]:
        return lambda: renderer.render(mesh, faces, camera, photograph)

    has_gl = gl_platform()[0] is not None
    raw, supersampled = NumbaRenderer(supersample=1), NumbaRenderer(supersample=2)
    rates: dict[str, list[float]] = {}

    def record(metric: str, drawing: Callable[[], object], pictures: int) -> None:
        drawing()  # compile, fill caches, grow buffers
        start = time.perf_counter()
        for _ in range(pictures):
            drawing()
        rates.setdefault(metric, []).append(pictures / (time.perf_counter() - start))

    for _ in range(rounds):
        record("render.raw", draw(raw), 40)
        record("render.supersampled", draw(supersampled), 20)
        if has_gl:  # one at a time: EGL allows one open renderer in a process
            with PyrenderRenderer() as kept:
                record("render.pyrender", draw(kept), 5)
            record("render.naive", lambda: draw_naively(mesh, faces, camera, photograph), 2)
    naive = median(rates["render.naive"]) if has_gl else None
    return [
        {
            "metric": metric,
            "value": median(values),
            "unit": "overlays/s",
            "baseline": NAIVE if naive and metric != "render.naive" else None,
            "ratio": median(values) / naive if naive and metric != "render.naive" else None,
        }
        for metric, values in rates.items()
    ]


def draw_naively(
    vertices: NDArray[np.float32], faces: NDArray, camera: Numbers, image: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """The baseline: the overlay as in pyrender's usual example code, which keeps nothing between pictures.

    vertices (V, 3) in metres, camera (4,) in pixels, image (h, w, 3) uint8 RGB.
    """
    pyrender = load_pyrender()
    import trimesh

    height, width = image.shape[:2]
    renderer = pyrender.OffscreenRenderer(viewport_width=width, viewport_height=height)
    body = trimesh.Trimesh(vertices * np.array([1.0, -1.0, -1.0]), faces, process=False)
    material = pyrender.MetallicRoughnessMaterial(metallicFactor=0.2, baseColorFactor=(0.8, 0.8, 0.9, 1.0))
    scene = pyrender.Scene(bg_color=[0.0, 0.0, 0.0, 0.0], ambient_light=(0.2, 0.2, 0.2))
    scene.add(pyrender.Mesh.from_trimesh(body, material=material))
    fx, fy, cx, cy = np.asarray(camera, dtype=float)
    scene.add(pyrender.IntrinsicsCamera(fx=fx, fy=fy, cx=cx, cy=cy))
    pose = np.eye(4)
    for place in np.array([[0, -1, 1], [0, 1, 1], [1, 1, 2]], dtype=float):
        pose[:3, 3] = place
        scene.add(pyrender.DirectionalLight(intensity=1.0), pose=pose)
    colour, depth = renderer.render(scene, flags=pyrender.RenderFlags.RGBA)
    renderer.delete()
    return np.where(depth[..., None] > 0, colour[..., :3], image)


def _framed(vertices: NDArray[np.float32], size: int) -> tuple[NDArray[np.float32], tuple[float, ...]]:
    """The mesh 3 m away, and a camera in which its longer side fills four fifths of the picture."""
    moved = vertices - (vertices.min(0) + vertices.max(0)) / 2 + np.array([0, 0, 3], dtype=np.float32)
    focal = 0.8 * size * 3 / float(np.ptp(moved[:, :2], axis=0).max())
    return moved, (focal, focal, size / 2, size / 2)
