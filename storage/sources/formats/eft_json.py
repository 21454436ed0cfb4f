"""EFT's pseudo labels: `data`, a list of people with SMPL as rotation matrices and SPIN's 49 points.

Source: facebookresearch/eft as MMHuman3D's converter reads it.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from storage.sources import adapter
from storage.sources.adapter import Choice
from storage.sources.joint_sets import HMR2_44, SPIN_24
from storage.sources.json_file import read_json
from storage.sources.record import Batch, Columns

NEEDED = ("parm_pose", "parm_shape", "imageName")
KNOWN = (
    "parm_cam", "bbox_scale", "bbox_center", "gt_keypoint_2d", "joint_validity_openpose18", "smpltype", "annotId",
    "annot_id", "subjectId",
)  # fmt: skip
NAMES = (*HMR2_44[:25], *SPIN_24)


def read(path: Path, choice: Choice, dataset: str = "eft") -> Iterator[Batch]:
    """Every `choice.stride`-th person.

    Raises SourceError if a file is missing, broken or of another layout.
    """
    held = read_json(path)
    if not isinstance(held, dict) or "data" not in held:
        raise adapter.unexpected(path, "data", "no such key", "a list of people", "Give a file of EFT.")
    people = held["data"]
    for one in people[:64]:
        adapter.check_keys(path, one, NEEDED, KNOWN, choice.ignore)
    numbers = list(range(0, len(people), choice.stride))
    for start in range(0, len(numbers), adapter.ROWS):
        rows = numbers[start : start + adapter.ROWS]
        some = [people[row] for row in rows]
        count = len(rows)
        paths = adapter.relative_paths(path, "imageName", [one["imageName"] for one in some])
        matrices = adapter.shaped(path, "parm_pose", [one["parm_pose"] for one in some], (count, 24, 3, 3))
        turns = adapter.axis_angles(path, "parm_pose", matrices)
        columns: Columns = {
            "sample_id": adapter.sample_ids(dataset, choice.split, paths, rows), "dataset": dataset,
            "split": choice.split, "image_path": paths, "sequence": [adapter.folder_of(one) for one in paths],
            "person_id": list(map(str, adapter.person_numbers(paths))), "model_type": "smpl", "gender": "neutral",
            "global_orient": turns[:, 0], "body_pose": turns[:, 1:], "source_row": np.array(rows),
            "betas": adapter.shaped(path, "parm_shape", [one["parm_shape"] for one in some], (count, 10)),
        }  # fmt: skip
        converted = ["parm_pose: matrices to axis-angle"]
        if all("bbox_scale" in one and "bbox_center" in one for one in some):
            centre = adapter.shaped(path, "bbox_center", [one["bbox_center"] for one in some], (count, 2))
            scale = adapter.shaped(path, "bbox_scale", [one["bbox_scale"] for one in some], (count,))
            columns["bbox_xywh"], details = adapter.box_of_scale(centre, scale)
            columns["bbox_source"] = "gt"
            converted.append(details)
        if all("gt_keypoint_2d" in one for one in some):
            points = adapter.shaped(path, "gt_keypoint_2d", [one["gt_keypoint_2d"] for one in some], (count, 49, 3))
            columns |= {
                "kp2d": points[..., :2], "kp2d_conf": points[..., 2].clip(0, 1), "kp2d_names": ",".join(NAMES)
            }  # fmt: skip
        keys = {
            "global_orient": "parm_pose",
            "body_pose": "parm_pose",
            "kp2d": "gt_keypoint_2d",
            "bbox_xywh": "bbox_scale",
        }
        yield Batch(columns, str(path), keys, converted, {}, (start + count) / len(numbers))
