"""Plain arrays of any model in an `.npz`: one file for each person, G hypotheses.

`vertices` (G, V, 3), or `pose` (G, 24, 3) with `betas` (G, 10) and `transl` (G, 3), or `joints` (G, K, 3): metres,
OpenCV camera frame. Optional: `pixels` (G, K, 2) of the joints, `camera` (4,) fx, fy, cx, cy, `box` (4,)
x0, y0, x1, y1, `scores` (G,), `cam_rotation` (3, 3) from the world to the camera as the model estimates it, `faces`
(F, 3), `names` (K,) of the joints, and the texts `image`, `person`, `model`, `topology` (smpl, smplx, mhr, or the name
of a body of your own).
"""

import re
from pathlib import Path
from typing import Any

import numpy as np

from storage.finished_file import finished_file
from storage.predictions.predicted import ANOTHER, VERTICES, Predicted, files_of
from storage.sources import adapter
from storage.sources.npz_file import NpzFile

KNOWN = (
    "vertices", "pose", "betas", "transl", "joints", "pixels", "camera", "box", "scores", "image", "person", "model",
    "topology", "cam_rotation", "names", "faces",
)  # fmt: skip


def read(path: Path) -> list[Predicted]:
    """One file, or a folder of them.

    Raises SourceError if a file is missing, broken or of another layout.
    """
    return [_read(file) for file in files_of(path, ".npz")]


def write(one: Predicted, folder: Path, name: str | None = None) -> Path:
    """Write one prediction to a file that `read` can read; returns its path. name: of the file; None = after whom it
    is about.
    """
    arrays = {key: getattr(one, key) for key in KNOWN if key != "pose"}
    if one.orient is not None and one.pose is not None:
        turns = np.zeros((len(one), 24, 3))
        turns[:, 0], turns[:, 1 : 1 + one.pose.shape[1]] = one.orient, one.pose
        arrays["pose"] = turns
    name = name or re.sub(r"[^\w.-]+", "_", f"{one.image}_{one.person}_{one.model}")
    path = folder / f"{name}.npz"
    held: dict[str, Any] = {key: np.asarray(value) for key, value in arrays.items() if value is not None}
    with finished_file(path) as unfinished:
        np.savez(unfinished, **held)
    return path


def _read(file: Path) -> Predicted:
    held = NpzFile(file)
    adapter.check_keys(file, held.names, (), KNOWN, instead=ANOTHER)

    def array(name: str, *shape: int | None) -> Any:
        return adapter.shaped(file, name, held.whole(name), shape, kind=np.float64) if name in held else None

    def text(name: str, otherwise: str) -> str:
        return str(np.ravel(held.whole(name))[0]) if name in held else otherwise

    pose, vertices = array("pose", None, 24, 3), array("vertices", None, None, 3)
    topology = VERTICES.get(vertices.shape[1], "") if vertices is not None else "smpl" if pose is not None else ""
    topology = text("topology", topology)
    pose = None if pose is None else pose[:, :22] if topology == "smplx" else pose
    return Predicted(
        text("model", "npz"), str(file), text("image", file.stem), text("person", "0"), topology,
        None if pose is None else pose[:, 0], None if pose is None else pose[:, 1:], array("betas", None, 10),
        array("transl", None, 3), vertices, array("joints", None, None, 3), array("pixels", None, None, 2),
        array("camera", 4), array("box", 4), array("scores", None), array("cam_rotation", 3, 3),
        tuple(map(str, np.ravel(held.whole("names")))) if "names" in held else None, array("faces", None, 3),
    )  # fmt: skip
