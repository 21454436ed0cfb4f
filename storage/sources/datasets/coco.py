"""COCO keypoints, and datasets that write the same (OCHuman, PoseTrack, COCO-WholeBody, TRB): 2-D labels alone.

`keypoints` are x, y, v triples: v = 0 absent (x = y = 0), 1 hidden, 2 seen. The names come from `categories`; COCO-17
where there are none. Crowds and people without a point are left out and counted.

Source: cocodataset.org, format-data.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from storage.sources import adapter
from storage.sources.adapter import Choice
from storage.sources.joint_sets import COCO_17
from storage.sources.json_file import read_json
from storage.sources.record import Batch, Columns

KNOWN = ("info", "licenses", "categories", "type")
_ALIASES = {"head_bottom": "neck", "throat": "neck", "upper_neck": "neck", "hip": "pelvis", "headtop": "head_top"}


def read(path: Path, choice: Choice, dataset: str = "coco") -> Iterator[Batch]:
    """A file of annotations; every `choice.stride`-th of those with points.

    Raises SourceError if a file is missing, broken or of another layout.
    """
    held = read_json(path)
    if not isinstance(held, dict):
        raise adapter.unexpected(
            path, "file", f"a {type(held).__name__}", "an object with images and annotations",
            "Detections are no labels: give person_keypoints_<split>.json.",
        )  # fmt: skip
    if "people" in held and "images" not in held:
        raise adapter.unexpected(
            path, "people", "OpenPose's keypoints of one picture", "an object with images and annotations",
            "They need no import: put NAME_keypoints.json beside NAME.jpg in the folder of --images.",
        )  # fmt: skip
    adapter.check_keys(path, held, ("images", "annotations"), KNOWN, choice.ignore)
    images = {image["id"]: image for image in held["images"]}
    kept, skipped = [], Counter()
    for row, one in enumerate(held["annotations"]):
        if one.get("iscrowd"):
            skipped["crowds"] += 1
        elif not np.ravel(one.get("keypoints") or ())[2::3].any():
            skipped["without a point"] += 1
        elif one.get("image_id") not in images:
            raise adapter.unexpected(
                path,
                "image_id",
                f"{one.get('image_id')} in annotation {row}",
                "an image of the file",
                "Fetch it again.",
            )
        else:
            kept.append((row, one))
    names = _point_names(path, held, kept)
    kept = kept[:: choice.stride]
    for start in range(0, max(len(kept), 1), adapter.ROWS):
        some = kept[start : start + adapter.ROWS]
        share = (start + len(some)) / max(len(kept), 1)
        yield _batch(path, some, images, names, choice, dataset, {} if start else dict(skipped), share)


def _point_names(path: Path, held: dict[str, Any], kept: Sequence[tuple[int, dict]]) -> tuple[str, ...]:
    numbers = np.size(kept[0][1]["keypoints"]) if kept else 51
    if numbers % 3:
        raise adapter.unexpected(
            path, "keypoints", f"{numbers} numbers", "triples x, y, flag", "Give each point a flag: 0 absent, 2 seen."
        )
    count = numbers // 3
    details = [category["keypoints"] for category in held.get("categories", ()) if "keypoints" in category]
    for names in details:
        if len(names) == count:
            plain = [str(name).lower().replace(" ", "_").replace("-", "_") for name in names]
            return tuple(_ALIASES.get(name, name) for name in plain)
    if count == len(COCO_17):
        return COCO_17
    raise adapter.unexpected(
        path, "keypoints", f"{count} points", "17, or as many as 'categories' names", "Give the names with the file."
    )


def _batch(
    path: Path,
    some: list,
    images: dict,
    names: tuple[str, ...],
    choice: Choice,
    dataset: str,
    skipped: dict,
    share: float,
) -> Batch:
    rows = [row for row, _ in some]
    notes = [one for _, one in some]
    count = len(rows)
    places = [images[one["image_id"]] for one in notes]
    paths = [str(image["file_name"]) for image in places]
    adapter.check_paths(path, "file_name", paths)
    flat = [np.ravel(one["keypoints"]) for one in notes]
    points = (
        adapter.shaped(path, "keypoints", flat, (count, 3 * len(names))) if count else np.zeros((0, 3 * len(names)))
    )
    points = points.reshape(count, -1, 3)
    flags = points[..., 2]
    if not np.isin(flags, (0, 1, 2)).all():
        raise adapter.unexpected(
            path, "keypoints", f"a third number of {flags.max():.3g}", "flags 0 absent, 1 hidden, 2 seen",
            "Give annotations, not results of a detector.",
        )  # fmt: skip
    columns: Columns = {
        "sample_id": adapter.sample_ids(dataset, choice.split, paths, [one.get("id", row) for row, one in some]),
        "dataset": dataset, "split": choice.split, "sequence": [adapter.folder_of(one) for one in paths],
        "person_id": [str(one.get("track_id", one.get("id", row))) for row, one in some], "image_path": paths,
        "kp2d": points[..., :2], "kp2d_conf": (flags > 0).astype(np.float32), "kp2d_vis": flags.astype(np.int8),
        "kp2d_names": ",".join(names), "source_row": np.array(rows, np.int64),
    }  # fmt: skip
    if count and all("width" in image and "height" in image for image in places):
        columns["image_wh"] = np.array([(image["width"], image["height"]) for image in places], np.float32)
    if count and all("bbox" in one for one in notes):
        columns |= {"bbox_xywh": adapter.shaped(path, "bbox", [one["bbox"] for one in notes], (count, 4)),
                    "bbox_source": "gt"}  # fmt: skip
    elif count:
        columns |= {"bbox_xywh": adapter.box_of_points(points, flags), "bbox_source": "kp2d"}
    return Batch(columns, str(path), {"kp2d": "keypoints", "bbox_xywh": "bbox"}, (), skipped, share)
