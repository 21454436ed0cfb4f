"""COCO-like `.json` with SMPL, of HybrIK and ScoreHypo: Human3.6M, 3DPW, MPI-INF-3DHP.

`images` and `annotations` go together by `image_id`, or by index where annotations lack one. The files use different
names: `h36m_joints` (mm in Human3.6M's, m in 3DPW's), `smpl_joints` or `smpl_joint_cam` (24 or 29; m or mm,
by their depth), `keypoints_cam` (28 or 17, mm); `thetas` and `betas`, or `smpl_param`; a camera as f and c, focal
and princpt, or a matrix. The joints are the only source of a global translation.

Source: what HybrIK's (MIT) and ScoreHypo's loaders read of these files.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from storage.sources import adapter
from storage.sources.adapter import Choice
from storage.sources.joint_sets import H36M, H36M_17, MPI_INF_3DHP_17, MPI_INF_3DHP_28, SMPL_24, SMPL_29
from storage.sources.json_file import read_json
from storage.sources.record import Batch, Columns

SPACE = {
    "smpl_joint_cam": {24: SMPL_24, 29: SMPL_29},
    "smpl_joints": {24: SMPL_24, 29: SMPL_29},
    "h36m_joints": {17: H36M_17},
    "keypoints_cam": {28: MPI_INF_3DHP_28, 17: MPI_INF_3DHP_17},
}
"""Points in space, the ones that are taken first, and their names by number."""


def read(path: Path, choice: Choice, dataset: str = "coco-smpl") -> Iterator[Batch]:
    """Every `choice.stride`-th annotation.

    Raises SourceError if a file is missing, broken or of another layout.
    """
    held = read_json(path)
    if not isinstance(held, dict):
        raise adapter.unexpected(
            path, "file", f"a {type(held).__name__}", "an object with images and annotations",
            "A plain list is format flatlist-json.",
        )  # fmt: skip
    adapter.check_keys(
        path, held, ("images", "annotations"), ("info", "licenses", "categories", "actions"), choice.ignore
    )
    images, annotations = held["images"], held["annotations"]
    by_id = {image.get("id"): image for image in images}
    numbers = list(range(0, len(annotations), choice.stride))
    for start in range(0, len(numbers), adapter.ROWS):
        some = numbers[start : start + adapter.ROWS]
        pairs = []
        for row in some:
            one = annotations[row]
            image = by_id.get(one.get("image_id")) if "image_id" in one else images[row] if row < len(images) else None
            if image is None:
                raise adapter.unexpected(
                    path,
                    "image_id",
                    f"{one.get('image_id')} in annotation {row}",
                    "an image of the file",
                    "Fetch it again.",
                )
            pairs.append((row, image, one))
        yield _batch(path, pairs, choice, dataset, (start + len(some)) / len(numbers))


def _batch(path: Path, pairs: list, choice: Choice, dataset: str, share: float) -> Batch:
    rows, images, notes = zip(*pairs)
    count = len(rows)
    paths = [
        "/".join(str(part) for part in (image.get("sequence"), image.get("file_name")) if part) for image in images
    ]
    adapter.check_paths(path, "file_name", paths)
    columns: Columns = {
        "sample_id": adapter.sample_ids(dataset, choice.split, paths, rows), "dataset": dataset, "split": choice.split,
        "sequence": [adapter.folder_of(one) for one in paths], "image_path": paths,
        "person_id": [str(one.get("person_id", one.get("id", row))) for row, one in zip(rows, notes)],
        "source_row": np.array(rows),
        **adapter.human36m_names(paths),
    }  # fmt: skip
    if all("width" in image and "height" in image for image in images):
        columns["image_wh"] = np.array([(image["width"], image["height"]) for image in images], np.float32)
    if all("bbox" in one for one in notes):
        boxes = adapter.shaped(path, "bbox", [one["bbox"] for one in notes], (count, 4))
        columns |= {"bbox_xywh": boxes, "bbox_source": "gt"}
    cameras = [camera_of(path, one.get("cam_param", image.get("cam_param"))) for image, one in zip(images, notes)]
    if all(camera is not None for camera in cameras):
        columns["K"] = adapter.camera_matrix(*np.array(cameras, np.float32).T)
    keys, converted = {"bbox_xywh": "bbox", "K": "cam_param"}, []
    held = [one for one in SPACE if all(one in note for note in notes)]
    if held:
        points, names, details = _space(path, held[0], notes)
        root = adapter.root_of(points, names)
        converted += details
        keys["kp3d"] = held[0]
        if "h36m_joints" in held[1:]:  # beside SMPL's: what HybrIK, ScoreHypo and ADHMR are measured on
            regressed, theirs, details = _space(path, "h36m_joints", notes)
            points = np.concatenate([points, regressed], 1)
            names = (*names, *(f"{name}{H36M}" for name in theirs))
            converted += details
        columns |= {
            "kp3d": points, "kp3d_valid": np.ones(points.shape[:2], bool), "kp3d_names": ",".join(names),
            "kp3d_root": root, "kp3d_scale": "true",
            "kp3d_regressor": {"h36m_joints": "J_regressor_h36m", "keypoints_cam": "mocap"}.get(held[0], "smpl"),
        }  # fmt: skip
    columns |= _body(path, notes, keys)
    columns |= _picture_points(path, notes, keys)
    return Batch(columns, str(path), keys, converted, {}, share)


def camera_of(path: Path, details: Any) -> tuple[float, float, float, float] | None:
    """fx, fy, cx, cy, px, from one of the three spellings; None without a camera. Raises SourceError for any other."""
    if details is None:
        return None
    if "intrinsic_param" in details:
        matrix = adapter.shaped(path, "cam_param.intrinsic_param", details["intrinsic_param"], (3, 3), (3, 4), (4, 4))
        return float(matrix[0, 0]), float(matrix[1, 1]), float(matrix[0, 2]), float(matrix[1, 2])
    focal, centre = details.get("f", details.get("focal")), details.get("c", details.get("princpt"))
    if focal is None or centre is None:
        raise adapter.unexpected(
            path, "cam_param", f"keys {', '.join(details)}", "f and c, focal and princpt, or intrinsic_param",
            "Give the camera of the picture.",
        )  # fmt: skip
    fx, fy = np.broadcast_to(np.ravel(focal), (2,)).tolist()
    cx, cy = adapter.shaped(path, "cam_param.c", np.ravel(centre), (2,)).tolist()
    return fx, fy, cx, cy


def _space(path: Path, key: str, notes: tuple) -> tuple[adapter.Array, tuple[str, ...], tuple[str, ...]]:
    """Points (n, J, 3) in metres, their names, and what was converted."""
    flat = adapter.shaped(path, key, [np.ravel(one[key]) for one in notes], (len(notes), None))
    names = SPACE[key].get(flat.shape[1] // 3)
    if names is None or flat.shape[1] % 3:
        raise adapter.unexpected(
            path, key, f"{flat.shape[1]} numbers", " or ".join(f"{n} x 3" for n in SPACE[key]), "Fetch it again."
        )
    points, details = adapter.metres(flat.reshape(len(notes), -1, 3), key)
    return points, names, details


def _body(path: Path, notes: tuple, keys: dict[str, str]) -> Columns:
    count = len(notes)
    if all("thetas" in one and "betas" in one for one in notes):
        pose, shape, key = [one["thetas"] for one in notes], [one["betas"] for one in notes], "thetas"
    elif all("smpl_param" in one for one in notes):
        pose = [one["smpl_param"]["pose"] for one in notes]
        shape, key = [one["smpl_param"]["shape"] for one in notes], "smpl_param.pose"
    else:
        return {}
    turns = adapter.shaped(path, key, [np.ravel(one) for one in pose], (count, 72)).reshape(count, 24, 3)
    keys |= {"global_orient": key, "body_pose": key}
    return {
        "model_type": "smpl", "global_orient": turns[:, 0], "body_pose": turns[:, 1:], "gender": "neutral",
        "betas": adapter.shaped(path, "betas", [np.ravel(one)[:10] for one in shape], (count, 10)),
    }  # fmt: skip


def _picture_points(path: Path, notes: tuple, keys: dict[str, str]) -> Columns:
    for key, sets in (("smpl_joint_img", {24: SMPL_24, 29: SMPL_29}), ("keypoints_img", SPACE["keypoints_cam"])):
        if not all(key in one for one in notes):
            continue
        flat = adapter.shaped(path, key, [np.ravel(one[key]) for one in notes], (len(notes), None))
        for names in sets.values():
            for width in (3, 2):
                if flat.shape[1] == len(names) * width:
                    points = flat.reshape(len(notes), len(names), width)[..., :2]
                    keys["kp2d"] = key
                    return {
                        "kp2d": points, "kp2d_conf": np.ones(points.shape[:2], np.float32),
                        "kp2d_names": ",".join(names),
                    }  # fmt: skip
    return {}
