"""What a user would write with pyrender alone, timed in a process of its own: the baselines of `render_benchmark`.

In our own process Python's garbage collector walks our heap for every object that pyrender makes, which would slow the
baseline and flatter us. So it is `python -m hmr.rendering.render_baselines FILE.npz FOLDER`, which imports nothing
of ours: a line "naive 3", "kept 3" or "file 3" asks for so many pictures, and its answer is their time in seconds.
"""

import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


def naive(vertices: NDArray, faces: NDArray, camera: NDArray, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """An overlay (h, w, 3) as in pyrender's usual example code: renderer, scene and mesh are new for every picture.

    vertices (V, 3) in metres, x right, y down, z forward; camera (4,) in pixels; image (h, w, 3).
    """
    import pyrender
    import trimesh

    height, width = image.shape[:2]
    renderer = pyrender.OffscreenRenderer(viewport_width=width, viewport_height=height)
    body = trimesh.Trimesh(vertices * np.array([1.0, -1.0, -1.0]), faces, process=False)
    material = pyrender.MetallicRoughnessMaterial(metallicFactor=0.2, baseColorFactor=(0.8, 0.8, 0.9, 1.0))
    scene = pyrender.Scene(bg_color=[0.0, 0.0, 0.0, 0.0], ambient_light=(0.2, 0.2, 0.2))
    scene.add(pyrender.Mesh.from_trimesh(body, material=material))
    fx, fy, cx, cy = camera
    scene.add(pyrender.IntrinsicsCamera(fx=fx, fy=fy, cx=cx, cy=cy))
    _light(pyrender, scene)
    colour, depth = renderer.render(scene, flags=pyrender.RenderFlags.RGBA)  # pyright: ignore[reportGeneralTypeIssues]
    renderer.delete()
    return np.where(depth[..., None] > 0, colour[..., :3], image)


class Kept:
    """The same with renderer, camera and lights kept, and a new mesh for every picture: what a careful user writes."""

    def __init__(self, camera: NDArray, image: NDArray[np.uint8]) -> None:
        import pyrender

        self.pyrender, self.image = pyrender, image
        self.renderer = pyrender.OffscreenRenderer(viewport_width=image.shape[1], viewport_height=image.shape[0])
        self.scene = pyrender.Scene(bg_color=[0.0, 0.0, 0.0, 0.0], ambient_light=(0.2, 0.2, 0.2))
        fx, fy, cx, cy = camera
        self.scene.add(pyrender.IntrinsicsCamera(fx=fx, fy=fy, cx=cx, cy=cy))
        _light(pyrender, self.scene)
        self.material = pyrender.MetallicRoughnessMaterial(metallicFactor=0.2, baseColorFactor=(0.8, 0.8, 0.9, 1.0))

    def draw(self, vertices: NDArray, faces: NDArray) -> NDArray[np.uint8]:
        """One overlay (h, w, 3)."""
        import trimesh

        body = trimesh.Trimesh(vertices * np.array([1.0, -1.0, -1.0]), faces, process=False)
        node = self.scene.add(self.pyrender.Mesh.from_trimesh(body, material=self.material))
        flags = self.pyrender.RenderFlags.RGBA
        colour, depth = self.renderer.render(self.scene, flags=flags)  # pyright: ignore[reportGeneralTypeIssues]
        self.scene.remove_node(node)
        return np.where(depth[..., None] > 0, colour[..., :3], self.image)


def _light(pyrender: Any, scene: Any) -> None:
    pose = np.eye(4)
    for place in np.array([[0, -1, 1], [0, 1, 1], [1, 1, 2]], dtype=float):
        pose[:3, 3] = place
        scene.add(pyrender.DirectionalLight(intensity=1.0), pose=pose)


def main(file: str, folder: str) -> None:
    """Answer each line of standard input."""
    from PIL import Image

    arrays = np.load(file)
    vertices, faces, camera, image = (arrays[name] for name in ("vertices", "faces", "camera", "image"))

    for line in sys.stdin:
        kind, count = line.split()
        kept = Kept(camera, image) if kind == "kept" else None  # one open renderer a process is all that EGL allows
        draw = partial(kept.draw, vertices, faces) if kept else partial(naive, vertices, faces, camera, image)
        draw()
        started = time.perf_counter()
        for number in range(int(count)):
            picture = draw()
            if kind == "file":
                Image.fromarray(picture).save(Path(folder) / f"naive_{number}.png")
        seconds = time.perf_counter() - started
        if kept:
            kept.renderer.delete()
        sys.stdout.write(f"{seconds}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
