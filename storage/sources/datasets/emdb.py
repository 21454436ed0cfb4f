"""EMDB: `P*/<sequence>/<P>_<sequence>_data.pkl`, one person through a moving camera, SMPL of a gender in the world.

A frame counts where `good_frames_mask` says so. Sequences of EMDB 1, on which estimators are compared, have the split
"emdb1", others "emdb2". Root and translation go to the camera's frame, which takes the rest pelvis of the gendered body
(`--bodies`).

Source: eth-ait/emdb, dataset.md.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from storage.sources import adapter
from storage.sources.adapter import Choice
from storage.sources.joint_sets import SMPL_24
from storage.sources.plain_pickle import read_pickle
from storage.sources.record import Batch, Columns

NEEDED = ("gender", "name", "good_frames_mask", "camera", "smpl", "kp2d", "bboxes")
KNOWN = ("emdb1", "emdb2", "n_frames")


def read(path: Path, choice: Choice, dataset: str = "emdb") -> Iterator[Batch]:
    """One sequence's pickle, a participant's folder or all; every `choice.stride`-th frame.

    Raises SourceError if a file is missing, broken or of another layout.
    """
    files = adapter.found_files(path, "_data.pkl", "EMDB's folder, or a sequence's _data.pkl")
    for number, file in enumerate(files, 1):
        yield _batch(file, choice, dataset, number / len(files))


def _batch(file: Path, choice: Choice, dataset: str, share: float) -> Batch:
    held = read_pickle(file)
    if not isinstance(held, dict):
        raise adapter.unexpected(file, "pickle", type(held).__name__, "a dictionary", "Give a sequence of EMDB.")
    adapter.check_keys(file, held, NEEDED, KNOWN, choice.ignore)
    for key, needed, known in (
        ("camera", ("intrinsics", "extrinsics"), ("width", "height")),
        ("smpl", ("poses_root", "poses_body", "trans", "betas"), ()),
        ("bboxes", ("bboxes",), ("invalid_idxs",)),
    ):
        adapter.check_keys(f"{file}: {key}", held[key], needed, known, choice.ignore)
    camera, body = held["camera"], held["smpl"]
    world = adapter.shaped(file, "extrinsics", camera["extrinsics"], (None, 4, 4), kind=np.float64)
    count = len(world)
    gender = adapter.genders([held["gender"]])[0]
    betas = np.repeat(adapter.shaped(file, "betas", np.ravel(body["betas"])[None, :10], (1, 10)), count, 0)
    rest = adapter.rest_pelvis(choice, "smpl", [gender] * count, betas)
    orient, transl = adapter.to_camera(
        adapter.shaped(file, "poses_root", body["poses_root"], (count, 3)),
        adapter.shaped(file, "trans", body["trans"], (count, 3)), world, rest,
    )  # fmt: skip
    box = adapter.shaped(file, "bboxes", held["bboxes"]["bboxes"], (count, 4)).copy()
    box[:, 2:] -= box[:, :2]
    box = adapter.where((box[:, 2:] > 0).all(1), box)
    good = np.ravel(held["good_frames_mask"]).astype(bool)
    rows = np.arange(count)[:: choice.stride]
    subject, _, sequence = str(held["name"]).partition("_")
    paths = [f"{subject}/{sequence}/images/{row:05d}.jpg" for row in rows]
    split = "emdb1" if held.get("emdb1") else "emdb2" if held.get("emdb2") else choice.split
    matrix = adapter.shaped(file, "intrinsics", camera["intrinsics"], (3, 3))
    columns: Columns = {
        "sample_id": adapter.sample_ids(dataset, split, paths, [0] * len(rows)), "dataset": dataset, "split": split,
        "sequence": f"{subject}/{sequence}", "subject_id": subject, "person_id": ["0"] * len(rows), "frame_index": rows,
        "image_path": paths, "bbox_xywh": box[rows], "bbox_source": "gt",
        "K": np.repeat(matrix[None], len(rows), 0), "T_cam_world": world[rows].astype(np.float32),
        "model_type": "smpl", "gender": gender, "betas": betas[rows], "global_orient": orient[rows],
        "body_pose": adapter.shaped(file, "poses_body", body["poses_body"], (count, 69))[rows].reshape(-1, 23, 3),
        "transl": transl[rows], "kp2d": adapter.shaped(file, "kp2d", held["kp2d"], (count, 24, 2))[rows],
        "kp2d_conf": np.ones((len(rows), 24), np.float32), "kp2d_names": ",".join(SMPL_24),
        "valid_eval": good[rows], "valid_reason": "good_frames_mask", "source_row": rows,
    }  # fmt: skip
    if {"width", "height"} <= camera.keys():
        size = np.array([camera["width"], camera["height"]], np.float32)
        columns["image_wh"] = np.repeat(size[None], len(rows), 0)
    details = ["world to camera"] + ([adapter.NO_PELVIS] if rest is None else [])
    keys = {"T_cam_world": "extrinsics", "global_orient": "poses_root", "body_pose": "poses_body", "transl": "trans",
            "bbox_xywh": "bboxes", "K": "intrinsics"}  # fmt: skip
    return Batch(columns, str(file), keys, details, {}, share)
