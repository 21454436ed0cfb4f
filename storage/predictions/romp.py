"""ROMP and BEV (simple_romp): `.npz` with `results`, arrays of N people in a picture.

`smpl_thetas` (72), `smpl_betas` (10, BEV 11), `cam_trans` is added to `verts` and `joints`; `pj2d_org` are pixels
of the picture, from which the camera follows.

Source: Arthur151/ROMP, simple_romp.
"""

from pathlib import Path

import numpy as np

from storage.predictions.predicted import ANOTHER, VERTICES, Predicted, camera_of_points, files_of, held_in
from storage.sources import adapter

NEEDED = ("smpl_thetas", "smpl_betas", "cam_trans")


def read(path: Path) -> list[Predicted]:
    """A picture's file, or a folder of them.

    Raises SourceError if a file is missing, broken or of another layout.
    """
    return [one for file in files_of(path, ".npz", ".npy", ".pkl") for one in _read(file)]


def _read(file: Path) -> list[Predicted]:
    held = held_in(file)
    held = held["results"] if isinstance(held, dict) and "results" in held else held
    if not isinstance(held, dict):
        raise adapter.unexpected(file, "results", type(held).__name__, "a dictionary", "Save ROMP's outputs as .npz.")
    for key in NEEDED:
        if key not in held:
            raise adapter.unexpected(
                file, key, f"keys {', '.join(map(str, held))}", f"'{key}'", f"Run ROMP with --calc_smpl. {ANOTHER}"
            )
    pose = adapter.shaped(file, "smpl_thetas", held["smpl_thetas"], (None, 72))
    count = len(pose)
    betas = adapter.shaped(file, "smpl_betas", held["smpl_betas"], (count, 10), (count, 11))[:, :10]
    shift = adapter.shaped(file, "cam_trans", held["cam_trans"], (count, 3), kind=np.float64)
    sure = np.ravel(held.get("center_confs", ()))
    people = []
    for k in range(count):
        vertices = joints = pixels = camera = None
        if "verts" in held:
            vertices = (
                adapter.shaped(file, "verts", held["verts"], (count, None, 3), kind=np.float64)[k : k + 1] + shift[k]
            )
        if "joints" in held and "pj2d_org" in held:
            joints = (
                adapter.shaped(file, "joints", held["joints"], (count, None, 3), kind=np.float64)[k : k + 1] + shift[k]
            )
            pixels = adapter.shaped(file, "pj2d_org", held["pj2d_org"], (count, joints.shape[1], 2))[k : k + 1]
            camera = camera_of_points(joints, pixels).camera
        topology = VERTICES.get(vertices.shape[1], "smpl") if vertices is not None else "smpl"
        people.append(Predicted(
            "romp", str(file), file.stem, str(k), topology, pose[k : k + 1, :3], pose[k : k + 1, 3:].reshape(1, 23, 3),
            betas[k : k + 1], shift[k : k + 1], vertices, joints, pixels, camera,
            scores=None if len(sure) != count else sure[k : k + 1],
        ))  # fmt: skip
    return people
