"""InstaVariety: tracks of 2-D points in videos, as tfrecords of human_dynamics or its json of frames. No 3-D label.

A tfrecord holds one example for each track; arrays of a frame are channel-major, (2, 14), against the documentation.
The json of a frame has `imloc` from 1 and `keypoints` x, y with a probability. Points of the pictures in the tfrecord.

Source: akanazawa/human_dynamics, src/datasets/common.py and doc/insta_variety.md.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from storage.sources import SourceError, adapter
from storage.sources.adapter import Choice
from storage.sources.joint_sets import INSTAVARIETY_25
from storage.sources.json_file import read_json
from storage.sources.record import Batch, Columns
from storage.sources.tf_example import examples

NAMES = ",".join(INSTAVARIETY_25)
PARTS = (("image/xys", "image/visibilities", 14), ("image/face_pts", None, 5), ("image/toe_pts", None, 6))
KNOWN = (
    "meta/N", "image/filenames", "image/heightwidths", "image/centers", "image/scale_factors", "image/crop_pts",
    "image/xys", "image/visibilities", "image/face_pts", "image/toe_pts", "image/toes_pts", "image/encoded",
    "image/phis", "image/cams", "mosh/shape", "mosh/poses", "mosh/gt3ds", "mosh/shapes",
)  # fmt: skip


def read(path: Path, choice: Choice, dataset: str = "instavariety") -> Iterator[Batch]:
    """A tfrecord, a frame's json, or all of either below a folder; every `choice.stride`-th frame.

    Raises SourceError if a file is missing, broken or of another layout.
    """
    found = adapter.found_file(path, "InstaVariety's tfrecords or InstaVariety_tracks")
    files = [found]
    if found.is_dir():
        files = sorted(found.rglob("*.tfrecord")) or sorted(found.rglob("*.json"))
    if not files:
        raise SourceError(f"{path}: holds no .tfrecord and no .json. Give InstaVariety's tfrecords or tracks.")
    if files[0].suffix == ".json":
        kept = files[:: choice.stride]
        for start in range(0, len(kept), adapter.ROWS):
            some = kept[start : start + adapter.ROWS]
            yield _of_json(found, some, choice, dataset, start, (start + len(some)) / len(kept))
        return
    for number, file in enumerate(files, 1):
        for track, example in enumerate(examples(file)):
            yield _of_track(file, track, example, choice, dataset, (number - 0.5) / len(files))


def _of_track(file: Path, track: int, held: dict[str, Any], choice: Choice, dataset: str, share: float) -> Batch:
    adapter.check_keys(
        file,
        held,
        ("meta/N", "image/filenames", "image/xys", "image/visibilities", "image/face_pts"),
        KNOWN,
        choice.ignore,
    )
    count = int(held["meta/N"][0])
    toes = "image/toes_pts" if "image/toes_pts" in held else "image/toe_pts"

    def frames(key: str, *shape: int) -> Any:
        values = np.asarray(held[key], np.float32)
        if values.size != count * int(np.prod(shape)):
            raise adapter.unexpected(
                file, key, f"{values.size} numbers", f"{count} frames of {shape}", "Give tfrecords of human_dynamics."
            )
        return values.reshape(count, *shape)

    body = frames("image/xys", 2, 14).swapaxes(1, 2)
    seen = frames("image/visibilities", 14)
    face = frames("image/face_pts", 3, 5).swapaxes(1, 2)
    feet = frames(toes, 3, 6).swapaxes(1, 2) if toes in held else np.zeros((count, 6, 3), np.float32)
    points = np.concatenate([body, face[..., :2], feet[..., :2]], 1)
    sure = np.concatenate([seen, face[..., 2], feet[..., 2]], 1).clip(0, 1)
    rows = np.arange(count)[:: choice.stride]
    names = adapter.texts([held["image/filenames"][row] for row in rows])
    sequence = f"{file.stem}/{track}"
    paths = [name.lstrip("/") for name in names]
    adapter.check_paths(file, "image/filenames", paths)
    columns = _columns(dataset, choice, paths, points[rows], sure[rows], rows)
    columns |= {"sequence": sequence, "frame_index": rows, "person_id": str(track)}
    columns["sample_id"] = [f"{dataset}/{choice.split or 'all'}/{sequence}/{row}/{track}" for row in rows.tolist()]
    if "image/heightwidths" in held:
        columns["image_wh"] = frames("image/heightwidths", 2)[rows][:, ::-1].copy()
    keys = {"kp2d": "image/xys"}
    return Batch(columns, str(file), keys, ["channel-major points to rows"], {}, share)


def _of_json(root: Path, files: list[Path], choice: Choice, dataset: str, start: int, share: float) -> Batch:
    rows = []
    for file in files:
        held = read_json(file)
        adapter.check_keys(file, held, ("keypoints", "frame"), ("imloc", "track_id", "bbox"), choice.ignore)
        points = held["keypoints"]
        if isinstance(points, str):
            points = json.loads(points)
        adapter.check_keys(file, points, ("x", "y"), ("logits", "probability"), choice.ignore)
        flat = np.stack([np.ravel(points["x"]), np.ravel(points["y"])], 1).astype(np.float32)
        sure = np.ravel(points.get("probability", np.ones(len(flat)))).astype(np.float32)
        adapter.shaped(file, "keypoints", flat, (25, 2))
        rows.append((file, held, flat, sure))
    paths = [str(held.get("imloc", f"{int(held['frame']) + 1:06d}")) for _, held, _, _ in rows]
    paths = [one if one.endswith((".jpg", ".png")) else f"{one}.png" for one in paths]
    folders = [str(file.parent.relative_to(root)) if root.is_dir() else file.parent.name for file, *_ in rows]
    paths = [f"{folder}/{Path(one).name}" for folder, one in zip(folders, paths)]
    points, sure = np.stack([flat for _, _, flat, _ in rows]), np.stack([one for _, _, _, one in rows]).clip(0, 1)
    numbers = np.arange(start, start + len(rows))
    columns = _columns(dataset, choice, paths, points, sure, numbers)
    frames = np.array([int(held["frame"]) for _, held, _, _ in rows])
    columns |= {
        "sequence": folders, "frame_index": frames, "image_number": frames + 1,
        "person_id": [str(held.get("track_id", 0)) for _, held, _, _ in rows],
    }  # fmt: skip
    return Batch(columns, str(root), {"kp2d": "keypoints"}, ["imloc counted from 1"], {}, share)


def _columns(dataset: str, choice: Choice, paths: list[str], points: Any, sure: Any, rows: Any) -> Columns:
    return {
        "sample_id": adapter.sample_ids(dataset, choice.split, paths, [0] * len(paths)), "dataset": dataset,
        "split": choice.split, "image_path": paths, "kp2d": points, "kp2d_conf": sure, "kp2d_names": NAMES,
        "bbox_xywh": adapter.box_of_points(points, sure), "bbox_source": "kp2d", "source_row": rows,
    }  # fmt: skip
