"""HI4D: pairs of people in contact, `pairXX/actionXX/{meta.npz, cameras/rgb_cameras.npz, smpl/<frame>.npz, images/}`.

SMPL of each gender in the world, eight cameras (world to camera), which vertices touch the partner (above 0). The
documentation spells the key of the intrinsics two ways; both are read.

Source: yifeiyin04/Hi4D, dataset.md and visualize_hi4d.py.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from storage.sources import SourceError, adapter
from storage.sources.adapter import Array, Choice
from storage.sources.joint_sets import SMPL_24
from storage.sources.npz_file import NpzFile
from storage.sources.record import Batch, Columns

SIZE = (940, 1280)
FRAME = ("betas", "body_pose", "global_orient", "transl")


def read(path: Path, choice: Choice, dataset: str = "hi4d") -> Iterator[Batch]:
    """One action's folder, or all below a folder; every `choice.stride`-th frame, all cameras.

    Raises SourceError if a file is missing, broken or of another layout.
    """
    found = adapter.found_file(path, "HI4D's folder")
    actions = sorted(file.parent for file in found.rglob("meta.npz"))
    if not actions:
        raise SourceError(f"{path}: holds no meta.npz. Give HI4D's folder, a pair's or an action's.")
    for number, action in enumerate(actions):
        files = sorted((action / "smpl").glob("*.npz"))[:: choice.stride]
        cameras = _cameras(action / "cameras" / "rgb_cameras.npz", choice)
        genders = _genders(action / "meta.npz", choice)
        for start in range(0, len(files), 64):
            some = files[start : start + 64]
            share = (number + (start + len(some)) / len(files)) / len(actions)
            yield _batch(action, some, cameras, genders, choice, dataset, share)


def _genders(file: Path, choice: Choice) -> list[str]:
    held = NpzFile(file)
    known = ("start", "end", "num_persons", "betas", "contact_ids", "mono_cam")
    adapter.check_keys(file, held.names, ("genders",), known, choice.ignore)
    return adapter.genders(held.whole("genders"))


def _cameras(file: Path, choice: Choice) -> list[tuple[str, Array, Array, Array]]:
    """Id, intrinsics (3, 3), world to camera (4, 4) and distortion (5,) of each."""
    held = NpzFile(file)
    key = "intirnsics" if "intirnsics" in held else "intrinsics"
    adapter.check_keys(file, held.names, ("ids", key, "extrinsics"), ("dist_coeffs",), choice.ignore)
    ids = adapter.texts(held.whole("ids"))
    inner = adapter.shaped(file, key, held.whole(key), (len(ids), 3, 3))
    outer = adapter.shaped(file, "extrinsics", held.whole("extrinsics"), (len(ids), 3, 4), (len(ids), 4, 4))
    bent = held.whole("dist_coeffs") if "dist_coeffs" in held else np.zeros((len(ids), 5))
    bent = adapter.shaped(file, "dist_coeffs", bent, (len(ids), 5))
    world = np.tile(np.eye(4, dtype=np.float32), (len(ids), 1, 1))
    world[:, :3] = outer[:, :3]
    return list(zip(ids, inner, world, bent))


def _batch(
    action: Path, files: list[Path], cameras: list, genders: list[str], choice: Choice, dataset: str, share: float
) -> Batch:
    rows: list[dict[str, Any]] = []
    sequence = "/".join(action.parts[-2:])
    for file in files:
        held = _frame(file, choice)
        people = len(held["betas"])
        for camera, inner, world, bent in cameras:
            for person in range(people):
                rows.append(_row(file, held, person, genders[person], camera, inner, world, bent, sequence, choice))
    columns: Columns = {}
    for name in rows[0]:
        values = [row[name] for row in rows]
        columns[name] = values if isinstance(values[0], str | list) else np.stack(values)
    count = len(rows)
    columns |= {
        "sample_id": adapter.sample_ids(dataset, choice.split, columns["image_path"], columns["person_id"]),
        "dataset": dataset, "split": choice.split, "sequence": sequence, "model_type": "smpl",
        "image_wh": np.tile(np.array(SIZE, np.float32), (count, 1)),
    }  # fmt: skip
    if "kp3d" in columns:
        columns |= {"kp3d_names": ",".join(SMPL_24), "kp3d_root": "", "kp3d_regressor": "smpl", "kp3d_scale": "true"}
    details = ["world to camera"]
    if np.isnan(columns["transl"]).all():
        details.append(adapter.NO_PELVIS)
    keys = {"kp3d": "joints_3d", "T_cam_world": "extrinsics", "K": "intrinsics"}
    return Batch(columns, str(action), keys, details, {}, share)


def _frame(file: Path, choice: Choice) -> dict[str, Array]:
    held = NpzFile(file)
    adapter.check_keys(file, held.names, FRAME, ("joints_3d", "verts", "contact", "vertices"), choice.ignore)
    shapes = {"betas": (None, 10), "body_pose": (None, 69), "global_orient": (None, 3), "transl": (None, 3),
              "joints_3d": (None, 24, 3), "contact": (None, None)}  # fmt: skip
    return {name: adapter.shaped(file, name, held.whole(name), shape) for name, shape in shapes.items() if name in held}


def _row(
    file: Path, held: dict, person: int, gender: str, camera: str, inner: Array, world: Array, bent: Array,
    sequence: str,
    choice: Choice,
) -> dict[str, Any]:  # fmt: skip
    one = {name: values[person : person + 1] for name, values in held.items()}
    rest = adapter.rest_pelvis(choice, "smpl", [gender], one["betas"])
    if rest is None and "joints_3d" in one:  # the pelvis lies at j0 + transl
        rest = one["joints_3d"][:, 0].astype(np.float64) - one["transl"]
    orient, transl = adapter.to_camera(one["global_orient"], one["transl"], world[None], rest)
    row: dict[str, Any] = {
        "camera_id": camera, "person_id": str(person), "gender": gender, "frame_index": np.int64(int(file.stem)),
        "image_path": f"{sequence}/images/{camera}/{int(file.stem):06d}.jpg", "K": inner, "T_cam_world": world,
        "dist": bent, "betas": one["betas"][0], "global_orient": orient[0], "transl": transl[0],
        "body_pose": one["body_pose"].reshape(23, 3), "source_row": np.int64(int(file.stem)),
    }  # fmt: skip
    if "joints_3d" in one:
        joints = one["joints_3d"][0].astype(np.float64) @ world[:3, :3].T + world[:3, 3]
        row |= {"kp3d": joints.astype(np.float32), "kp3d_valid": np.ones(24, bool)}
    if "contact" in one:
        row |= {"contact": np.flatnonzero(one["contact"][0] > 0).tolist(), "partner_id": str(1 - person)}
    return row
