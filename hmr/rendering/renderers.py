"""Overlays of many pictures by one call; the back ends by name."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hmr.rendering.gl_overlay import PyrenderRenderer
from hmr.rendering.mesh import Camera, Mesh, PictureError, WeakPerspective
from hmr.rendering.overlay import NumbaRenderer, Overlay, OverlayError, OverlayRenderer
from hmr.rendering.style import DEFAULT_STYLE, Style

BACKENDS = ("auto", "numba", "pyrender", "gpu")
Scene = Mesh | Sequence[Mesh]
"""What one picture shows: one mesh, or several people who hide each other."""
Picture = NDArray[np.uint8]


def render(
    meshes: Sequence[Scene], cameras: Camera | Sequence[Camera], image: Picture | Sequence[Picture],
    style: Style = DEFAULT_STYLE, *, backend: str | OverlayRenderer = "auto", threads: int = 1,
) -> list[Overlay]:  # fmt: skip
    """One overlay for each scene, in order: its meshes over a copy of the image, nearer ones in front.

    cameras and image: one for all scenes, or one for each. A mesh that cannot be drawn is left out; the `remarks` of
    its overlay name it and say why, and everything else is drawn. threads: of numba, which draws several pictures at a
    time. Raises PictureError (a ValueError) for an image or camera that cannot be used, or if there is not one for each
    scene; OverlayError for a back end that is not there.
    """
    scenes = [[scene] if isinstance(scene, Mesh) else list(scene) for scene in meshes]
    one_camera = isinstance(cameras, WeakPerspective) or (len(cameras) > 0 and np.ndim(cameras[0]) == 0)
    views = _each(cameras, one_camera, len(scenes), "cameras")
    pictures = _each(image, isinstance(image, np.ndarray), len(scenes), "images")
    jobs = list(zip(scenes, views, pictures))
    if not isinstance(backend, str):
        return [backend.draw(*job, style) for job in jobs]
    if renderer_name(backend) != "numba" or threads < 2:
        drawer = open_renderer(backend)
        try:
            return [drawer.draw(*job, style) for job in jobs]
        finally:
            drawer.close()
    idle: SimpleQueue[NumbaRenderer] = SimpleQueue()
    for _ in range(threads):
        idle.put(NumbaRenderer())

    def draw(job: tuple[list[Mesh], Camera, Picture]) -> Overlay:
        drawer = idle.get()
        try:
            return drawer.draw(*job, style)
        finally:
            idle.put(drawer)

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(draw, jobs))


def _each(given: Any, single: bool, count: int, what: str) -> list[Any]:
    if single:
        return [given] * count
    if len(given) != count:
        raise PictureError(f"{len(given)} {what} for {count} scenes; give one for all, or one for each")
    return list(given)


def open_renderer(name: str = "auto") -> OverlayRenderer:
    """The renderer called "numba", "pyrender" or "gpu"; "auto" is numba, which needs neither GL nor a GPU.

    Raises OverlayError if the name is unknown, or if there is no GL for pyrender or no GPU.
    """
    name = renderer_name(name)
    if name == "numba":
        return NumbaRenderer()
    if name == "pyrender":
        return PyrenderRenderer()  # loads GL now: importing its module does not
    if name == "gpu":
        return _gpu()
    raise OverlayError(f"There is no renderer '{name}'. Known: {', '.join(BACKENDS)}.")


def _gpu() -> OverlayRenderer:
    import torch

    from hmr.rendering.torch_overlay import TorchRenderer

    if not torch.cuda.is_available():
        raise OverlayError("There is no GPU that torch can use. The numba renderer draws the same pictures on the CPU.")
    return TorchRenderer("cuda")


def renderer_name(name: str) -> str:
    """The name of the back end that is used: that of "auto", or the name itself."""
    return "numba" if name == "auto" else name
