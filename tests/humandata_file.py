"""Writes small HumanData files in the layout that GTA-Human II and DNA-Rendering are distributed in.

write_humandata(tmp_path / "rows.npz", make_rows(rng, 5))
write_humandata(tmp_path / "rows.npz", make_rows(rng, 5), meta=None, bbox_xywh=None)    # without these
"""

from pathlib import Path
from typing import Any

import numpy as np


def make_rows(rng: np.random.Generator, count: int) -> dict[str, Any]:
    """Top-level fields of `count` plausible rows: dictionaries as they are, arrays as float32."""
    return {
        "image_path": np.array([f"images/seq_{k:08d}/{k:08d}.jpeg" for k in range(count)]),
        "bbox_xywh": np.hstack([rng.uniform(10, 90, (count, 4)), np.ones((count, 1))]),
        "smplx": {
            "global_orient": rng.normal(0, 1, (count, 3)).astype(np.float32),
            "body_pose": rng.normal(0, 0.3, (count, 21, 3)).astype(np.float32),
            "betas": rng.normal(0, 1, (count, 10)).astype(np.float32),
            "transl": rng.normal(0, 1, (count, 3)).astype(np.float32),
            "left_hand_pose": np.zeros((count, 15, 3), np.float32),
        },
        "meta": {
            "focal_length": [(np.float64(1000 + k), np.float64(1100 + k)) for k in range(count)],
            "principal_point": [(np.float64(960), np.float64(540))] * count,
            "width": [1920] * count,
            "height": [1080] * count,
            "gender": ["male" if k % 2 else "female" for k in range(count)],
        },
        "misc": {"smplx_source": "original"},
        "__data_len__": np.array(count),
        "__keypoints_compressed__": np.array(True),
        "keypoints2d_smplx": np.zeros((count, 4, 3)),
    }


def write_humandata(path: Path, rows: dict[str, Any], **changes: Any) -> Path:
    """The file, as numpy writes it: dictionaries become pickles in arrays without axes. None leaves a field out."""
    fields = {**rows, **changes}
    np.savez(path, **{name: value for name, value in fields.items() if value is not None})
    return path
