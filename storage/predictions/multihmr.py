"""Multi-HMR: a list of `humans`, SMPL-X as 53 rotation vectors, saved as numpy (`.npz`, `.npy` or `.pkl`).

`rotvec` (53, 3) is root, 21 joints, 30 fingers, jaw; `v3d` and `j3d` lie before the camera already; `j2d` are pixels of
the square input.

Source: naver/multi-hmr, demo.py and model.py.
"""

from pathlib import Path

import numpy as np

from storage.predictions.predicted import VERTICES, Predicted, camera_of_points, files_of, held_in
from storage.sources import adapter


def read(path: Path) -> list[Predicted]:
    """A picture's file, or a folder of them.

    Raises SourceError if a file is missing, broken or of another layout.
    """
    return [one for file in files_of(path, ".npz", ".npy", ".pkl") for one in _read(file)]


def _read(file: Path) -> list[Predicted]:
    held = held_in(file)
    humans = held["humans"] if isinstance(held, dict) and "humans" in held else held
    humans = [humans] if isinstance(humans, dict) else list(humans)
    people = []
    for k, one in enumerate(humans):
        where = f"{file}: person {k}"
        if not isinstance(one, dict) or "rotvec" not in one or "shape" not in one:
            details = ", ".join(map(str, one)) if isinstance(one, dict) else type(one).__name__
            raise adapter.unexpected(where, "rotvec", details, "a dictionary with rotvec and shape", "Save `humans`.")
        turns = adapter.shaped(where, "rotvec", np.asarray(one["rotvec"]).reshape(-1, 3), (53, 3))
        shape = adapter.shaped(where, "shape", np.ravel(one["shape"])[:10], (10,))
        vertices = joints = pixels = camera = None
        if "v3d" in one:
            vertices = adapter.shaped(where, "v3d", one["v3d"], (None, 3), kind=np.float64)[None]
        if "j3d" in one and "j2d" in one:
            joints = adapter.shaped(where, "j3d", one["j3d"], (None, 3), kind=np.float64)[None]
            pixels = adapter.shaped(where, "j2d", one["j2d"], (joints.shape[1], 2))[None]
            camera = camera_of_points(joints, pixels).camera
        topology = VERTICES.get(vertices.shape[1], "smplx") if vertices is not None else "smplx"
        shift = np.asarray(one["transl"], np.float64).reshape(1, 3) if "transl" in one else None
        people.append(Predicted(
            "multihmr", str(file), file.stem, str(k), topology, turns[None, 0], turns[None, 1:22], shape[None], shift,
            vertices, joints, pixels, camera,
            scores=np.ravel(one["scores"]).astype(np.float64)[:1] if "scores" in one else None,
        ))  # fmt: skip
    return people
