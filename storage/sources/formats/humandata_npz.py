"""HumanData `.npz` of MMHuman3D, in blocks of rows: SMPL or SMPL-X, 190 slots of points, the used ones kept.

`keypoints2d_*` (N, K, 3) and `keypoints3d_*` (N, K, 4) are compressed: only the slots that `*_mask` marks are there.
`smpl`, `smplx`, `meta` and `misc` are pickled dictionaries, read through an allow-list. `humandata.py` reads the same
files for the critic benchmark, a few rows at a time.

Source: open-mmlab/mmhuman3d, docs/human_data.md.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from storage.sources import SourceError, adapter
from storage.sources.adapter import Array, Choice
from storage.sources.joint_sets import HUMANDATA_144, HUMANDATA_190
from storage.sources.npz_file import NpzFile
from storage.sources.record import Batch, Columns

FIXED = (
    "image_path", "bbox_xywh", "smpl", "smplx", "meta", "misc", "config", "cam_param", "is_valid_smplx", "focal_length",
    "principal_point", "height", "width", "image_id", "video_path", "frame_idx", "gender", "features", "contact",
    "face_bbox_xywh", "lhand_bbox_xywh", "rhand_bbox_xywh", "vertex", "vertices", "has_smpl", "has_smplx",
)  # fmt: skip
POINTS = ("keypoints2d", "keypoints3d")
PREFERRED = ("_smplx", "_smpl", "", "_original", "_gta", "_h36m", "_coco", "_openpose", "_ubody")
"""Endings of the kinds of points, the one that is taken first."""


def read(path: Path, choice: Choice, dataset: str = "humandata") -> Iterator[Batch]:
    """Every `choice.stride`-th row.

    Raises SourceError if a file is missing, broken or of another layout.
    """
    file = NpzFile(path)
    points = [name for name in file.names if name.startswith((*POINTS, "__"))]
    adapter.check_keys(path, file.names, ("image_path",), (*FIXED, *points), choice.ignore)
    rows = int(file.shape("image_path")[0])
    tables = {name: _dictionary(path, file, name) for name in ("smpl", "smplx", "meta", "misc", "cam_param")}
    kinds = {name: found for name in POINTS if (found := _points(path, file, name))}
    body = _Body(path, tables, rows)
    camera = _Camera(path, file, tables, rows)
    wanted = [*(["bbox_xywh"] if "bbox_xywh" in file else []), *(kind for kind, _ in kinds.values())]
    pictures = adapter.relative_paths(path, "image_path", file.whole("image_path"))
    people = adapter.person_numbers(pictures)
    for start, block in zip(range(0, rows, adapter.ROWS), _blocks(file, wanted, rows)):
        numbers = np.arange(start, min(start + adapter.ROWS, rows))
        numbers = numbers[numbers % choice.stride == 0]
        if not len(numbers):
            continue
        paths = [pictures[row] for row in numbers]
        who = [people[row] for row in numbers]
        columns: Columns = {
            "sample_id": adapter.sample_ids(dataset, choice.split, paths, numbers.tolist()), "dataset": dataset,
            "split": choice.split, "sequence": [adapter.folder_of(one) for one in paths],
            "person_id": list(map(str, who)), "image_path": paths, "source_row": numbers,
            **body.rows(numbers), **camera.rows(numbers), **adapter.human36m_names(paths),
        }  # fmt: skip
        part = {name: values[numbers - start] for name, values in block.items()}
        if "bbox_xywh" in part:
            box = adapter.shaped(path, "bbox_xywh", part["bbox_xywh"], (None, 4), (None, 5))[:, :4]
            columns |= {"bbox_xywh": adapter.where((box[:, 2:] > 0).all(1), box), "bbox_source": "gt"}
        for name, (kind, names) in kinds.items():
            columns |= _point_columns(path, name, kind, part[kind], names)
        if camera.valid is not None:
            columns["valid_eval"], columns["valid_reason"] = camera.valid[numbers], "is_valid_smplx"
        keys = {name.replace("keypoints", "kp"): kind for name, (kind, _) in kinds.items()}
        keys |= {column: f"{body.name}.{column}" for column in ("global_orient", "body_pose", "transl", "betas")}
        yield Batch(columns, str(path), keys, camera.details, {}, (numbers[-1] + 1) / rows)


def _blocks(file: NpzFile, wanted: list[str], rows: int) -> Iterator[dict[str, Array]]:
    if wanted:
        return file.blocks(wanted, adapter.ROWS)
    return iter([{} for _ in range(0, rows, adapter.ROWS)])


def _dictionary(path: Path, file: NpzFile, name: str) -> dict[str, Any]:
    value = file.whole(name) if name in file else {}
    if not isinstance(value, dict):
        raise adapter.unexpected(path, name, type(value).__name__, "a dictionary", "Give a HumanData file.")
    return value


def _points(path: Path, file: NpzFile, what: str) -> tuple[str, tuple[str, ...]] | None:
    """The kind of points to take, and their names; None where there are none."""
    kinds = [name for name in file.names if name.startswith(what) and not name.endswith("_mask")]
    order = {what + ending: place for place, ending in enumerate(PREFERRED)}
    for kind in sorted(kinds, key=lambda name: (order.get(name, len(order)), name)):
        width = file.shape(kind)[1] if len(file.shape(kind)) == 3 else 0
        names: tuple[str, ...] = {190: HUMANDATA_190, 144: HUMANDATA_144}.get(width, ())
        if f"{kind}_mask" in file:
            mask = np.asarray(file.whole(f"{kind}_mask")).ravel() > 0
            slots = {190: HUMANDATA_190, 144: HUMANDATA_144}.get(len(mask))
            if slots is None:
                raise adapter.unexpected(
                    path, f"{kind}_mask", f"{len(mask)} slots", "190 (or 144)", "Give a file of HumanData 1.0 on."
                )
            if mask.sum() == width:
                names = tuple(name for name, used in zip(slots, mask) if used)
            elif len(mask) != width:
                raise adapter.unexpected(
                    path, kind, f"{width} points", f"{int(mask.sum())}, as many as its mask marks", "Fetch it again."
                )
        if names:
            return kind, names
    return None


def _point_columns(path: Path, what: str, kind: str, values: Array, names: tuple[str, ...]) -> Columns:
    in_space = what == "keypoints3d"
    points = adapter.shaped(path, kind, values, (None, len(names), 4 if in_space else 3))
    known = points[..., -1] > 0
    if not in_space:
        return {"kp2d": points[..., :2], "kp2d_conf": points[..., 2].clip(0, 1), "kp2d_names": ",".join(names)}
    space = np.where(known[..., None], points[..., :3], np.nan)
    return {
        "kp3d": adapter.labelled(points[..., :3], known), "kp3d_valid": known,
        "kp3d_names": ",".join(names), "kp3d_root": adapter.root_of(space, names), "kp3d_scale": "true",
        "kp3d_regressor": next((word for word in ("smplx", "smpl") if kind.endswith(word)), ""),
    }  # fmt: skip


class _Body:
    """SMPL-X's parameters where there are any, else SMPL's; all rows, as the dictionary holds them."""

    def __init__(self, path: Path, tables: Mapping[str, dict[str, Any]], rows: int) -> None:
        self.name = "smplx" if tables["smplx"] else "smpl"
        held = tables[self.name]
        self._columns: Columns = {}
        if not held:
            return
        joints = 21 if self.name == "smplx" else 23

        def column(key: str, *shapes: tuple[int | None, ...]) -> Array:
            wanted = tuple((rows, *shape) for shape in shapes)
            return adapter.shaped(path, f"{self.name}.{key}", held[key], *wanted).reshape(rows, -1)

        for key in ("global_orient", "body_pose"):
            if key not in held:
                raise adapter.unexpected(
                    path, f"{self.name}.{key}", f"no such key among {', '.join(held)}", "it", "Give a whole file."
                )
        pose = column("body_pose", (joints, 3), (joints * 3,), (23, 3), (69,))[:, : joints * 3]
        self._columns = {
            "model_type": self.name, "global_orient": column("global_orient", (3,), (1, 3)),
            "body_pose": pose.reshape(rows, joints, 3),
        }  # fmt: skip
        neutral = "betas_neutral" in held
        key = "betas_neutral" if neutral else "betas"
        if key in held:
            self._columns["betas"] = column(key, (None,))[:, :16]
        if "transl" in held:
            self._columns["transl"] = column("transl", (3,))
        for key, name in (("left_hand_pose", "left_hand"), ("right_hand_pose", "right_hand")):
            if key in held and np.size(held[key]) == rows * 45:
                self._columns[name] = column(key, (15, 3), (45,)).reshape(rows, 15, 3)
        for key, name in (("jaw_pose", "jaw"), ("leye_pose", "left_eye"), ("reye_pose", "right_eye")):
            if key in held:
                self._columns[name] = column(key, (3,), (1, 3))
        if "expression" in held and np.size(held["expression"]) == rows * 10:
            self._columns["expression"] = column("expression", (10,))
        details = held.get("gender", tables["meta"].get("gender"))
        if neutral:
            self._columns["gender"] = "neutral"
        elif details is not None:
            found = adapter.genders(details)
            self._columns["gender"] = found * rows if len(found) == 1 else found

    def rows(self, numbers: Array) -> Columns:
        taken = {}
        for name, values in self._columns.items():
            if isinstance(values, list):
                taken[name] = [values[row] for row in numbers]
            else:
                taken[name] = values if isinstance(values, str) else values[numbers]
        return taken


class _Camera:
    """Focal length, centre and picture size, in meta, misc or beside; for each row or one for all."""

    def __init__(self, path: Path, file: NpzFile, tables: Mapping[str, dict[str, Any]], rows: int) -> None:
        apart = {key: file.whole(key) for key in ("focal_length", "principal_point", "width", "height") if key in file}
        held = {**apart, **tables["misc"], **tables["meta"]}
        self._columns: Columns = {}
        self.details: tuple[str, ...] = ()
        if "focal_length" in held and "principal_point" in held:
            focal, centre = (_pairs(path, key, held[key], rows) for key in ("focal_length", "principal_point"))
            self._columns["K"] = adapter.camera_matrix(focal[:, 0], focal[:, 1], centre[:, 0], centre[:, 1])
        if "width" in held and "height" in held:
            sides = [np.broadcast_to(np.ravel(held[key]), (rows,)) for key in ("width", "height")]
            self._columns["image_wh"] = np.stack(sides, 1).astype(np.float32)
        valid = tables["smplx"].get(
            "is_valid_smplx", file.whole("is_valid_smplx") if "is_valid_smplx" in file else None
        )
        self.valid = None if valid is None else np.broadcast_to(np.ravel(valid), (rows,)).astype(bool)

    def rows(self, numbers: Array) -> Columns:
        return {name: values[numbers] for name, values in self._columns.items()}


def _pairs(path: Path, key: str, value: Any, rows: int) -> Array:
    """(rows, 2) of one number, one pair, one number a row or one pair a row."""
    array = np.asarray(value, np.float32)
    if array.ndim == 1 and len(array) == rows != 2:
        array = array[:, None]
    try:
        return np.broadcast_to(array, (rows, 2))
    except ValueError:
        raise SourceError(
            str(adapter.unexpected(path, key, f"shape {array.shape}", f"one pair, or {rows}", "Give one for each row."))
        ) from None
