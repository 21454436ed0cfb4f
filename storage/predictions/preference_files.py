"""Groups and pairs on which GPA-HMR and ADHMR train: joints in the model's crop, and twists.

A group file (`.npz`) holds `grpo_pair_list`, a dictionary for each person; a pair file (`.json`) a list with a winner
(`w_joints`, `w_twist`) and a loser (`l_joints`, `l_twist`). `trans` (2, 3) maps the picture's pixels to the crop's,
`trans_inv` back. Stored errors are kept as they are; the exporter's `mpjpe` and `pampjpe` are half the millimetres.

Source: the keys that the released loaders of GPA-HMR (lib/dataset) read.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from storage.predictions.predicted import Reals
from storage.sources import adapter
from storage.sources.json_file import read_json
from storage.sources.npz_file import NpzFile

GROUP = ("img_path", "pred_joints_uvd_29", "pred_twist")
PAIR = ("img_path", "l_joints", "l_twist", "w_joints", "w_twist")
ERRORS = ("mpjpe", "pampjpe", "pve")


@dataclass(frozen=True, eq=False)
class Preferences:
    """One person's hypotheses, and scores and errors where the file has them."""

    image: str
    row: int  # of the annotations that belong to the file; -1 = not given
    joints: Reals  # (G, 29, 3) in the crop: u, v, depth about the pelvis, as stored
    twist: Reals  # (G, 23, 2) cosine, sine
    scores: Reals | None  # (G,) of a scorer, higher is better; of a pair 1 and 0
    errors: dict[str, Reals]  # name -> (G,), as stored
    to_crop: Reals | None  # (2, 3)
    to_picture: Reals | None  # (2, 3)


def read_preferences(path: Path) -> list[Preferences]:
    """All groups or pairs of a file; raises SourceError if it is missing, broken or of another layout."""
    if path.suffix == ".json":
        held = read_json(path)
        if not isinstance(held, list):
            raise adapter.unexpected(path, "file", type(held).__name__, "a list of pairs", "Give a file of pairs.")
        return [_pair(f"{path}: pair {k}", one) for k, one in enumerate(held)]
    archive = NpzFile(path)
    adapter.check_keys(path, archive.names, ("grpo_pair_list",), ())
    return [_group(f"{path}: group {k}", one) for k, one in enumerate(np.ravel(archive.whole("grpo_pair_list")))]


def _pair(where: str, held: Any) -> Preferences:
    adapter.check_keys(where, held, PAIR, ("img_idx", "trans", "trans_inv"))
    joints = [adapter.shaped(where, f"{side}_joints", held[f"{side}_joints"], (29, 3)) for side in ("w", "l")]
    twist = [adapter.shaped(where, f"{side}_twist", held[f"{side}_twist"], (23, 2)) for side in ("w", "l")]
    return _made(where, held, np.stack(joints), np.stack(twist), np.array([1.0, 0.0]), {})


def _group(where: str, held: Any) -> Preferences:
    known = (
        "img_idx", "pred_joints", "trans", "trans_inv", "theta", "multi_n", "score", "score_raw", "betas", "beta",
        "gt_joints", "gt_twist", "gt_joints_uvd_29", "gt_theta", "gt_beta", *ERRORS,
    )  # fmt: skip
    adapter.check_keys(where, held, GROUP, known)
    joints = adapter.shaped(where, "pred_joints_uvd_29", held["pred_joints_uvd_29"], (None, 29, 3))
    twist = adapter.shaped(where, "pred_twist", held["pred_twist"], (len(joints), 23, 2))
    errors = {name: adapter.shaped(where, name, held[name], (len(joints),)) for name in ERRORS if name in held}
    score = np.ravel(held["score"]).astype(np.float64) if "score" in held else np.zeros(0)
    return _made(where, held, joints, twist, score if len(score) == len(joints) else None, errors)


def _made(where: str, held: Any, joints: Reals, twist: Reals, scores: Reals | None, errors: dict) -> Preferences:
    off = np.abs(np.linalg.norm(twist, axis=-1) - 1)
    if np.median(off) > 0.1:
        raise adapter.unexpected(
            where, "twist", f"pairs of length {np.median(np.linalg.norm(twist, axis=-1)):.3g}",
            "cosine and sine: length 1",
            "Divide by the data scale (50) that was put on them.",
        )  # fmt: skip
    turns = [adapter.shaped(where, key, held[key], (2, 3)) if key in held else None for key in ("trans", "trans_inv")]
    return Preferences(
        str(held["img_path"]), int(held.get("img_idx", -1)), joints, twist, scores, errors, turns[0], turns[1]
    )
