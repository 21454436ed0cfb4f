"""GTA-Human II: `annotations/seq_xxxxxxxx/<person>.npz` of neutral SMPL-X in the camera frame, 100 bones of the game.

One camera: 1920 x 1080, vertical field of view 50 degrees. Hands come as 24 PCA components about the flat hand, which
the user's MANO turns into fingers. Files without parameters, and frames that are not finite, are left out and counted.

Source: caizhongang/gta-human_toolbox, gta-human_v2/README.md.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from storage.sources import adapter
from storage.sources.adapter import Array, Choice
from storage.sources.joint_sets import GTA_100
from storage.sources.npz_file import NpzFile
from storage.sources.record import Batch, Columns

SIZE, FOCAL = (1920, 1080), 540 / np.tan(np.radians(25))
NEEDED = ("keypoints_2d", "keypoints_3d", "is_valid_smplx")
KNOWN = (
    "is_male", "ped_action", "fov", "occ", "self_occ", "num_frames", "weather", "daytime", "location_tag", "bbox_xywh",
    "betas", "body_pose", "global_orient", "transl", "left_hand_pose", "right_hand_pose",
)  # fmt: skip


def read(path: Path, choice: Choice, dataset: str = "gta_human2") -> Iterator[Batch]:
    """One person's file, a sequence's folder, or `annotations` with all; every `choice.stride`-th frame.

    Raises SourceError if a file is missing, broken or of another layout.
    """
    files = adapter.found_files(path, ".npz", "GTA-Human II's folder annotations")
    for number, file in enumerate(files, 1):
        yield _batch(file, choice, dataset, number / len(files))


def _batch(file: Path, choice: Choice, dataset: str, share: float) -> Batch:
    archive = NpzFile(file)
    adapter.check_keys(file, archive.names, NEEDED, KNOWN, choice.ignore)
    held = {name: archive.whole(name) for name in archive.names if name not in ("ped_action",)}
    flat = adapter.shaped(file, "keypoints_2d", held["keypoints_2d"], (None, 100, 3))
    count = len(flat)
    space = adapter.shaped(file, "keypoints_3d", held["keypoints_3d"], (count, 100, 4))
    valid = bool(np.all(held["is_valid_smplx"])) and "betas" in held
    columns: Columns = {
        "kp2d": flat[..., :2], "kp2d_conf": flat[..., 2].clip(0, 1), "kp3d": space[..., :3],
        "kp3d_valid": space[..., 3] > 0,
    }  # fmt: skip
    details: list[str] = []
    if valid:
        columns |= _body(file, held, count, choice, details)
    if "bbox_xywh" in held:
        columns["bbox_xywh"] = adapter.shaped(file, "bbox_xywh", held["bbox_xywh"], (count, 4), (count, 5))[:, :4]
    finite = np.ones(count, bool)
    for name in ("kp2d", "global_orient", "body_pose", "betas", "transl"):
        if name in columns:
            finite &= np.isfinite(columns[name].reshape(count, -1)).all(1)
    frames = np.arange(count)[:: choice.stride]
    skipped = Counter({"not finite": int((~finite[frames]).sum())} if not finite[frames].all() else {})
    frames = frames[finite[frames]]
    columns = {name: values[frames] for name, values in columns.items()}
    sequence, rows = file.parent.name, len(frames)
    paths = [f"{sequence}/{frame:08d}.jpeg" for frame in frames]
    columns |= {
        "sample_id": adapter.sample_ids(dataset, choice.split, paths, [file.stem] * rows), "dataset": dataset,
        "split": choice.split, "sequence": sequence, "person_id": file.stem, "frame_index": frames, "image_path": paths,
        "image_wh": np.tile(np.array(SIZE, np.float32), (rows, 1)), "bbox_source": "gt",
        "K": np.repeat(adapter.camera_matrix(FOCAL, FOCAL, SIZE[0] / 2, SIZE[1] / 2), rows, 0),
        "kp2d_names": ",".join(GTA_100), "kp3d_names": ",".join(GTA_100), "kp3d_root": "",
        "kp3d_regressor": "bones of the game", "kp3d_scale": "true", "valid_eval": np.full(rows, valid),
        "valid_reason": "is_valid_smplx", "source_row": frames,
    }  # fmt: skip
    keys = {"kp2d": "keypoints_2d", "kp3d": "keypoints_3d"}
    return Batch(columns, str(file), keys, details, dict(skipped), share)


def _body(file: Path, held: dict[str, Array], count: int, choice: Choice, details: list[str]) -> Columns:
    pose = adapter.shaped(
        file, "body_pose", held["body_pose"], (count, 63), (count, 69), (count, 21, 3), (count, 23, 3)
    )
    betas = adapter.shaped(file, "betas", np.atleast_2d(held["betas"]), (count, 10), (1, 10))
    orient = adapter.shaped(file, "global_orient", held["global_orient"], (count, 3), (count, 1, 3))
    columns: Columns = {
        "model_type": np.full(count, "smplx", object), "gender": np.full(count, "neutral", object),
        "betas": np.broadcast_to(betas, (count, 10)),
        "global_orient": orient.reshape(count, 3),
        "body_pose": pose.reshape(count, -1)[:, :63].reshape(count, 21, 3),
        "transl": adapter.shaped(file, "transl", held["transl"], (count, 3)),
    }  # fmt: skip
    for side in ("left", "right"):
        key = f"{side}_hand_pose"
        if key in held:
            hand = adapter.from_hand_pca(file, key, np.asarray(held[key], np.float32), choice, side)
            if hand is None:
                details.append(f"{key}: left out, its components take MANO")
            else:
                columns[f"{side}_hand"] = hand
    return columns
