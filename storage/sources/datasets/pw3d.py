"""3DPW: `sequenceFiles/<split>/<sequence>.pkl`, Python-2 pickles with SMPL of each gender in the world.

A frame counts where `campose_valid` says that the camera is known. Root and translation go to the camera's frame, which
takes the rest pelvis of the gendered body (`--bodies`), or `jointPositions` where the file has them.

Source: virtualhumans.mpi-inf.mpg.de/3DPW; SPIN and 3dpw-eval as readers of it.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from storage.sources import adapter
from storage.sources.adapter import Array, Choice
from storage.sources.joint_sets import PW3D_18
from storage.sources.plain_pickle import read_pickle
from storage.sources.record import Batch, Columns

NEEDED = ("poses", "betas", "trans", "genders", "poses2d", "campose_valid", "cam_poses", "cam_intrinsics", "sequence")
KNOWN = (
    "img_frame_ids", "jointPositions", "betas_clothed", "poses_60Hz", "trans_60Hz", "v_template_clothed",
    "texture_maps",
)  # fmt: skip
SPLITS = {"train": "train", "validation": "val", "val": "val", "test": "test"}


def read(path: Path, choice: Choice, dataset: str = "3dpw") -> Iterator[Batch]:
    """One sequence, the folder of a split, or `sequenceFiles` with all; every `choice.stride`-th frame.

    Raises SourceError if a file is missing, broken or of another layout.
    """
    files = adapter.found_files(path, ".pkl", "3DPW's folder sequenceFiles")
    for number, file in enumerate(files, 1):
        yield _batch(file, choice, dataset, number / len(files))


def _batch(file: Path, choice: Choice, dataset: str, share: float) -> Batch:
    held = read_pickle(file)
    if not isinstance(held, dict):
        raise adapter.unexpected(file, "pickle", type(held).__name__, "a dictionary", "Give a sequence of 3DPW.")
    adapter.check_keys(file, held, NEEDED, KNOWN, choice.ignore)
    split = SPLITS.get(file.parent.name, choice.split)
    frames = adapter.shaped(file, "cam_poses", held["cam_poses"], (None, 4, 4), kind=np.float64)
    count = len(frames)
    matrix = adapter.shaped(file, "cam_intrinsics", held["cam_intrinsics"], (3, 3))
    sequence = str(np.ravel(held["sequence"])[0])
    parts = [_person(file, held, person, frames, choice) for person in range(len(held["poses"]))]
    rows = np.arange(count)[:: choice.stride]
    numbers = np.tile(rows, len(parts))
    people = np.repeat(np.arange(len(parts)), len(rows))
    images = np.ravel(held["img_frame_ids"]).astype(int)[numbers] if "img_frame_ids" in held else numbers
    paths = [f"{sequence}/image_{image:05d}.jpg" for image in images]
    columns: Columns = {
        name: np.concatenate([part[name][rows] for part in parts]) for name in parts[0] if name != "gender"
    }
    columns |= {
        "sample_id": adapter.sample_ids(dataset, split, paths, people.tolist()), "dataset": dataset, "split": split,
        "sequence": sequence, "person_id": list(map(str, people.tolist())), "frame_index": numbers,
        "image_number": images, "image_path": paths,
        "K": np.repeat(matrix[None], len(numbers), 0), "T_cam_world": frames[numbers].astype(np.float32),
        "model_type": "smpl", "gender": [parts[person]["gender"] for person in people], "bbox_source": "kp2d",
        "kp2d_names": ",".join(PW3D_18), "valid_reason": "campose_valid", "source_row": numbers,
    }  # fmt: skip
    details = ["world to camera"]
    if np.isnan(columns["transl"]).all():
        details.append(adapter.NO_PELVIS)
    keys = {"kp2d": "poses2d", "global_orient": "poses", "body_pose": "poses", "transl": "trans", "K": "cam_intrinsics",
            "T_cam_world": "cam_poses"}  # fmt: skip
    return Batch(columns, str(file), keys, details, {}, share)


def _person(file: Path, held: dict[str, Any], person: int, world: Array, choice: Choice) -> dict[str, Any]:
    count = len(world)
    pose = adapter.shaped(file, "poses", held["poses"][person], (count, 72))
    betas = np.ravel(adapter.shaped(file, "betas", np.atleast_2d(held["betas"][person]), (None, None))[0])[:10]
    shift = adapter.shaped(file, "trans", held["trans"][person], (count, 3))
    points = adapter.shaped(file, "poses2d", held["poses2d"][person], (count, 3, 18)).swapaxes(1, 2)
    gender = (adapter.genders(held["genders"][person]) or [""])[0]
    shapes = np.repeat(betas[None], count, 0)
    rest = adapter.rest_pelvis(choice, "smpl", [gender] * count, shapes)
    if rest is None and "jointPositions" in held:
        joints = adapter.shaped(file, "jointPositions", held["jointPositions"][person], (count, 72), (count, 24, 3))
        rest = joints.reshape(count, 24, 3)[:, 0].astype(np.float64) - shift
    orient, transl = adapter.to_camera(pose[:, :3], shift, world, rest)
    seen = points[..., 2].clip(0, 1)
    return {
        "global_orient": orient, "body_pose": pose[:, 3:].reshape(count, 23, 3), "betas": shapes, "transl": transl,
        "kp2d": points[..., :2], "kp2d_conf": seen, "bbox_xywh": adapter.box_of_points(points, seen),
        "valid_eval": np.ravel(held["campose_valid"][person]) > 0, "gender": gender,
    }  # fmt: skip
