"""MPI-INF-3DHP: training sequences (`S*/Seq*/annot.mat`) and test sequences (`TS*/annot_data.mat`).

Training: cells of 14 cameras with (F, 56) px and (F, 84) mm of 28 joints in that camera's frame; of the cameras, the
eight at chest height are read. Test: HDF5 with (F, 1, 17, ...) after h5py's reversal, of which valid frames are
evaluated. `annot3` has the true size, `univ_annot3` has all people at one height; the test protocol uses the latter.

Source: vcai.mpi-inf.mpg.de/3dhp-dataset; SPIN and margipose as readers of it.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from storage.sources import SourceError, adapter
from storage.sources.adapter import Array, Choice
from storage.sources.hdf5 import open_hdf5
from storage.sources.joint_sets import MPI_INF_3DHP_17, MPI_INF_3DHP_28
from storage.sources.record import Batch, Columns

CAMERAS = (0, 1, 2, 4, 5, 6, 7, 8)
ACTIVITIES = ("stand or walk", "exercise", "sit", "reach or crouch", "on the floor", "sports", "miscellaneous")
SIZE = (2048, 2048)


def read(path: Path, choice: Choice, dataset: str = "mpi_inf_3dhp") -> Iterator[Batch]:
    """The folder of either set, or one annot.mat or annot_data.mat; every `choice.stride`-th frame.

    Raises SourceError if a file is missing, broken or of another layout.
    """
    found = adapter.found_file(path, "the folder of MPI-INF-3DHP")
    files = [found] if found.is_file() else sorted([*found.rglob("annot.mat"), *found.rglob("annot_data.mat")])
    if not files:
        raise SourceError(f"{path}: holds no annot.mat and no annot_data.mat. Give the folder with S1 or TS1 in it.")
    for number, file in enumerate(files):
        reader = _test if file.name == "annot_data.mat" else _train
        for share, columns, keys, details in reader(file, choice, dataset):
            yield Batch(columns, str(file), keys, details, {}, (number + share) / len(files))


def calibration(path: Path) -> dict[int, tuple[Array, Array]]:
    """Intrinsics (3, 3) px and world to camera (4, 4) m of each camera of a `camera.calibration`.

    Raises SourceError if the file cannot be read or has no camera.
    """
    try:
        lines = path.read_text().splitlines()
    except OSError as error:
        raise SourceError(f"{path}: cannot be read ({error.strerror}). It belongs beside annot.mat.") from error
    cameras, name, matrix = {}, None, None
    for line in lines:
        words = line.split()
        if words[:1] == ["name"] and len(words) == 2:
            name, matrix = int(words[1]), None
        elif words[:1] == ["intrinsic"]:
            matrix = adapter.shaped(path, "intrinsic", words[1:], (16,)).reshape(4, 4)[:3, :3]
        elif words[:1] == ["extrinsic"] and name is not None and matrix is not None:
            world = adapter.shaped(path, "extrinsic", words[1:], (16,)).reshape(4, 4).copy()
            world[:3, 3] /= 1000
            cameras[name] = (matrix, world)
    if not cameras:
        raise adapter.unexpected(path, "intrinsic", "no camera", "lines of intrinsic and extrinsic", "Fetch it again.")
    return cameras


def _train(file: Path, choice: Choice, dataset: str) -> Iterator[tuple]:
    from scipy.io import loadmat

    try:
        held = loadmat(file)
    except Exception as error:  # a broken file may fail in any way
        raise SourceError(
            f"{file}: not a whole .mat file ({type(error).__name__}: {error}). Fetch it again."
        ) from error
    held = {key: value for key, value in held.items() if not key.startswith("__")}
    adapter.check_keys(file, held, ("annot2", "annot3"), ("univ_annot3", "cameras", "frames"), choice.ignore)
    cameras = calibration(file.parent / "camera.calibration")
    sequence = "/".join(file.parts[-3:-1])
    flat, space = held["annot2"].ravel(), held["annot3"].ravel()
    known = [k for k in CAMERAS if k < len(flat)]
    for place, camera in enumerate(known, 1):
        points = adapter.shaped(file, f"annot2[{camera}]", flat[camera], (None, 56)).reshape(-1, 28, 2)
        joints = adapter.shaped(file, f"annot3[{camera}]", space[camera], (len(points), 84)).reshape(-1, 28, 3)
        frames = np.arange(len(points))[:: choice.stride]
        points, joints = points[frames], joints[frames] / np.float32(1000)
        matrix, world = cameras[camera]
        folder = _folder(file.parent, camera)
        paths = [folder.format(frame + 1) for frame in frames]
        paths = [f"{sequence}/{one}" for one in paths]
        columns = _columns(dataset, choice, sequence, paths, points, joints, MPI_INF_3DHP_28, frames)
        columns |= {
            "camera_id": str(camera), "subject_id": file.parts[-3] if len(file.parts) > 2 else "",
            "K": np.repeat(matrix[None], len(frames), 0), "T_cam_world": np.repeat(world[None], len(frames), 0),
            "image_wh": np.tile(np.array(SIZE, np.float32), (len(frames), 1)), "kp3d_scale": "true",
        }  # fmt: skip
        yield place / len(known), columns, {"kp2d": "annot2", "kp3d": "annot3", "K": "intrinsic"}, ["annot3: mm to m"]


def _folder(sequence: Path, camera: int) -> str:
    """Paths of a camera's frames, as a pattern of the number: the layouts of three extractors."""
    for pattern in (
        "imageFrames/video_{}/frame_{{:06d}}.jpg",
        "imageFrames/video_{}/{{:06d}}.jpg",
        "video_{}/{{:06d}}.jpg",
    ):
        if (sequence / pattern.format(camera).format(1)).exists():
            return pattern.format(camera)
    return f"imageFrames/video_{camera}/frame_{{:06d}}.jpg"


