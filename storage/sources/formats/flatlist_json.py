"""Flat lists of people, one object each, of HybrIK and ScoreHypo: COCO, MPII, UP-3D, SURREAL with pseudo labels.

`bbox` are corners; `joint_cam_29` (or `_17`) are millimetres; `joint_img_29` are pixels and depth; `f` and `c` the
camera; `smpl_param` pose, shape and trans; `joint_cam_valid` says whether the points in space are labels.

Source: what ScoreHypo's loader of COCO reads of these files.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from storage.sources import adapter
from storage.sources.adapter import Choice
from storage.sources.joint_sets import H36M_17, SMPL_29
from storage.sources.json_file import read_json
from storage.sources.record import Batch, Columns

NEEDED = ("img_path", "bbox")
KNOWN = (
    "width", "height", "f", "c", "joint_cam_17", "joint_cam_29", "joint_img_29", "joint_img_17", "joint_cam_valid",
    "smpl_param", "angle_twist", "img_id", "img_name", "joint_vis_29", "joint_vis_17", "beta", "theta", "root_cam",
    "twist_phi", "twist_weight", "joint_2d", "joint_relative_17", "area", "ann_id", "image_id", "joint_vis",
)  # fmt: skip


def read(path: Path, choice: Choice, dataset: str = "flatlist") -> Iterator[Batch]:
    """Every `choice.stride`-th person.

    Raises SourceError if a file is missing, broken or of another layout.
    """
    people = read_json(path)
    if not isinstance(people, list) or not people or not all(isinstance(one, dict) for one in people):
        raise adapter.unexpected(
            path, "file", f"a {type(people).__name__}", "a list of objects", "An object with images is coco-smpl-json."
        )
    for one in people[:64]:
        adapter.check_keys(path, one, NEEDED, KNOWN, choice.ignore)
    numbers = list(range(0, len(people), choice.stride))
    for start in range(0, len(numbers), adapter.ROWS):
        some = numbers[start : start + adapter.ROWS]
        yield _batch(path, some, [people[row] for row in some], choice, dataset, (start + len(some)) / len(numbers))


def _batch(
    path: Path, rows: list[int], people: list[dict[str, Any]], choice: Choice, dataset: str, share: float
) -> Batch:
    count = len(rows)

    def every(*keys: str) -> bool:
        return all(key in one for one in people for key in keys)

    def stacked(key: str, *shapes: tuple[int | None, ...]) -> Any:
        wanted = tuple((count, *shape) for shape in shapes)
        return adapter.shaped(path, key, [one[key] for one in people], *wanted)

    paths = adapter.relative_paths(path, "img_path", [one["img_path"] for one in people])
    corners = stacked("bbox", (4,))
    columns: Columns = {
        "sample_id": adapter.sample_ids(dataset, choice.split, paths, rows), "dataset": dataset, "split": choice.split,
        "sequence": [adapter.folder_of(one) for one in paths], "image_path": paths,
        "person_id": list(map(str, adapter.person_numbers(paths))), "source_row": np.array(rows),
        "bbox_xywh": np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], 1), "bbox_source": "gt",
    }  # fmt: skip
    if (columns["bbox_xywh"][:, 2:] <= 0).any():
        raise adapter.unexpected(
            path,
            "bbox",
            "a box whose corners are in the wrong order",
            "x0, y0, x1, y1",
            "Turn x, y, w, h into corners.",
        )
    converted, keys = ["bbox: corners to xywh"], {"bbox_xywh": "bbox", "K": "f, c"}
    if every("width", "height"):
        columns["image_wh"] = np.array([(one["width"], one["height"]) for one in people], np.float32)
    if every("f", "c"):
        focal, centre = stacked("f", (2,)), stacked("c", (2,))
        columns["K"] = adapter.camera_matrix(focal[:, 0], focal[:, 1], centre[:, 0], centre[:, 1])
    key = "joint_cam_29" if every("joint_cam_29") else "joint_cam_17"
    if every(key):
        names = SMPL_29 if key.endswith("29") else H36M_17
        points, details = adapter.metres(stacked(key, (len(names), 3), (len(names) * 3,)).reshape(count, -1, 3), key)
        valid = np.ones(count, bool)
        if every("joint_cam_valid"):
            valid = np.array([bool(np.any(one["joint_cam_valid"])) for one in people])
        columns |= {
            "kp3d": adapter.where(valid, points), "kp3d_valid": np.repeat(valid[:, None], len(names), 1),
            "kp3d_names": ",".join(names), "kp3d_root": adapter.root_of(points[valid], names), "kp3d_scale": "true",
            "kp3d_regressor": "smpl" if names is SMPL_29 else "J_regressor_h36m",
        }  # fmt: skip
        keys["kp3d"] = key
        converted += details
    if every("joint_img_29"):
        points = stacked("joint_img_29", (29, 3), (29, 2), (87,))
        points = points.reshape(count, 29, -1)[..., :2]
        columns |= {
            "kp2d": points, "kp2d_conf": np.ones(points.shape[:2], np.float32), "kp2d_names": ",".join(SMPL_29)
        }  # fmt: skip
        keys["kp2d"] = "joint_img_29"
    if every("smpl_param"):
        held = [one["smpl_param"] for one in people]
        pose = adapter.shaped(path, "smpl_param.pose", [np.ravel(one["pose"]) for one in held], (count, 72))
        columns |= {
            "model_type": "smpl", "gender": "neutral", "global_orient": pose[:, :3],
            "body_pose": pose[:, 3:].reshape(count, 23, 3),
            "betas": adapter.shaped(path, "smpl_param.shape", [np.ravel(one["shape"])[:10] for one in held], (count,
            10)),
        }  # fmt: skip
        keys |= {"global_orient": "smpl_param.pose", "body_pose": "smpl_param.pose"}
    return Batch(columns, str(path), keys, converted, {}, share)
