"""`.npz` files of ProHMR's line (4D-Humans, ScoreHMR, TokenHMR): SMPL and OpenPose's points beside 19 others.

`scale` is in pixels; `body_pose` (72) has the root first; `has_body_pose`, `has_betas` and the confidences state what a
row lacks.

Source: shubham-goel/4D-Humans, hmr2/datasets/image_dataset.py.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from storage.sources import adapter
from storage.sources.adapter import Array, Choice
from storage.sources.joint_sets import HMR2_44
from storage.sources.npz_file import NpzFile
from storage.sources.record import Batch, Columns

NEEDED = ("imgname", "center", "scale")
USED = (
    *("body_pose", "betas", "has_body_pose", "has_betas", "body_keypoints_2d", "extra_keypoints_2d"),
    *("body_keypoints_3d", "extra_keypoints_3d", "gender", "personid"),
)
KNOWN = (*USED, "has_hand_pose", "hand_keypoints_2d", "occ", "trans", "cam_int", "extra_info")
NAMES = ",".join(HMR2_44)


def read(path: Path, choice: Choice, dataset: str = "prohmr") -> Iterator[Batch]:
    """Every `choice.stride`-th row.

    Raises SourceError if a file is missing, broken or of another layout.
    """
    file = NpzFile(path)
    adapter.check_keys(path, file.names, NEEDED, KNOWN, choice.ignore)
    wanted = [name for name in (*NEEDED, *USED) if name in file]
    for part, numbers, share in file.every(wanted, choice.stride, adapter.ROWS):
        yield _batch(path, part, numbers, choice, dataset, share)


def _batch(path: Path, part: dict[str, Array], numbers: Array, choice: Choice, dataset: str, share: float) -> Batch:
    count = len(numbers)
    paths = adapter.relative_paths(path, "imgname", part["imgname"])
    centre = adapter.shaped(path, "center", part["center"], (count, 2))
    scale = adapter.shaped(path, "scale", part["scale"], (count,), (count, 1), (count, 2))
    boxes, details = adapter.box_of_scale(centre, scale)
    people = adapter.texts(part["personid"]) if "personid" in part else list(map(str, adapter.person_numbers(paths)))
    columns: Columns = {
        "sample_id": adapter.sample_ids(dataset, choice.split, paths, numbers.tolist()), "dataset": dataset,
        "split": choice.split, "sequence": [adapter.folder_of(one) for one in paths], "person_id": people,
        "image_path": paths, "bbox_xywh": boxes, "bbox_source": "gt", "source_row": numbers,
        **points_of(path, part, count), **body_of(path, part, count), **adapter.human36m_names(paths),
    }  # fmt: skip
    return Batch(columns, str(path), KEYS, [details], {}, share)


KEYS = {"kp2d": "body_keypoints_2d", "kp3d": "body_keypoints_3d", "global_orient": "body_pose", "bbox_xywh": "scale"}


def points_of(path: object, part: Mapping[str, Array], count: int) -> Columns:
    """Columns of the 25 + 19 points in the picture (px) and in space (metres); raises SourceError for other shapes."""
    columns: Columns = {}
    if "body_keypoints_2d" in part:
        flat = [adapter.shaped(path, "body_keypoints_2d", part["body_keypoints_2d"], (count, 25, 3))]
        if "extra_keypoints_2d" in part:
            flat.append(adapter.shaped(path, "extra_keypoints_2d", part["extra_keypoints_2d"], (count, 19, 3)))
        both = np.concatenate(flat, 1)
        columns |= {
            "kp2d": both[..., :2], "kp2d_conf": both[..., 2].clip(0, 1),
            "kp2d_names": ",".join(HMR2_44[: both.shape[1]])
        }  # fmt: skip
    if "body_keypoints_3d" in part and "extra_keypoints_3d" in part:
        body = adapter.shaped(path, "body_keypoints_3d", part["body_keypoints_3d"], (count, 25, 4))
        extra = adapter.shaped(path, "extra_keypoints_3d", part["extra_keypoints_3d"], (count, 19, 4))
        columns |= space_of(np.concatenate([body, extra], 1))
    return columns


def space_of(points: Array) -> Columns:
    """Columns of (n, 44, 4) points in space: metres and confidence."""
    valid = points[..., 3] > 0
    if not valid.any():
        return {}
    known = np.where(valid[..., None], points[..., :3], np.nan)
    root = adapter.root_of(known[:, 25:], HMR2_44[25:])
    space = adapter.labelled(points[..., :3], valid)
    return {"kp3d": space, "kp3d_valid": valid, "kp3d_names": NAMES, "kp3d_root": root, "kp3d_scale": "true"}


def body_of(path: object, part: Mapping[str, Array], count: int) -> Columns:
    """Columns of SMPL's parameters, radians; raises SourceError for other shapes."""
    if "body_pose" not in part or "betas" not in part:
        return {}
    pose = adapter.shaped(path, "body_pose", part["body_pose"], (count, 72), (count, 24, 3)).reshape(count, 72)
    betas = adapter.shaped(path, "betas", part["betas"], (count, 10))
    posed = part["has_body_pose"].reshape(count) > 0 if "has_body_pose" in part else np.ones(count, bool)
    shaped = part["has_betas"].reshape(count) > 0 if "has_betas" in part else np.ones(count, bool)
    columns: Columns = {
        "model_type": ["smpl" if one else "" for one in posed], "betas": adapter.where(shaped, betas),
        "global_orient": adapter.where(posed, pose[:, :3]),
        "body_pose": adapter.where(posed, pose[:, 3:].reshape(count, 23, 3)),
    }  # fmt: skip
    return columns | ({"gender": adapter.genders(part["gender"])} if "gender" in part else {})
