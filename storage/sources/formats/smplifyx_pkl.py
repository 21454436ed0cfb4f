"""SMPLify-X's results: a pickle for each person, named after the picture, with SMPL-X about an unknown focal length.

Layout: `results/<picture>/<person>.pkl`; the rotation of the camera is nearly always none, and `camera_translation`
then is the body's. Hands come as PCA components: with the user's own MANO components they become fingers.

Source: vchoutas/smplify-x, smplifyx/fit_single_frame.py.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from storage.sources import adapter
from storage.sources.adapter import Choice
from storage.sources.plain_pickle import read_pickle
from storage.sources.record import Batch, Columns

NEEDED = ("global_orient", "body_pose", "betas", "camera_translation")
KNOWN = (
    "camera_rotation", "left_hand_pose", "right_hand_pose", "jaw_pose", "leye_pose", "reye_pose", "expression",
    "transl", "pose_embedding", "vertices", "joints", "gender", "focal_length", "camera_center", "loss",
)  # fmt: skip
FACE = {"jaw_pose": "jaw", "leye_pose": "left_eye", "reye_pose": "right_eye"}


def result_files(path: Path) -> list[Path]:
    """One file, or all below a folder in order of name; raises SourceError if there is none."""
    return adapter.found_files(path, ".pkl", "a result .pkl", "the folder 'results' of SMPLify-X")


def read_result(file: Path, ignore: frozenset[str] = frozenset()) -> dict[str, Any]:
    """The dictionary of one result; raises SourceError if it is broken, no dictionary or has other keys."""
    held = read_pickle(file)
    if not isinstance(held, dict):
        raise adapter.unexpected(file, "pickle", type(held).__name__, "a dictionary", "Give a result of SMPLify-X.")
    if "result" in held and isinstance(held["result"], dict):
        held = held["result"]
    adapter.check_keys(file, held, NEEDED, KNOWN, ignore)
    return held


def read(path: Path, choice: Choice, dataset: str = "smplify-x") -> Iterator[Batch]:
    """All results below a folder.

    Raises SourceError if a file is missing, broken or of another layout.
    """
    files = result_files(path)
    for start in range(0, len(files), adapter.ROWS):
        some = files[start : start + adapter.ROWS]
        parts = [body_columns(file, read_result(file, choice.ignore), choice) for file in some]
        names = sorted(set().union(*parts))
        columns: Columns = {
            name: np.concatenate([part.get(name, np.full_like(_first(parts, name), np.nan)) for part in parts])
            for name in names
        }
        pictures = [file.parent.name if path.is_dir() else file.stem for file in some]
        columns |= {
            "sample_id": [f"{dataset}/{choice.split or 'all'}/{one}/{f.stem}" for one, f in zip(pictures, some)],
            "dataset": dataset, "split": choice.split, "image_path": [f"{one}.jpg" for one in pictures],
            "person_id": [file.stem for file in some], "model_type": "smplx",
            "source_row": np.arange(start, start + len(some)),
        }  # fmt: skip
        keys = {"transl": "camera_translation"}
        yield Batch(columns, str(path), keys, [], {}, (start + len(some)) / len(files))


def _first(parts: list[Columns], name: str) -> Any:
    return next(part[name] for part in parts if name in part)


def body_columns(file: Path, held: dict[str, Any], choice: Choice) -> Columns:
    """The parameters of one result as columns of one row, camera frame; raises SourceError for other shapes."""
    orient = adapter.shaped(file, "global_orient", held["global_orient"], (1, 3))
    transl = adapter.shaped(file, "camera_translation", held["camera_translation"], (1, 3))
    betas = adapter.shaped(file, "betas", held["betas"], (1, 10), (1, 16))
    if "camera_rotation" in held:
        turn = adapter.shaped(file, "camera_rotation", held["camera_rotation"], (1, 3, 3))
        adapter.axis_angles(file, "camera_rotation", turn)
        if np.abs(turn[0] - np.eye(3)).max() > 1e-5:
            world = np.concatenate([turn, transl[:, :, None]], 2)
            rest = adapter.rest_pelvis(choice, "smplx", adapter.genders(held.get("gender", ["neutral"])), betas)
            orient, transl = adapter.to_camera(orient, np.zeros((1, 3), np.float32), world, rest)
    columns: Columns = {
        "global_orient": orient, "transl": transl, "betas": betas,
        "body_pose": adapter.shaped(file, "body_pose", held["body_pose"], (1, 63)).reshape(1, 21, 3),
    }  # fmt: skip
    for key, name in FACE.items():
        if key in held:
            columns[name] = adapter.shaped(file, key, held[key], (1, 3))
    if "expression" in held:
        columns["expression"] = adapter.shaped(file, "expression", held["expression"], (1, 10))
    for side in ("left", "right"):
        key = f"{side}_hand_pose"
        if key in held:
            hand = adapter.from_hand_pca(file, key, adapter.shaped(file, key, held[key], (1, None)), choice, side)
            if hand is not None:
                columns[f"{side}_hand"] = hand
    return columns
