"""4D-Humans (HMR2), TokenHMR and CameraHMR: the network's output dictionary, saved as numpy arrays (`.npz` or `.pkl`).

`pred_smpl_params` {global_orient, body_pose, betas}, matrices or axis-angles, or these three at the top; the place
before the camera of the whole picture is `pred_cam_t_full` (else `pred_cam_t`, of the crop), with `scaled_focal_length`
(else `focal_length`) and `img_size`.

Source: shubham-goel/4D-Humans, demo.py.
"""

from pathlib import Path
from typing import Any

import numpy as np

from storage.predictions.predicted import Predicted, files_of, held_in, rotation_vectors
from storage.sources import adapter


def read(path: Path) -> list[Predicted]:
    """A picture's file (N people), or a folder of them.

    Raises SourceError if a file is missing, broken or of another layout.
    """
    return [one for file in files_of(path, ".npz", ".pkl") for one in _read(file)]


def _read(file: Path) -> list[Predicted]:
    held = held_in(file)
    if not isinstance(held, dict):
        raise adapter.unexpected(
            file, "file", type(held).__name__, "a dictionary", "Save the network's output as .npz."
        )
    body = held.get("pred_smpl_params", held)
    for key in ("global_orient", "body_pose", "betas"):
        if key not in body:
            raise adapter.unexpected(
                file, f"pred_smpl_params.{key}", f"keys {', '.join(map(str, held))}", "it",
                "Save the network's output, tensors as numpy arrays.",
            )  # fmt: skip
    betas = adapter.shaped(file, "betas", np.atleast_2d(body["betas"]), (None, 10))
    count = len(betas)
    orient = rotation_vectors(file, "global_orient", body["global_orient"], count, 1)[:, 0]
    pose = rotation_vectors(file, "body_pose", body["body_pose"], count, 23)
    key = "pred_cam_t_full" if "pred_cam_t_full" in held else "pred_cam_t"
    shift = adapter.shaped(file, key, np.atleast_2d(held[key]), (count, 3), kind=np.float64) if key in held else None
    vertices = None
    if shift is not None and "pred_vertices" in held:
        about = adapter.shaped(
            file, "pred_vertices", held["pred_vertices"], (count, 6890, 3), (6890, 3), kind=np.float64
        )
        vertices = about.reshape(count, 6890, 3) + shift[:, None]
    camera = _camera(file, held) if key == "pred_cam_t_full" else None
    image = str(np.ravel(held.get("img_name", file.stem))[0])
    people = adapter.texts(held["personid"]) if np.size(held.get("personid", ())) == count else map(str, range(count))
    return [
        Predicted(
            "4dhumans", str(file), image, person, "smpl", orient[k : k + 1], pose[k : k + 1], betas[k : k + 1],
            None if shift is None else shift[k : k + 1], None if vertices is None else vertices[k : k + 1],
            camera=camera,
        )
        for k, person in enumerate(people)
    ]  # fmt: skip


def _camera(file: Path, held: dict[str, Any]) -> Any:
    """fx, fy, cx, cy of the whole picture: its centre is the principal point."""
    focal = held.get("scaled_focal_length", held.get("focal_length"))
    if focal is None or "img_size" not in held:
        return None
    size = np.ravel(held["img_size"]).astype(np.float64)[:2]
    focal = float(np.ravel(focal)[0])
    return np.array([focal, focal, size[0] / 2, size[1] / 2])
