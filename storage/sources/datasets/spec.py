"""SPEC's synthetic and crowd-sourced sets: `.npz` with SMPL both in the world and in the camera's frame.

`pose_0yaw_inverseyz` (or `pose`) is the world's, `pose_cam` the camera's; `cam_rotmat` turns world to camera;
`focal_length` is one number or a pair; `scale` is the side / 200.

Source: mkocabas/SPEC, spec/dataset/cam_dataset.py.
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
USED = ("pose_cam", "shape", "S", "part", "openpose", "gender", "focal_length", "cam_rotmat", "cam_int")
KNOWN = (
    *USED, "pose", "pose_0yaw_inverseyz", "cam_pitch", "cam_roll", "cam_vfov", "cam_ext", "camcalib_pitch",
    "camcalib_roll", "camcalib_vfov", "camcalib_f_pix", "camcalib_rotmat", "has_smpl", "trans", "cam_trans",
    "orig_height", "orig_width",
)  # fmt: skip
SIZE = (1920, 1080)


def read(path: Path, choice: Choice, dataset: str = "spec") -> Iterator[Batch]:
    """Every `choice.stride`-th row.

    Raises SourceError if a file is missing, broken or of another layout.
    """
    file = NpzFile(path)
    adapter.check_keys(path, file.names, NEEDED, KNOWN, choice.ignore)
    single = "focal_length" in file and file.shape("focal_length")[:1] != file.shape("imgname")[:1]
    wanted = [name for name in (*NEEDED, *USED) if name in file and not (single and name == "focal_length")]
    focal = file.whole("focal_length") if single else None
    for part, numbers, share in file.every(wanted, choice.stride, adapter.ROWS):
        if focal is not None:
            part["focal_length"] = np.broadcast_to(np.ravel(focal), (len(numbers), np.size(focal)))
        yield _batch(path, part, numbers, choice, dataset, share)


def _batch(path: Path, part: dict[str, Array], numbers: Array, choice: Choice, dataset: str, share: float) -> Batch:
    count = len(numbers)
    paths = adapter.relative_paths(path, "imgname", part["imgname"])
    centre = adapter.shaped(path, "center", part["center"], (count, 2))
    boxes, details = adapter.box_of_scale(centre, adapter.shaped(path, "scale", part["scale"], (count,), (count, 1)))
    columns: Columns = {
        "sample_id": adapter.sample_ids(dataset, choice.split, paths, numbers.tolist()), "dataset": dataset,
        "split": choice.split, "sequence": [adapter.folder_of(one) for one in paths],
        "person_id": list(map(str, adapter.person_numbers(paths))), "image_path": paths, "bbox_xywh": boxes,
        "bbox_source": "gt", "source_row": numbers,
    }  # fmt: skip
    points, names = [], []
    for key, names_of in (("openpose", HMR2_44[:25]), ("part", SPIN_24)):
        if key in part:
            points.append(adapter.shaped(path, key, part[key], (count, len(names_of), 3)))
            names += names_of
    if points:
        both = np.concatenate(points, 1)
        columns |= {"kp2d": both[..., :2], "kp2d_conf": both[..., 2].clip(0, 1), "kp2d_names": ",".join(names)}
    if "S" in part:
        space = adapter.shaped(path, "S", part["S"], (count, 24, 4), (count, 49, 4), (count, 24, 3))
        known = SPIN_24 if space.shape[1] == 24 else (*HMR2_44[:25], *SPIN_24)
        valid = space[..., 3] > 0 if space.shape[2] == 4 else np.ones(space.shape[:2], bool)
        columns |= {
            "kp3d": space[..., :3], "kp3d_valid": valid, "kp3d_names": ",".join(known),
            "kp3d_root": adapter.root_of(space[..., :3], known), "kp3d_regressor": "smpl", "kp3d_scale": "true",
        }  # fmt: skip
    if "pose_cam" in part and "shape" in part:
        pose = adapter.shaped(path, "pose_cam", part["pose_cam"], (count, 72))
        columns |= {
            "model_type": "smpl", "gender": "neutral", "global_orient": pose[:, :3],
            "body_pose": pose[:, 3:].reshape(count, 23, 3),
            "betas": adapter.shaped(path, "shape", part["shape"], (count, 10)),
        }  # fmt: skip
    if "cam_int" in part:
        columns["K"] = adapter.shaped(path, "cam_int", part["cam_int"], (count, 3, 3))
    elif "focal_length" in part:
        focal = np.broadcast_to(np.asarray(part["focal_length"], np.float32).reshape(count, -1), (count, 2))
        columns["K"] = adapter.camera_matrix(focal[:, 0], focal[:, 1], SIZE[0] / 2, SIZE[1] / 2)
    if "cam_rotmat" in part:
        turn = adapter.shaped(path, "cam_rotmat", part["cam_rotmat"], (count, 3, 3))
        world = np.tile(np.eye(4, dtype=np.float32), (count, 1, 1))
        world[:, :3, :3] = turn
        columns["T_cam_world"] = world
    keys = {"global_orient": "pose_cam", "body_pose": "pose_cam", "kp2d": "part", "kp3d": "S", "K": "focal_length",
            "T_cam_world": "cam_rotmat", "bbox_xywh": "scale"}  # fmt: skip
    return Batch(columns, str(path), keys, [details], {}, share)
