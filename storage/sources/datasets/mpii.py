"""MPII Human Pose: the official `.mat`, HRNet's json, or the `.h5` of the hourglass line. 16 points in the picture.

The `.mat` counts pixels from 1; `scale` is the person's height / 200, `objpos` the centre. Whether a point is hidden is
not always given: then `kp2d_vis` is -1.

Source: human-pose.mpi-inf.mpg.de; HRNet's and mmpose's json, in which pixels count from 0 after their conversion.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from storage.sources import SourceError, adapter
from storage.sources.adapter import Array, Choice
from storage.sources.hdf5 import open_hdf5
from storage.sources.joint_sets import MPII_16
from storage.sources.json_file import read_json
from storage.sources.record import Batch, Columns

NAMES = ",".join(MPII_16)


def read(path: Path, choice: Choice, dataset: str = "mpii") -> Iterator[Batch]:
    """Every `choice.stride`-th person with points.

    Raises SourceError if a file is missing, broken or of another layout.
    """
    kinds = {".mat": _of_mat, ".json": _of_json, ".h5": _of_h5}
    if path.suffix not in kinds:
        raise SourceError(
            f"{path}: MPII comes as .mat, .json or .h5. Give mpii_human_pose_v1_u12_1.mat or such a file."
        )
    pictures, points, flags, boxes, skipped, details = kinds[path.suffix](
        adapter.found_file(path, "MPII's annotations")
    )
    numbers = np.arange(len(pictures))[:: choice.stride]
    for start in range(0, max(len(numbers), 1), adapter.ROWS):
        rows = numbers[start : start + adapter.ROWS]
        paths = [pictures[row] for row in rows]
        adapter.check_paths(path, "image", paths)
        columns: Columns = {
            "sample_id": adapter.sample_ids(dataset, choice.split, paths, rows.tolist()), "dataset": dataset,
            "split": choice.split, "person_id": list(map(str, adapter.person_numbers(paths))), "image_path": paths,
            "kp2d": points[rows], "kp2d_conf": (flags[rows] != 0).astype(np.float32), "kp2d_vis": flags[rows],
            "kp2d_names": NAMES, "bbox_xywh": boxes[rows], "bbox_source": "gt", "source_row": rows,
        }  # fmt: skip
        share = (start + len(rows)) / max(len(numbers), 1)
        yield Batch(
            columns, str(path), {"kp2d": "joints", "bbox_xywh": "scale"}, details, {} if start else skipped, share
        )


def _of_json(path: Path) -> tuple:
    people = read_json(path)
    if not isinstance(people, list):
        raise adapter.unexpected(
            path, "file", f"a {type(people).__name__}", "a list", "COCO-like files are dataset coco."
        )
    for one in people[:64]:
        adapter.check_keys(path, one, ("image", "center", "scale", "joints", "joints_vis"), ("head_size",))
    count = len(people)
    points = adapter.shaped(path, "joints", [one["joints"] for one in people], (count, 16, 2))
    given = adapter.shaped(path, "joints_vis", [one["joints_vis"] for one in people], (count, 16), (count, 16, 1))
    given = given.reshape(count, 16) > 0
    centre = adapter.shaped(path, "center", [one["center"] for one in people], (count, 2))
    scale = adapter.shaped(path, "scale", [np.max(one["scale"]) for one in people], (count,))
    boxes, details = adapter.box_of_scale(centre, scale)
    flags = np.where(given, -1, 0).astype(np.int8)
    return [str(one["image"]) for one in people], points, flags, boxes, {}, [details]


def _of_h5(path: Path) -> tuple:
    with open_hdf5(path) as held:
        adapter.check_keys(
            path, held, ("imgname", "part", "center", "scale"), ("index", "normalize", "person", "torsoangle",
            "visible",
            "istrain", "multi", "names")
        )  # fmt: skip
        raw = np.asarray(held["imgname"])
        points = np.asarray(held["part"], np.float32)
        centre, scale = np.asarray(held["center"], np.float32), np.asarray(held["scale"], np.float32)
    names = (
        [bytes(np.asarray(row, np.uint8)).decode().strip("\0 ") for row in raw] if raw.ndim == 2 else adapter.texts(raw)
    )
    points = adapter.shaped(path, "part", points, (len(names), 16, 2))
    flags = np.where((points == 0).all(-1), 0, -1).astype(np.int8)
    boxes, details = adapter.box_of_scale(centre, scale)
    return names, points, flags, boxes, {}, [details]


def _of_mat(path: Path) -> tuple:
    from scipy.io import loadmat

    try:
        held = loadmat(path, struct_as_record=False, squeeze_me=True)
    except Exception as error:  # a broken file may fail in any way
        raise SourceError(
            f"{path}: not a whole .mat file ({type(error).__name__}: {error}). Fetch it again."
        ) from error
    if "RELEASE" not in held:
        raise adapter.unexpected(path, "RELEASE", ", ".join(k for k in held if k[0] != "_"), "RELEASE", "Give MPII's.")
    pictures, points, flags, boxes, skipped = [], [], [], [], Counter[str]()
    for note in np.atleast_1d(held["RELEASE"].annolist):
        for person in np.atleast_1d(getattr(note, "annorect", [])):
            held_points = getattr(person, "annopoints", None)
            marked = np.atleast_1d(getattr(held_points, "point", [])) if held_points is not None else []
            if not len(marked):
                skipped["without a point"] += 1
                continue
            place, flag = _marked(path, marked)
            centre, scale = getattr(person, "objpos", None), getattr(person, "scale", None)
            pictures.append(str(note.image.name))
            points.append(place)
            flags.append(flag)
            boxes.append(_box(centre, scale))
    shape = (len(pictures), 16)
    return (
        pictures, np.array(points, np.float32).reshape(*shape, 2), np.array(flags, np.int8).reshape(shape),
        np.array(boxes, np.float32).reshape(-1, 4), dict(skipped), ["pixels counted from 1 to from 0",
        "scale: height / 200"],
    )  # fmt: skip


def _marked(path: Path, marked: Any) -> tuple[Array, Array]:
    place, flag = np.zeros((16, 2), np.float32), np.zeros(16, np.int8)
    for point in marked:
        if not 0 <= int(point.id) < 16:
            raise adapter.unexpected(path, "annopoints.point.id", str(point.id), "0 to 15", "Give MPII's own file.")
        place[int(point.id)] = (point.x - 1, point.y - 1)
        seen = getattr(point, "is_visible", "")
        known = np.size(seen) == 1 and str(seen).strip() in ("0", "1")
        flag[int(point.id)] = (2 if int(seen) else 1) if known else -1
    return place, flag


def _box(centre: Any, scale: Any) -> Array:
    if centre is None or scale is None or np.size(scale) != 1 or not hasattr(centre, "x"):
        return np.full(4, np.nan)
    side = 200.0 * float(scale)
    return np.array([centre.x - 1 - side / 2, centre.y - 1 - side / 2, side, side])
