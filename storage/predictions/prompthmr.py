"""PromptHMR's video results: `people`, each with `smplx_cam` over frames, and one `camera`; numpy in a `.pkl` or
`.npz`.

`smplx_cam` has `pose` (F, 165) or `rotmat` (F, 55, 3, 3), `shape` (F, 10) and `trans` (F, 3); `frames` numbers them.

Source: yufu-wang/PromptHMR.
"""

from pathlib import Path

import numpy as np

from storage.predictions.predicted import Predicted, files_of, held_in, rotation_vectors
from storage.sources import adapter


def read(path: Path) -> list[Predicted]:
    """A video's results, or a folder of them: each person in each frame by itself.

    Raises SourceError if a file is missing, broken or of another layout.
    """
    return [one for file in files_of(path, ".pkl", ".npz") for one in _read(file)]


def _read(file: Path) -> list[Predicted]:
    held = held_in(file)
    if not isinstance(held, dict) or not isinstance(held.get("people"), dict):
        details = ", ".join(map(str, held)) if isinstance(held, dict) else type(held).__name__
        raise adapter.unexpected(file, "people", details, "a dictionary of people", "Give results.pkl of PromptHMR.")
    camera = None
    lens = held.get("camera", {})
    if "img_focal" in lens and "img_center" in lens:
        focal, (cx, cy) = float(np.ravel(lens["img_focal"])[0]), np.ravel(lens["img_center"])[:2].tolist()
        camera = np.array([focal, focal, cx, cy])
    found = []
    for person, one in held["people"].items():
        where = f"{file}: person {person}"
        body = one.get("smplx_cam", {})
        key = "pose" if "pose" in body else "rotmat"
        if not {key, "shape", "trans"} <= body.keys():
            raise adapter.unexpected(
                where, "smplx_cam", f"keys {', '.join(map(str, body)) or 'none'}", "pose or rotmat, shape, trans",
                "Give results in the camera's frame.",
            )  # fmt: skip
        shift = adapter.shaped(where, "trans", body["trans"], (None, 3), kind=np.float64)
        count = len(shift)
        turns = rotation_vectors(where, key, body[key], count, 55)
        shape = adapter.shaped(where, "shape", body["shape"], (count, 10))
        frames = np.ravel(one.get("frames", np.arange(count))).astype(int)
        found += [
            Predicted(
                "prompthmr", str(file), f"{file.stem}/{frames[k]:06d}", str(person), "smplx", turns[k : k + 1, 0],
                turns[k : k + 1, 1:22], shape[k : k + 1], shift[k : k + 1], camera=camera,
            )
            for k in range(count)
        ]  # fmt: skip
    return found
