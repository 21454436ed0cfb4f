"""Records a second from a HumanData file without reading pictures, and whether memory grows with the file."""

import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import psutil

from hmr.body.body import load_body
from hmr.body.rotations import rotation_vectors
from hmr.body.skeleton import JOINT_NAMES
from hmr.studio.studio import SIZE, Look, undrawn
from storage.sources.adapter import Choice
from storage.sources.joint_sets import HUMANDATA_190
from tasks.data.importing import import_people

BODIES = 500  # different ones; the file repeats them

Row = dict[str, Any]


def measure_import(records: int) -> list[Row]:
    """Measurement rows of one import of `records` people, written before: rates by the wall and by the processor,
    and MB that memory grew after a quarter was read.
    """
    process = psutil.Process()
    seen: list[tuple[float, float]] = []
    with TemporaryDirectory() as folder:
        path = write_people(Path(folder) / "people.npz", records)
        busy = time.process_time()
        done = import_people(
            "humandata", path, Path(folder) / "people.parquet", Choice(),
            progress=lambda share: seen.append((share, process.memory_info().rss / 2**20)),
        )  # fmt: skip
        busy = time.process_time() - busy
    early = max(memory for share, memory in seen if share <= max(0.25, seen[0][0]))
    named = {
        "import.records": (done.records, "records"),
        "import.records_per_second": (done.records / done.seconds, "records/s"),
        "import.records_per_cpu_second": (done.records / busy, "records/s"),
        "import.grown_mb": (max(memory for _, memory in seen) - early, "MB after a quarter of the file"),
    }
    return [
        {"metric": metric, "value": value, "unit": unit, "baseline": None, "ratio": None}
        for metric, (value, unit) in named.items()
    ]


def write_people(path: Path, count: int) -> Path:
    """A HumanData file of `count` people with SMPL-X parameters, joints in space and in the picture."""
    import torch

    light = load_body()
    truth = undrawn(light, range(BODIES), [Look(lab=True, poses="easy")])
    rotations, betas, place = map(torch.from_numpy, (truth.rotations, truth.betas, truth.translation))
    joints = light.points(rotations, betas, place).joints.numpy()
    pixels = joints[..., :2] / joints[..., 2:] * truth.camera[:, None, :2] + truth.camera[:, None, 2:]
    shared = [name for name in JOINT_NAMES if name in HUMANDATA_190]
    slots = [HUMANDATA_190.index(name) for name in shared]
    order = np.argsort(slots)
    chosen = [JOINT_NAMES.index(shared[k]) for k in order]
    mask = np.zeros(190, np.uint8)
    mask[slots] = 1
    low, high = pixels.min(1), pixels.max(1)
    turns = rotation_vectors(rotations)

    def rows(values: np.ndarray) -> np.ndarray:
        return np.concatenate([values] * (count // BODIES + 1))[:count]

    def sure(values: np.ndarray) -> np.ndarray:
        return np.concatenate([values, np.ones((*values.shape[:-1], 1))], -1)

    fields = {
        "image_path": np.array([f"clip/{k:07d}.jpg" for k in range(count)]),
        "bbox_xywh": rows(sure(np.concatenate([low, high - low], 1))),
        "keypoints2d_smplx": rows(sure(pixels[:, chosen])),
        "keypoints2d_smplx_mask": mask,
        "keypoints3d_smplx": rows(sure(joints[:, chosen])),
        "keypoints3d_smplx_mask": mask,
        "smplx": {
            "global_orient": rows(turns[:, 0]), "body_pose": rows(turns[:, 1:22]), "betas": rows(truth.betas),
            "transl": rows(truth.translation),
        },
        "meta": {
            "focal_length": rows(truth.camera[:, :2]).tolist(),
            "principal_point": rows(truth.camera[:, 2:]).tolist(),
            "width": [SIZE] * count, "height": [SIZE] * count, "gender": ["neutral"] * count,
        },
        "__keypoints_compressed__": np.array(True),
        "__data_len__": np.array(count),
    }  # fmt: skip
    np.savez(path, **fields)  # type: ignore[arg-type]  # dictionaries become pickles, as in real files
    return path
