"""Motions without pictures: AMASS (SMPL+H, SMPL-X), BEDLAM's motions, MoSh pickles. A source of poses.

`poses` are 72 (SMPL), 156 (SMPL+H: root, 21 joints, hands) or 165 numbers (SMPL-X: face before hands) a frame, in a
world whose z points up. There is no camera, so root and translation are left out of the record.

Source: nghorbani/amass; PerceivingSystems/bedlam_render, blender/smplx_anim_to_alembic.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from storage.sources import SourceError, adapter
from storage.sources.adapter import Choice
from storage.sources.npz_file import NpzFile
from storage.sources.plain_pickle import read_pickle
from storage.sources.record import Batch, Columns

POSES = ("poses", "new_poses", "pose")
KNOWN = (
    *POSES, "betas", "gender", "trans", "dmpls", "mocap_framerate", "mocap_frame_rate", "mocap_time_length",
    "motion_info", "global_ori", "surface_model_type", "markers_latent", "latent_labels", "markers_latent_vids",
    "root_orient", "pose_body", "pose_hand", "pose_jaw", "pose_eye", "num_betas", "marker_data", "marker_labels",
    "cam_ids",
)  # fmt: skip


def read(path: Path, choice: Choice, dataset: str = "amass") -> Iterator[Batch]:
    """One file, or all `.npz` and `.pkl` files below a folder; every `choice.stride`-th frame.

    Raises SourceError if a file is missing, broken or of another layout.
    """
    found = adapter.found_file(path, "an .npz or .pkl file of motion", "a folder of them")
    files = [found]
    if found.is_dir():
        files = sorted([*found.rglob("*.npz"), *found.rglob("*.pkl")])
        files = [one for one in files if one.name not in ("shape.npz", "neutral_stagei.npz")]
    if not files:
        raise SourceError(f"{path}: holds no .npz or .pkl file. Give AMASS motions.")
    for number, file in enumerate(files, 1):
        name = str(file.relative_to(found).with_suffix("")) if found.is_dir() else file.stem
        yield _batch(file, name, choice, dataset, number / len(files))


def _batch(file: Path, name: str, choice: Choice, dataset: str, share: float) -> Batch:
    held = _held(file)
    adapter.check_keys(file, held, ("betas",), KNOWN, choice.ignore)
    key = next((one for one in POSES if one in held), None)
    if key is None:
        raise adapter.unexpected(file, "poses", "no such key", "'poses'", "Give a file of motion, not of a shape.")
    pose = adapter.shaped(file, key, held[key], (None, 72), (None, 156), (None, 165))[:: choice.stride]
    count, width = pose.shape
    if width == 72:
        columns: Columns = {"body_pose": pose[:, 3:].reshape(count, 23, 3), "model_type": "smpl"}
    else:
        hands = pose[:, 66:156] if width == 156 else pose[:, 75:165]
        columns = {
            "body_pose": pose[:, 3:66].reshape(count, 21, 3), "left_hand": hands[:, :45].reshape(count, 15, 3),
            "right_hand": hands[:, 45:].reshape(count, 15, 3), "model_type": "smplh" if width == 156 else "smplx",
        }  # fmt: skip
    betas = np.asarray(held["betas"], np.float32)
    betas = adapter.shaped(file, "betas", betas[None] if betas.ndim == 1 else betas[:1], (1, None))[:, :16]
    frames = np.arange(count) * choice.stride
    columns |= {
        "sample_id": [f"{dataset}/{choice.split or 'all'}/{name}/{frame}/0" for frame in frames.tolist()],
        "dataset": dataset, "split": choice.split, "sequence": name, "frame_index": frames,
        "betas": np.repeat(betas, count, 0), "gender": (adapter.genders(held.get("gender", "")) or [""])[0],
        "source_row": frames,
    }  # fmt: skip
    details = [f"{key}: root and translation left out, the world has no camera"]
    return Batch(columns, str(file), {"body_pose": key}, details, {}, share)


def _held(file: Path) -> dict[str, Any]:
    if file.suffix == ".pkl":
        held = read_pickle(file)
        if not isinstance(held, dict):
            raise adapter.unexpected(file, "pickle", type(held).__name__, "a dictionary", "Give a MoSh file.")
        return held
    archive = NpzFile(file)
    return {name: archive.whole(name) if name in ("betas", "gender", *POSES) else None for name in archive.names}
