"""4D-Humans' training shards: a tar of pictures, each with a pickled list of its people.

Members `KEY.jpg` and `KEY.data.pyd`; the pickles are read through an allow-list. `scale` is a pair of sides / 200.

Source: shubham-goel/4D-Humans, hmr2/datasets/image_dataset.py.
"""

import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from storage.sources import SourceError, adapter
from storage.sources.adapter import Choice
from storage.sources.formats.prohmr_npz import KEYS, body_of, space_of
from storage.sources.joint_sets import HMR2_44
from storage.sources.plain_pickle import load_plain
from storage.sources.record import Batch, Columns

NEEDED = ("keypoints_2d", "center", "scale")
KNOWN = ("keypoints_3d", "body_pose", "betas", "extra_info", "has_body_pose", "has_betas", "smpl_params")
SUFFIX = ".data.pyd"


def read(path: Path, choice: Choice, dataset: str = "hmr2") -> Iterator[Batch]:
    """One tar, or all of a folder in order of name.

    Raises SourceError if a file is missing, broken or of another layout.
    """
    tars = sorted(path.glob("*.tar")) if path.is_dir() else [adapter.found_file(path, "a .tar file")]
    if not tars:
        raise SourceError(f"{path}: holds no .tar file. Give a shard of 4D-Humans' training data, or their folder.")
    for number, tar in enumerate(tars, 1):
        people = [one for one in _people(tar, choice)]
        kept = people[:: choice.stride]
        for start in range(0, len(kept), adapter.ROWS):
            part = kept[start : start + adapter.ROWS]
            yield _batch(tar, part, choice, dataset, (number - 1 + (start + len(part)) / len(kept)) / len(tars))


def _people(tar: Path, choice: Choice) -> Iterator[tuple[int, str, int, dict[str, Any]]]:
    row = 0
    with tar.open("rb") as file:  # tarfile accepts a cut between two members as the end of the archive
        file.seek(-min(1024, tar.stat().st_size), 2)
        if file.read() != bytes(1024):
            raise SourceError(f"{tar}: the end of the tar is missing. Fetch it again.")
    try:
        with tarfile.open(tar) as archive:
            for member in archive:
                if not member.name.endswith(SUFFIX) or not member.isfile():
                    continue
                content = archive.extractfile(member)
                where = f"{tar}: {member.name}"
                found = load_plain(content.read() if content else b"", where)
                if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
                    raise adapter.unexpected(
                        where, "data.pyd", type(found).__name__, "a list of people", "Give a shard of 4D-Humans."
                    )
                for person, one in enumerate(found):
                    adapter.check_keys(where, one, NEEDED, KNOWN, choice.ignore)
                    yield row, member.name.removesuffix(SUFFIX) + ".jpg", person, one
                    row += 1
    except (tarfile.TarError, OSError) as error:
        raise SourceError(f"{tar}: not a whole tar ({error}). Fetch it again.") from error


def _batch(tar: Path, part: list, choice: Choice, dataset: str, share: float) -> Batch:
    numbers, paths, people, found = (list(values) for values in zip(*part))
    adapter.check_paths(tar, "name", paths)
    count = len(part)

    def stacked(key: str, *shape: int) -> Any:
        blank = np.zeros(shape)
        arrays = [adapter.shaped(f"{tar}: {name}", key, one.get(key, blank), shape) for name, one in zip(paths, found)]
        return np.stack(arrays)

    points, space = stacked("keypoints_2d", 44, 3), stacked("keypoints_3d", 44, 4)
    scale = np.array([np.broadcast_to(np.asarray(one["scale"], np.float32).ravel(), (2,)) for one in found])
    boxes, details = adapter.box_of_scale(stacked("center", 2), scale)
    body: Columns = {}
    if any("body_pose" in one for one in found):
        pose = np.stack([np.ravel(one.get("body_pose", np.zeros(72))) for one in found])
        parts = {
            "body_pose": pose, "betas": np.stack([np.ravel(one.get("betas", np.zeros(10))) for one in found]),
            "has_body_pose": np.array(["body_pose" in one and np.any(one["body_pose"]) for one in found]),
            "has_betas": np.array(["betas" in one for one in found]),
        }  # fmt: skip
        body = body_of(tar, parts, count)
    columns: Columns = {
        "sample_id": adapter.sample_ids(dataset, choice.split, [f"{tar.stem}/{one}" for one in paths], people),
        "dataset": dataset, "split": choice.split, "sequence": tar.stem, "person_id": list(map(str, people)),
        "image_path": paths, "bbox_xywh": boxes, "bbox_source": "gt", "kp2d": points[..., :2],
        "kp2d_conf": points[..., 2].clip(0, 1), "kp2d_names": ",".join(HMR2_44), **space_of(space), **body,
        "source_row": np.array(numbers),
    }  # fmt: skip
    keys = {**KEYS, "kp2d": "keypoints_2d", "kp3d": "keypoints_3d"}
    return Batch(columns, str(tar), keys, [details], {}, share)
