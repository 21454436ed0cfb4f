"""Overlays per second against pyrender as users write it, and how well our pixels agree with OpenGL's."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hmr.rendering.gl_overlay import load_pyrender
from hmr.rendering.gl_platform import gl_platform
from hmr.rendering.mesh import Mesh
from hmr.rendering.overlay import NumbaRenderer
from hmr.rendering.rasterizer import NEAR, Numbers
from hmr.rendering.renderers import render
from hmr.rendering.style import DEFAULT_STYLE, Style
from hmr.rendering.surface import surface
from storage.picture_file import encoded

NAIVE = "pyrender with a new renderer, scene and mesh for every picture, in a process of its own"
KEPT = "pyrender with renderer, camera and lights kept, in a process of its own"
TO_PNG = "naive pyrender to a PNG file, in a process of its own"
BATCH = 64  # pictures of a batch for threads
Row = dict[str, Any]


def measure_renderers(
    vertices: Numbers, faces: Numbers, photograph: NDArray[np.uint8], sides: NDArray[np.uint8] | None = None, *,
    rounds: int = 7,
) -> list[Row]:  # fmt: skip
    """Overlays per second of numba on one thread, one mesh over a photograph (h, w, 3).

    vertices (V, 3), metres, y down; placed here to fill four fifths of the picture. Every round draws each way in
    turn, so that other work on the machine slows all alike; a value is the median of the rounds, and so is a ratio
    (above 1: faster than the baseline). Each row has metric, value, unit, baseline and ratio. Without GL only ours is
    measured, baseline and ratio are None, and `hmr.rendering.overlay.check_gl` says why.
    """
    size = min(photograph.shape[:2])
    placed, camera = _framed(np.asarray(vertices, dtype=np.float32), size, photograph.shape)
    mesh = Mesh(placed, np.ascontiguousarray(faces, dtype=np.int32), sides)
    raw, smooth, batch = Style(antialias=1), DEFAULT_STYLE, [mesh] * BATCH
    drawer = NumbaRenderer()
    with tempfile.TemporaryDirectory() as name, _baselines(mesh, camera, photograph, Path(name)) as baseline:

        def to_file() -> None:
            picture = encoded(drawer.draw([mesh], camera, photograph).image)
            (Path(name) / picture.name()).write_bytes(picture.data)

        def many(threads: int) -> Callable[[], object]:
            return lambda: render(batch, camera, photograph, backend="numba", threads=threads)

        found = [
            {
                "raw": _rate(lambda: drawer.draw([mesh], camera, photograph, raw), 40),
                "antialiased": _rate(lambda: drawer.draw([mesh], camera, photograph, smooth), 20),
                "path": _rate(to_file, 10),
                "naive": baseline("naive", 3),
                "kept": baseline("kept", 8),
                "file": baseline("file", 3),
                "one": BATCH * _rate(many(1), 1),
                "two": BATCH * _rate(many(2), 1),
            }
            for _ in range(rounds)
        ]

    def row(metric: str, ours: str, theirs: str | None, baseline: str | None) -> Row:
        against = [turn[ours] / turn[theirs] for turn in found if theirs and turn[theirs]]
        value = median(turn[ours] for turn in found)
        ratio = median(against) if against else None
        return {
            "metric": metric, "value": value, "unit": "overlays/s",
            "baseline": baseline if against else None, "ratio": ratio,
        }  # fmt: skip

    rows = [
        row("render.raw", "raw", "naive", NAIVE),
        row("render.antialiased", "antialiased", "naive", NAIVE),
        row("render.reused", "antialiased", "kept", KEPT),
        row("render.path", "path", "file", TO_PNG),
        row("render.threads", "two", "one", "the same on one thread"),
    ]
    if found[0]["naive"]:
        rows += [row("render.pyrender_naive", "naive", None, None), row("render.pyrender_kept", "kept", None, None)]
    return rows


class View(NamedTuple):
    """A mesh before a camera, for `measure_agreement`."""

    vertices: NDArray[np.float32]  # (V, 3) metres
    camera: NDArray[np.float32]  # (4,) px


def measure_agreement(views: Sequence[View], faces: Numbers, size: int) -> list[Row]:
    """How well silhouettes and depth of our rasteriser agree with pyrender's, over views in pictures of `size` px.

    Both sample pixel centres (OpenGL's multisampling is off). The IoU is a mean over views that either shows; the share
    of depths within 1 mm counts all pixels that both show. Without GL there are no rows.
    """
    if gl_platform()[0] is None:
        return []
    pyrender = load_pyrender()
    faces = np.ascontiguousarray(faces, dtype=np.int32)
    flip = np.diag([1.0, -1.0, -1.0, 1.0])
    renderer = pyrender.OffscreenRenderer(size, size)
    overlaps, close, shared = [], 0, 0
    try:
        for view in views:
            ours = surface(Mesh(view.vertices, faces), view.camera, size, size)
            scene = pyrender.Scene()
            far = max(2.0 * float(view.vertices[:, 2].max()), 1.0)
            scene.add(pyrender.IntrinsicsCamera(*map(float, view.camera), znear=1.001 * NEAR, zfar=far))
            node = scene.add(pyrender.Mesh([pyrender.Primitive(view.vertices, indices=faces)]), pose=flip)
            flags = pyrender.RenderFlags.SEG  # without multisampling: what lies at the pixel's centre
            _, depth = renderer.render(scene, flags=flags, seg_node_map={node: (255, 0, 0)})
            theirs = depth > 0
            if not (theirs | ours.silhouette).any():
                continue
            both = theirs & ours.silhouette
            overlaps.append(both.sum() / (theirs | ours.silhouette).sum())
            close += int((np.abs(depth[both] - ours.depth[both]) <= 1e-3).sum())
            shared += int(both.sum())
    finally:
        renderer.delete()
    against = f"pyrender, {len(overlaps)} views of {size} px"
    return [
        {"metric": "render.iou", "value": float(np.mean(overlaps)), "unit": "mean", "baseline": against, "ratio": None},
        {"metric": "render.iou_worst", "value": min(overlaps), "unit": "least", "baseline": against, "ratio": None},
        {"metric": "render.depth", "value": close / shared, "unit": "share within 1 mm", "baseline": against,
         "ratio": None},
    ]  # fmt: skip


@contextmanager
def _baselines(
    mesh: Mesh, camera: NDArray, photograph: NDArray[np.uint8], folder: Path
) -> Iterator[Callable[[str, int], float]]:
    """A function that has the other process draw, and gives pictures per second; 0 if there is no GL."""
    platform, _ = gl_platform()
    if platform is None:
        yield lambda kind, count: 0.0
        return
    arrays = folder / "scene.npz"
    np.savez(arrays, vertices=mesh.vertices, faces=mesh.faces, camera=camera, image=photograph)
    with subprocess.Popen(
        [sys.executable, "-m", "hmr.rendering.render_baselines", str(arrays), str(folder)],
        env={**os.environ, "PYOPENGL_PLATFORM": platform}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdin is not None and process.stdout is not None
        questions, answers = process.stdin, process.stdout

        def ask(kind: str, count: int) -> float:
            questions.write(f"{kind} {count}\n")
            questions.flush()
            answer = answers.readline()
            if not answer:
                raise RuntimeError(f"the baselines' process ended while it drew '{kind}'; see its message above")
            return count / float(answer)

        yield ask
        questions.close()


def _rate(drawing: Callable[[], object], pictures: int) -> float:
    """Calls per second, after one that is not counted."""
    drawing()  # compile, fill caches, grow buffers
    started = time.perf_counter()
    for _ in range(pictures):
        drawing()
    return pictures / (time.perf_counter() - started)


def _framed(
    vertices: NDArray[np.float32], size: int, shape: Sequence[int]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The mesh 3 m away, and a camera in which its longer side fills four fifths of the picture."""
    moved = vertices - (vertices.min(0) + vertices.max(0)) / 2 + np.array([0, 0, 3], dtype=np.float32)
    focal = 0.8 * size * 3 / float(np.ptp(moved[:, :2], axis=0).max())
    return moved, np.array([focal, focal, shape[1] / 2, shape[0] / 2], np.float32)
