"""UP-3D: flat folder of pictures with SMPL fits of the neutral body, and 14 points.

`<n>_body.pkl` is posed before a camera of the cropped and rescaled picture: focal length 5000, `t` its translation;
`<n>_fit_crop_info.txt` (H W vmin vmax umin umax) says what was cut, so that the camera of the whole picture follows.

Source: files.is.tue.mpg.de/classner/up; MMHuman3D's converter.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from storage.sources import SourceError, adapter
from storage.sources.adapter import Array, Choice
from storage.sources.joint_sets import LSP_14
from storage.sources.plain_pickle import read_pickle
from storage.sources.record import Batch, Columns

FOCAL = 5000.0
NEEDED = ("pose", "betas", "t")
KNOWN = ("f", "j2d", "trans", "rt", "c", "gt", "has_gt")


def read(path: Path, choice: Choice, dataset: str = "up3d") -> Iterator[Batch]:
    """The folder; with a split of train, val, trainval or test, the pictures that its list names.

    Raises SourceError if a file is missing, broken or of another layout.
    """
    found = adapter.found_file(path, "UP-3D's folder")
    listed = found / f"{choice.split}.txt"
    if choice.split and listed.exists():
        stems = [Path(line.strip()).name[:5] for line in listed.read_text().splitlines() if line.strip()]
    else:
        stems = sorted(file.name[:5] for file in found.glob("*_body.pkl"))
    if not stems:
        raise SourceError(f"{path}: holds no <number>_body.pkl. Give UP-3D's folder up-3d.")
    skipped = Counter[str]()
    for start in range(0, len(stems), adapter.ROWS):
        some = stems[start : start + adapter.ROWS][:: choice.stride]
        parts = [_person(found, stem, choice) for stem in some]
        columns: Columns = {name: np.stack([part[name] for part in parts]) for name in parts[0]}
        columns |= {
            "sample_id": [f"{dataset}/{choice.split or 'all'}/{stem}/0" for stem in some], "dataset": dataset,
            "split": choice.split, "person_id": "0", "image_path": [f"{stem}_image.png" for stem in some],
            "bbox_xywh": adapter.box_of_points(columns["kp2d"], columns["kp2d_conf"]), "bbox_source": "kp2d",
            "kp2d_names": ",".join(LSP_14), "model_type": "smpl", "gender": "neutral",
            "valid_reason": "quality", "source_row": np.array([int(stem) for stem in some]),
        }  # fmt: skip
        keys = {"kp2d": "joints.npy", "global_orient": "pose", "body_pose": "pose", "transl": "t", "K": "fit_crop_info"}
        details = ["joints.npy: transposed", "camera of the crop to camera of the picture"]
        yield Batch(columns, str(found), keys, details, dict(skipped), (start + len(some)) / len(stems))


def crop_camera(file: Path) -> Array:
    """(3, 3) camera, px, of the whole picture, with the crop and scale of the fit undone.

    Raises SourceError if the file cannot be read or does not have six numbers.
    """
    try:
        values = np.array(file.read_text().split(), np.float64)
    except (OSError, ValueError) as error:
        raise SourceError(
            f"{file}: six numbers are needed (H W vmin vmax umin umax): {error}. Fetch it again."
        ) from error
    if values.shape != (6,):
        raise adapter.unexpected(file, "crop", f"{len(values)} numbers", "H W vmin vmax umin umax", "Fetch it again.")
    height, width, v_min, v_max, u_min, u_max = values
    fx, fy = FOCAL * (u_max - u_min) / width, FOCAL * (v_max - v_min) / height
    return adapter.camera_matrix(fx, fy, (u_min + u_max) / 2, (v_min + v_max) / 2)[0]


def _person(folder: Path, stem: str, choice: Choice) -> dict[str, Array]:
    file = folder / f"{stem}_body.pkl"
    held = read_pickle(file)
    if not isinstance(held, dict):
        raise adapter.unexpected(file, "pickle", type(held).__name__, "a dictionary", "Give a fit of UP-3D.")
    adapter.check_keys(file, held, NEEDED, KNOWN, choice.ignore)
    pose = adapter.shaped(file, "pose", np.ravel(held["pose"]), (72,))
    try:
        points = np.load(folder / f"{stem}_joints.npy", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise SourceError(f"{folder / f'{stem}_joints.npy'}: cannot be read ({error}). Fetch it again.") from error
    points = adapter.shaped(folder / f"{stem}_joints.npy", "joints", points, (3, 14)).T
    grade = folder / f"{stem}_quality_info.txt"
    good = not grade.exists() or "low" not in grade.read_text().lower()
    return {
        "global_orient": pose[:3], "body_pose": pose[3:].reshape(23, 3),
        "betas": adapter.shaped(file, "betas", np.ravel(held["betas"]), (10,)),
        "transl": adapter.shaped(file, "t", np.ravel(held["t"]), (3,)),
        "K": crop_camera(folder / f"{stem}_fit_crop_info.txt"), "kp2d": points[:, :2],
        "kp2d_conf": (points[:, 2] > 0).astype(np.float32), "valid_eval": np.array(good),
        "quality": np.array(good, np.float32),
    }  # fmt: skip