def _test(file: Path, choice: Choice, dataset: str) -> Iterator[tuple]:
    with open_hdf5(file) as held:
        adapter.check_keys(
            file, held, ("annot2", "annot3", "univ_annot3", "valid_frame"), ("activity_annotation", "bb_crop",
            "#refs#"),
            choice.ignore,
        )  # fmt: skip
        valid = np.asarray(held["valid_frame"]).ravel() > 0
        count = len(valid)
        flat = adapter.shaped(file, "annot2", held["annot2"], (count, 1, 17, 2))[:, 0]
        space = adapter.shaped(file, "univ_annot3", held["univ_annot3"], (count, 1, 17, 3))[:, 0]
        done = np.asarray(held["activity_annotation"]).ravel().astype(int) if "activity_annotation" in held else None
    frames = np.arange(count)[:: choice.stride]
    sequence = file.parent.name
    paths = [f"{sequence}/imageSequence/img_{frame + 1:06d}.jpg" for frame in frames]
    joints = space[frames] / np.float32(1000)
    columns = _columns(dataset, choice, sequence, paths, flat[frames], joints, MPI_INF_3DHP_17, frames)
    columns |= {"kp3d_scale": "universal", "valid_eval": valid[frames], "valid_reason": "valid_frame"}
    if done is not None:
        columns["activity"] = [ACTIVITIES[k - 1] if 1 <= k <= 7 else "" for k in done[frames]]
    yield 1.0, columns, {"kp2d": "annot2", "kp3d": "univ_annot3"}, ["univ_annot3: mm to m"]


def _columns(
    dataset: str,
    choice: Choice,
    sequence: str,
    paths: list[str],
    flat: Array,
    space: Array,
    names: tuple,
    frames: Array,
) -> Columns:
    ones = np.ones(flat.shape[:2], np.float32)
    stem = re.sub(r"\W+", "_", sequence)
    return {
        "sample_id": adapter.sample_ids(dataset, choice.split, paths, [0] * len(paths)), "dataset": dataset,
        "split": choice.split, "sequence": stem, "person_id": "0", "frame_index": frames, "image_number": frames + 1,
        "image_path": paths, "bbox_xywh": adapter.box_of_points(flat, ones), "bbox_source": "kp2d", "kp2d": flat,
        "kp2d_conf": ones, "kp2d_names": ",".join(names), "kp3d": space, "kp3d_valid": ones > 0,
        "kp3d_names": ",".join(names), "kp3d_root": "", "kp3d_regressor": "mocap", "source_row": frames,
    }  # fmt: skip
