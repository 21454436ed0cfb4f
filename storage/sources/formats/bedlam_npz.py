"""BEDLAM's processed `.npz` of a scene: SMPL-X in the camera frame.

`pose_cam` (165) is root, 21 joints, jaw, eyes and hands; the camera translation of a body is `trans_cam` plus the last
column of `cam_ext`; `scale` is the box side / 200, about 1.2 times the body. Close-up scenes are stored lying: the
picture is turned clockwise once, and labels are of the upright one.

Source: PerceivingSystems BEDLAM, data_processing/df_full_body.py.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from storage.sources import adapter
from storage.sources.adapter import Array, Choice
from storage.sources.joint_sets import SMPLX_22
from storage.sources.npz_file import NpzFile
from storage.sources.record import Batch, Columns

NEEDED = ("imgname", "center", "scale", "pose_cam", "shape", "trans_cam", "cam_int", "cam_ext")
KNOWN = ("pose_world", "trans_world", "gtkps", "gender", "proj_verts", "motion_info", "sub")


def read(path: Path, choice: Choice, dataset: str = "bedlam") -> Iterator[Batch]:
    """Every `choice.stride`-th row.

    Raises SourceError if a file is missing, broken or of another layout.
    """
    file = NpzFile(path)
    adapter.check_keys(path, file.names, NEEDED, KNOWN, choice.ignore)
    wanted = [name for name in (*NEEDED, "gtkps", "gender", "sub") if name in file]
    for part, numbers, share in file.every(wanted, choice.stride, adapter.ROWS):
        yield _batch(path, part, numbers, choice, dataset, share)


def _batch(path: Path, part: dict[str, Array], numbers: Array, choice: Choice, dataset: str, share: float) -> Batch:
    count = len(numbers)
    paths = adapter.relative_paths(path, "imgname", part["imgname"])
    centre = adapter.shaped(path, "center", part["center"], (count, 2))
    boxes, details = adapter.box_of_scale(centre, adapter.shaped(path, "scale", part["scale"], (count,), (count, 1)))
    pose = adapter.shaped(path, "pose_cam", part["pose_cam"], (count, 165))
    extrinsic = adapter.shaped(path, "cam_ext", part["cam_ext"], (count, 4, 4))
    close = "closeup" in path.name or any("closeup" in one for one in paths[:1])
    columns: Columns = {
        "sample_id": adapter.sample_ids(dataset, choice.split, paths, numbers.tolist()), "dataset": dataset,
        "split": choice.split, "sequence": [adapter.folder_of(one) for one in paths],
        "person_id": list(map(str, adapter.person_numbers(paths))), "image_path": paths,
        "image_rotate90": np.full(count, int(close)), "bbox_xywh": boxes, "bbox_source": "gt",
        "K": adapter.shaped(path, "cam_int", part["cam_int"], (count, 3, 3)), "T_cam_world": extrinsic,
        "model_type": "smplx", "gender": adapter.genders(part["gender"]) if "gender" in part else "neutral",
        "betas": adapter.shaped(path, "shape", part["shape"], (count, 10), (count, 11), (count, 16)),
        **adapter.split_smplx(pose),
        "transl": adapter.shaped(path, "trans_cam", part["trans_cam"], (count, 3)) + extrinsic[:, :3, 3],
        "source_row": numbers,
    }  # fmt: skip
    if "sub" in part:
        columns["subject_id"] = adapter.texts(part["sub"])
    if "gtkps" in part:
        points = adapter.shaped(path, "gtkps", part["gtkps"], (count, None, 2), (count, None, 3))[..., :2]
        if points.shape[1] >= 22:
            names = (*SMPLX_22, *(f"smplx_{k}" for k in range(22, points.shape[1])))
            columns |= {
                "kp2d": points, "kp2d_conf": np.ones(points.shape[:2], np.float32), "kp2d_names": ",".join(names)
            }  # fmt: skip
    keys = {
        "transl": "trans_cam + cam_ext", "global_orient": "pose_cam", "body_pose": "pose_cam", "kp2d": "gtkps",
        "K": "cam_int", "T_cam_world": "cam_ext", "bbox_xywh": "scale",
    }  # fmt: skip
    return Batch(columns, str(path), keys, [details, "transl: trans_cam + cam_ext"], {}, share)
