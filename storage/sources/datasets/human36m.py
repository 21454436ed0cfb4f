"""Human3.6M in its official layout: `S<n>/MyPoseFeatures/D3_Positions_mono/*.cdf` and `metadata.xml` for the cameras.

The `_mono` files hold 32 joints in millimetres in the camera's frame, `D2_Positions` their pixels; 17 of the joints are
kept. Cameras are in the matrix `w0` of `metadata.xml`: six extrinsics for each camera and subject, then nine
intrinsics for each camera. Clips called `_ALL` are left out.

Source: vision.imar.ro/human3.6m; MMHuman3D's converter and SPIN's.
"""

import re
import xml.etree.ElementTree as xml
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from storage.sources import SourceError, adapter
from storage.sources.adapter import Array, Choice
from storage.sources.joint_sets import H36M_17
from storage.sources.record import Batch, Columns

CAMERAS = adapter.H36M_CAMERAS
SIZES = {"54138969": (1000, 1002), "55011271": (1000, 1000), "58860488": (1000, 1000), "60457274": (1000, 1002)}
KEPT = (11, 6, 7, 8, 1, 2, 3, 12, 24, 14, 15, 17, 18, 19, 25, 26, 27)
"""Of the 32 joints, those of H36M_17."""
INTRINSICS = 264


def read(path: Path, choice: Choice, dataset: str = "human36m") -> Iterator[Batch]:
    """The folder with S1 ... in it (metadata.xml there, or above), or a subject's; every `choice.stride`-th frame.

    Raises SourceError if a file is missing, broken or of another layout.
    """
    found = adapter.found_file(path, "Human3.6M's folder")
    files = [found] if found.is_file() else sorted(found.rglob("D3_Positions_mono/*.cdf"))
    files = [file for file in files if "_ALL" not in file.name]
    if not files or files[0].suffix != ".cdf":
        raise SourceError(
            f"{path}: holds no D3_Positions_mono/*.cdf. Give the folder with the subjects S1, S5, ... in it."
        )
    table = camera_table(_metadata(files[0]))
    for number, file in enumerate(files, 1):
        yield _batch(file, table, choice, dataset, number / len(files))


def _metadata(file: Path) -> Path:
    for folder in file.parents:
        if (folder / "metadata.xml").exists():
            return folder / "metadata.xml"
    raise SourceError(f"{file}: metadata.xml is nowhere above it. It comes with the code of Human3.6M: put it there.")


def camera_table(path: Path) -> Array:
    """The numbers of `w0`: angles in radians, positions in mm, px; raises SourceError if the file lacks them."""
    try:
        node = xml.parse(path).getroot().find("w0")
    except (OSError, xml.ParseError) as error:
        raise SourceError(f"{path}: not readable as XML ({error}). Fetch it again.") from error
    if node is None or not node.text:
        raise adapter.unexpected(path, "w0", "no such element", "a row of numbers", "Give Human3.6M's metadata.xml.")
    return np.array(node.text.strip().strip("[]").split(), np.float64)


def camera_of(table: Array, camera: int, subject: int) -> tuple[Array, Array, Array]:
    """Matrix (3, 3) px, world to camera (4, 4) m, distortion (5,); camera 0-3, subject 1-11."""
    start = 6 * (11 * camera + subject - 1)
    angles, centre = table[start : start + 3], table[start + 3 : start + 6] / 1000
    inner = table[INTRINSICS + 9 * camera : INTRINSICS + 9 * (camera + 1)]
    turn = np.eye(3)
    for axis, angle in enumerate(angles):  # about x, then y, then z
        cos, sin = np.cos(angle), np.sin(angle)
        plane = np.eye(3)
        first, second = [(1, 2), (2, 0), (0, 1)][axis]
        plane[first, first] = plane[second, second] = cos
        plane[first, second], plane[second, first] = -sin, sin
        turn = turn @ plane
    world = np.eye(4)
    world[:3, :3], world[:3, 3] = turn, -turn @ centre
    matrix = adapter.camera_matrix(*inner[:4])[0]
    k1, k2, k3, p1, p2 = inner[4:9]
    return matrix, world.astype(np.float32), np.array([k1, k2, p1, p2, k3], np.float32)


def _poses(file: Path, width: int) -> Array:
    try:
        import cdflib  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise SourceError(f"{file}: CDF files need cdflib. Install it: pip install cdflib") from error
    try:
        held = np.asarray(cdflib.CDF(str(file)).varget("Pose"), np.float32)
    except Exception as error:  # a broken file may fail in any way
        raise SourceError(f"{file}: not a whole CDF file ({type(error).__name__}: {error}). Fetch it again.") from error
    return adapter.shaped(file, "Pose", held, (1, None, 32 * width)).reshape(-1, 32, width)[:, list(KEPT)]


def _batch(file: Path, table: Array, choice: Choice, dataset: str, share: float) -> Batch:
    named = re.match(r"(.+)\.(\d{8})$", file.stem)
    subject = next((part for part in reversed(file.parts) if re.fullmatch(r"S\d+", part)), None)
    if named is None or named[2] not in CAMERAS or subject is None:
        raise adapter.unexpected(
            file, "name", file.name, "S<n>/.../<Action>.<camera>.cdf", "Keep the official names of folders and files."
        )
    action, camera = named[1], named[2]
    space = _poses(file, 3)
    frames = np.arange(len(space))[:: choice.stride]
    matrix, world, bent = camera_of(table, CAMERAS.index(camera), int(subject[1:]))
    stem = f"{subject}_{action.replace(' ', '_')}.{camera}"
    paths = [f"{subject}/images/{stem}/{stem}_{frame + 1:06d}.jpg" for frame in frames]
    count, names = len(frames), ",".join(H36M_17)
    columns: Columns = {
        "sample_id": adapter.sample_ids(dataset, choice.split, paths, [0] * count), "dataset": dataset,
        "split": choice.split or ("test" if subject in ("S9", "S11") else "train"), "sequence": f"{subject}_{action}",
        "camera_id": camera, "subject_id": subject, "person_id": "0", "frame_index": frames, "image_number": frames + 1,
        "image_path": paths, "image_wh": np.tile(np.array(SIZES[camera], np.float32), (count, 1)), "activity": action,
        "K": np.repeat(matrix[None], count, 0), "T_cam_world": np.repeat(world[None], count, 0),
        "dist": np.tile(bent, (count, 1)), "kp3d": space[frames] / np.float32(1000),
        "kp3d_valid": np.ones((count, 17), bool), "kp3d_names": names, "kp3d_root": "", "kp3d_regressor": "mocap",
        "kp3d_scale": "true", "source_row": frames,
    }  # fmt: skip
    flat = file.parent.parent / "D2_Positions" / file.name
    if flat.exists():
        points = _poses(flat, 2)[frames]
        ones = np.ones(points.shape[:2], np.float32)
        columns |= {
            "kp2d": points, "kp2d_conf": ones, "kp2d_names": names, "bbox_xywh": adapter.box_of_points(points, ones),
            "bbox_source": "kp2d",
        }  # fmt: skip
    return Batch(columns, str(file), {"kp3d": "Pose", "K": "w0", "kp2d": "Pose"}, ["Pose: mm to m"], {}, share)
