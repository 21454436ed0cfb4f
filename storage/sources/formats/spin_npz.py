"""SPIN's `.npz` of annotations, with what CLIFF and BEDLAM's real sets add: any subset of the keys.

`scale` is the box side / 200, `part` (24 points) are annotated and `openpose` (25) detected, `S` (24) are metres about
a root, `pose` (72) and `shape` (10) are SMPL's in the camera frame; `cam_int` and `gtkps` are CLIFF's.

Source: nkolot/SPIN, datasets/base_dataset.py; PerceivingSystems BEDLAM, train/dataset/dataset.py.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from storage.sources import adapter
from storage.sources.adapter import Array, Choice
from storage.sources.joint_sets import HMR2_44, SPIN_24
from storage.sources.npz_file import NpzFile
from storage.sources.record import Batch, Columns

NEEDED = ("imgname", "center", "scale")
KNOWN = (
    *("part", "openpose", "S", "pose", "shape", "has_smpl", "gender", "maskname", "partname", "cam_int", "gtkps"),
    *("pose_cam", "size", "smplx_pose", "smplx_shape", "trans_cam", "cam_ext", "proj_verts", "valid_fit", "quality"),
    *("poses_2d", "has_smplx", "focal_length", "trans"),
)
OPENPOSE = HMR2_44[:25]


def read(path: Path, choice: Choice, dataset: str = "spin") -> Iterator[Batch]:
    """Every `choice.stride`-th row.

    Raises SourceError if a file is missing, broken or of another layout.
    """
    file = NpzFile(path)
    adapter.check_keys(path, file.names, NEEDED, KNOWN, choice.ignore)
    wanted = [name for name in (*NEEDED, "part", "openpose", "S", "pose", "shape", "has_smpl", "gender", "cam_int")
              if name in file]  # fmt: skip
    for part, numbers, share in file.every(wanted, choice.stride, adapter.ROWS):
        yield _batch(path, part, numbers, choice, dataset, share)


def _batch(path: Path, part: dict[str, Array], numbers: Array, choice: Choice, dataset: str, share: float) -> Batch:
    count = len(numbers)
    paths = adapter.relative_paths(path, "imgname", part["imgname"])
    people = adapter.person_numbers(paths)
    centre = adapter.shaped(path, "center", part["center"], (count, 2))
    scale = adapter.shaped(path, "scale", part["scale"], (count,), (count, 2), (count, 1))
    boxes, details = adapter.box_of_scale(centre, scale)
    columns: Columns = {
        "sample_id": adapter.sample_ids(dataset, choice.split, paths, numbers.tolist()), "dataset": dataset,
        "split": choice.split, "sequence": [adapter.folder_of(one) for one in paths], "person_id": list(map(str,
        people)),
        "image_path": paths, "bbox_xywh": boxes, "bbox_source": "gt", "source_row": numbers,
        **adapter.human36m_names(paths),
    }  # fmt: skip
    converted = [details]
    sets, names = [], []
    for key, points in (("openpose", OPENPOSE), ("part", SPIN_24)):
        if key in part:
            sets.append(adapter.shaped(path, key, part[key], (count, len(points), 3)))
            names += points
    if sets:
        both = np.concatenate(sets, 1)
        columns |= {"kp2d": both[..., :2], "kp2d_conf": both[..., 2].clip(0, 1), "kp2d_names": ",".join(names)}
    if "S" in part:
        space = adapter.shaped(path, "S", part["S"], (count, 24, 4))
        valid = space[..., 3] > 0
        columns |= {
            "kp3d": adapter.labelled(space[..., :3], valid), "kp3d_valid": valid,
            "kp3d_names": ",".join(SPIN_24), "kp3d_root": "pelvis", "kp3d_scale": "true",
        }  # fmt: skip
    if "pose" in part and "shape" in part:
        pose = adapter.shaped(path, "pose", part["pose"], (count, 72))
        shape = adapter.shaped(path, "shape", part["shape"], (count, 10))
        has = part["has_smpl"].reshape(count) > 0 if "has_smpl" in part else np.ones(count, bool)
        columns |= {
            "model_type": ["smpl" if one else "" for one in has], "betas": adapter.where(has, shape),
            "global_orient": adapter.where(has, pose[:, :3]),
            "body_pose": adapter.where(has, pose[:, 3:].reshape(count, 23, 3)),
        }  # fmt: skip
        if "gender" in part:
            columns["gender"] = adapter.genders(part["gender"])
    if "cam_int" in part:
        columns["K"] = adapter.shaped(path, "cam_int", part["cam_int"], (count, 3, 3))
    keys = {
        "kp3d": "S",
        "kp2d": "part",
        "body_pose": "pose",
        "global_orient": "pose",
        "bbox_xywh": "scale",
        "K": "cam_int",
    }
    return Batch(columns, str(path), keys, converted, {}, share)
