"""What adapters share: the user's choices, errors that name file, key, found and expected, and changes of geometry."""

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from storage.sources import SourceError

Array = NDArray[Any]
Columns = dict[str, Any]
RestPelvis = Callable[[str, str, Array], Array]
"""Model, gender and (n, 10) betas -> (n, 3) place of the pelvis joint in that rest body, metres. Raises SourceError."""

ROWS = 4096
"""Rows in one batch of an adapter."""


@dataclass(frozen=True)
class Choice:
    """What the user states about a file and adapters cannot know."""

    split: str = ""
    stride: int = 1  # read every stride-th row (frame of a sequence)
    ignore: frozenset[str] = frozenset()  # unknown keys that may be ignored
    pelvis: RestPelvis | None = None  # from the user's own body files
    hand_components: Mapping[str, Array] | None = None  # "left", "right": (k, 45) of MANO, for hands in PCA components


def unexpected(file: object, key: str, found: str, expected: str, fix: str) -> SourceError:
    """The error with which all adapters refuse a file: file, key, found, expected, fix."""
    return SourceError(f"{file}: '{key}': found {found}; expected {expected}. {fix}")


def check_keys(
    file: object, held: Iterable[str], needed: Collection[str], known: Collection[str], ignore: Collection[str] = (),
    instead: str = "",
) -> None:  # fmt: skip
    """Raise SourceError if a file lacks a needed key, or has one that is neither needed, known nor ignored.

    instead: what to do, where neither --ignore nor another format of `data import` can help.
    """
    held = set(held)
    for key in needed:
        if key not in held:
            raise unexpected(
                file, key, f"no such key among {', '.join(sorted(held)[:12]) or 'none'}", f"'{key}'",
                instead or "Is it of another format? `hmr-align data formats` lists them.",
            )  # fmt: skip
    strange = sorted(held - set(needed) - set(known) - set(ignore))
    if strange:
        near = get_close_matches(strange[0], [*needed, *known], n=1)
        fix = f"Did you mean '{near[0]}'? " if near else ""
        raise unexpected(
            file, strange[0], "a key that this format does not have", ", ".join(sorted({*needed, *known})),
            fix + (instead or f"If it is of no matter, add --ignore {','.join(strange)}."),
        )  # fmt: skip


def shaped(file: object, key: str, value: Any, *shapes: tuple[int | None, ...], kind: Any = np.float32) -> Array:
    """`value` as an array of one of the shapes (None = any length); raises SourceError if it has none of them."""
    try:
        array = np.asarray(value, kind)
    except (TypeError, ValueError) as error:
        raise unexpected(file, key, f"no numbers ({error})", _text(shapes), "Give arrays of one shape.") from error
    for shape in shapes:
        if array.ndim == len(shape) and all(want in (None, got) for want, got in zip(shape, array.shape)):
            return array
    raise unexpected(
        file, key, f"shape {array.shape}", _text(shapes), "It is of another format, or axes are in another order."
    )


def _text(shapes: Sequence[tuple[int | None, ...]]) -> str:
    return " or ".join(f"({', '.join('n' if size is None else str(size) for size in shape)})" for shape in shapes)


def texts(values: Any) -> list[str]:
    """Texts of an array or list of str or bytes."""
    return [value.decode() if isinstance(value, bytes) else str(value) for value in np.asarray(values).ravel().tolist()]


def check_paths(file: object, key: str, paths: Sequence[str]) -> None:
    """Raise SourceError if a picture path is empty, absolute, or has a ".." that could leave the user's folder.

    A file of annotations may come from anybody: what it names is opened, drawn and put on pages. Windows' paths count
    too.
    """
    for path in paths:
        parts = _parts(path.replace("\\", "/"))
        absolute = path[:1] in ("/", "\\") or path[1:2] == ":"
        if absolute or ".." in parts or not parts or "\0" in path:
            raise unexpected(
                file, key, f"the path '{path}'", "a path within the folder of pictures, relative to it",
                "Make paths relative and give the folder with --photos, or leave out the row.",
            )  # fmt: skip


def relative_paths(file: object, key: str, values: Any) -> list[str]:
    """Picture paths relative to the user's folder, without a leading slash; raises SourceError if one leaves it."""
    paths = [path.lstrip("/") for path in texts(values)]
    check_paths(file, key, paths)
    return paths


def genders(values: Any) -> list[str]:
    """male, female, neutral or "", from the letters and words that files use."""
    words = {"m": "male", "f": "female", "n": "neutral", "0": "male", "1": "female", "-1": "", "2": "neutral"}
    found = [text.strip().lower() for text in texts(values)]
    return [words.get(text, text if text in ("male", "female", "neutral") else "") for text in found]


H36M_CAMERAS = ("54138969", "55011271", "58860488", "60457274")
_SPIN_NAME = re.compile(r"(?:^|/)(S\d+)_[^/]*\.(\d{8})_(\d{6})\.\w+$")
_HYBRIK_NAME = re.compile(r"(?:^|/)s_(\d\d)_act_\d\d_subact_\d\d_ca_0([1-4])_\d+\.\w+$")


def human36m_names(paths: Sequence[str]) -> Columns:
    """Subject, camera and frame from the names that SPIN and HybrIK give to Human3.6M's pictures; {} for other names.

    SPIN: S9_Directions_1.54138969_000001.jpg, which is frame 0. HybrIK: s_09_act_02_subact_01_ca_01_000001.jpg, whose
    numbers are not told to be frames.
    """
    for pattern in (_SPIN_NAME, _HYBRIK_NAME):
        if not (paths and pattern.search(paths[0])):  # the rest only where there is hope
            continue
        found = [match for path in paths if (match := pattern.search(path))]
        if len(found) < len(paths):
            continue
        if pattern is _HYBRIK_NAME:
            return {
                "subject_id": [f"S{int(one[1])}" for one in found],
                "camera_id": [H36M_CAMERAS[int(one[2]) - 1] for one in found],
            }
        return {
            "subject_id": [one[1] for one in found], "camera_id": [one[2] for one in found],
            "frame_index": np.array([int(one[3]) - 1 for one in found]),
        }  # fmt: skip
    return {}


def person_numbers(keys: Sequence[str]) -> list[int]:
    """The number, from 0, of each row's person among the rows of the same picture, in their order."""
    seen: dict[str, int] = {}
    numbers = []
    for key in keys:
        numbers.append(seen.get(key, 0))
        seen[key] = numbers[-1] + 1
    return numbers


def sample_ids(dataset: str, split: str, places: Sequence[str], people: Sequence[Any]) -> list[str]:
    """<dataset>/<split>/<sequence>/<frame>/<person> of paths "<sequence>/<frame>.jpg"."""
    head = f"{dataset}/{split or 'all'}/"
    stems: dict[str, str] = {}
    for place in places:
        if place not in stems:
            *folders, name = _parts(place) or [""]
            dot = name.rfind(".")
            stems[place] = "/".join([*folders, name[:dot] if 0 < dot < len(name) - 1 else name])
    return [f"{head}{stems[place]}/{person}" for place, person in zip(places, people)]


def folder_of(path: str) -> str:
    """The folder of a picture's path: the sequence, if a file does not name one."""
    return "/".join(_parts(path)[:-1]) or "."


def _parts(path: str) -> list[str]:
    """Folders and name of a path with slashes; as of `PurePosixPath`, which takes a fifth of an import."""
    return [part for part in path.split("/") if part not in ("", ".")]


def box_of_scale(centre: Array, scale: Array) -> tuple[Array, str]:
    """Boxes xywh (n, 4), px, of centres (n, 2), px, and scales, and how the scale was understood.

    In SPIN and BEDLAM it is the side / 200, in ProHMR pixels; a median below 20 means the former.
    """
    side = np.asarray(scale, np.float32)
    wide = side.reshape(len(side), -1)
    units = bool(np.nanmedian(wide) < 20)
    size = np.broadcast_to(wide * (200 if units else 1), (len(wide), 2))
    boxes = np.concatenate([np.asarray(centre, np.float32) - size / 2, size], 1)
    return boxes, f"scale: {'side / 200' if units else 'side'} to px"


def box_of_points(points: Array, given: Array, room: float = 1.2) -> Array:
    """(n, 4) boxes xywh, px, `room` times those of the given points; NaN where fewer than two points are given."""
    masked = np.where(given[..., None] > 0, points[..., :2], np.nan).astype(np.float64)
    out = np.full((len(points), 4), np.nan, np.float32)
    enough = (given > 0).sum(1) >= 2
    if enough.any():
        low, high = np.nanmin(masked[enough], 1), np.nanmax(masked[enough], 1)
        size = room * (high - low)
        out[enough] = np.concatenate([(low + high - size) / 2, size], 1)
    return out


def camera_matrix(fx: Any, fy: Any, cx: Any, cy: Any) -> Array:
    """(n, 3, 3) camera matrices, px, from numbers or columns of n."""
    columns = np.broadcast_arrays(*(np.atleast_1d(np.asarray(value, np.float32)) for value in (fx, fy, cx, cy)))
    out = np.zeros((len(columns[0]), 3, 3), np.float32)
    for value, (row, column) in zip(columns, ((0, 0), (1, 1), (0, 2), (1, 2))):
        out[:, row, column] = value
    out[:, 2, 2] = 1
    return out


def metres(points: Array, what: str, threshold: float = 50.0) -> tuple[Array, tuple[str, ...]]:
    """Camera coordinates in metres, from metres or millimetres: a median depth above `threshold` means millimetres.

    Also returns a note if they were converted.
    """
    known = np.abs(points[..., 2][np.isfinite(points[..., 2])])
    if len(known) and np.median(known) > threshold:
        return points / np.float32(1000), (f"{what}: mm to m",)
    return points, ()


def turned(vectors: Array, rotation: Array) -> Array:
    """Axis-angles (n, 3), radians, of R exp(v) for rotation matrices R (n, 3, 3) and axis-angles v (n, 3)."""
    from scipy.spatial.transform import Rotation

    matrices = Rotation.from_rotvec(np.asarray(vectors, np.float64)).as_matrix()
    return Rotation.from_matrix(np.asarray(rotation, np.float64) @ matrices).as_rotvec().astype(np.float32)


def axis_angles(file: object, key: str, matrices: Array) -> Array:
    """Axis-angles (..., 3), radians, of matrices (..., 3, 3); raises SourceError if one is not a rotation."""
    from scipy.spatial.transform import Rotation

    exact = np.asarray(matrices, np.float64)
    off = np.abs(exact @ np.swapaxes(exact, -1, -2) - np.eye(3)).max() if exact.size else 0.0
    if not off < 1e-2 or (np.linalg.det(exact) < 0).any():
        raise unexpected(
            file, key, f"matrices that are no rotations (off by {off:.2g})", "rotation matrices", "Give R, row by row."
        )
    return Rotation.from_matrix(exact.reshape(-1, 3, 3)).as_rotvec().reshape(exact.shape[:-1]).astype(np.float32)


def to_camera(orient: Array, transl: Array, world: Array, rest: Array | None) -> tuple[Array, Array]:
    """Root axis-angle (radians) and translation (metres) of SMPL, (n, 3) each, in the frame of cameras (n, 4, 4).

        x_cam = R x + T:    R_root' = R R_root,    t' = R (j0 + t) + T - j0

    rest: j0 (n, 3), the pelvis in the rest body, about which SMPL rotates; None = not known: the translation is then
    NaN.
    """
    rotation, shift = np.asarray(world[:, :3, :3], np.float64), np.asarray(world[:, :3, 3], np.float64)
    orient = turned(orient, rotation)
    if rest is None:
        return orient, np.full((len(orient), 3), np.nan, np.float32)
    moved = np.einsum("nij,nj->ni", rotation, rest + transl) + shift - rest
    return orient, moved.astype(np.float32)


def rest_pelvis(choice: Choice, model: str, gender: Sequence[str], betas: Array) -> Array | None:
    """j0, metres, (n, 3), from the user's body files; None if there are none. Raises SourceError if one is unusable."""
    if choice.pelvis is None:
        return None
    out = np.zeros((len(betas), 3))
    names = np.array([name or "neutral" for name in gender])
    for name in np.unique(names):
        out[names == name] = choice.pelvis(model, str(name), betas[names == name][:, :10])
    return out


NO_PELVIS = "translation left out: it takes the rest pelvis of the bodies (--bodies DIR)"


def root_of(points: Array, names: Sequence[str]) -> str:
    """ "pelvis" if that point (or the middle of the hips) is near the origin in most rows, else ""."""
    index = {name: k for k, name in enumerate(names)}
    places = []
    if "pelvis" in index:
        places.append(points[:, index["pelvis"]])
    if "left_hip" in index and "right_hip" in index:
        places.append((points[:, index["left_hip"]] + points[:, index["right_hip"]]) / 2)
    near = [np.nanmedian(np.linalg.norm(place, axis=1)) for place in places if np.isfinite(place).any()]
    spread = np.nanmax(np.abs(points)) if np.isfinite(points).any() else 1.0
    return "pelvis" if near and min(near) < 0.1 * spread else ""


def split_smplx(pose: Array) -> dict[str, Array]:
    """Columns of SMPL-X's 165 axis-angle numbers, radians: root, 21 joints, jaw, eyes, two hands of 15 joints."""
    return {
        "global_orient": pose[:, :3], "body_pose": pose[:, 3:66].reshape(-1, 21, 3), "jaw": pose[:, 66:69],
        "left_eye": pose[:, 69:72], "right_eye": pose[:, 72:75], "left_hand": pose[:, 75:120].reshape(-1, 15, 3),
        "right_hand": pose[:, 120:165].reshape(-1, 15, 3),
    }  # fmt: skip


def where(flags: Any, values: Array) -> Array:
    """`values` with NaN in the rows whose flag is false, which have no such label."""
    out = np.array(values, np.float32)
    out[~np.asarray(flags, bool)] = np.nan
    return out


def labelled(points: Array, valid: Any) -> Array:
    """(n, J, 3) points, zero where `valid` (n, J) is false, and all NaN in rows without any valid point."""
    flags = np.asarray(valid, bool)
    kept = np.where(flags[..., None], points, 0.0)
    return where(np.asarray(flags.any(1)), kept)


def from_hand_pca(file: object, key: str, hands: Array, choice: Choice, side: str) -> Array | None:
    """(n, 15, 3) axis-angles from the flat hand, radians, of 45 numbers, or of PCA components by the user's MANO.

    None for PCA components without MANO; raises SourceError if there are more components than MANO's.
    """
    flat = hands.reshape(len(hands), -1)
    if flat.shape[1] == 45:
        return flat.reshape(-1, 15, 3)
    components = None if choice.hand_components is None else choice.hand_components.get(side)
    if components is None:
        return None
    if flat.shape[1] > len(components):
        raise unexpected(file, key, f"{flat.shape[1]} components", f"at most {len(components)}", "Give MANO's 45.")
    return (flat @ components[: flat.shape[1]]).reshape(-1, 15, 3).astype(np.float32)


def found_files(path: Path, ending: str, *kinds: str) -> list[Path]:
    """The file, or all with that ending below the folder, in order of name; raises SourceError if there is none.

    kinds: what was looked for, for the message.
    """
    found = found_file(path, *kinds)
    files = sorted(found.rglob(f"*{ending}")) if found.is_dir() else [found]
    if not files:
        raise SourceError(f"{path}: holds no {ending} file. Give {' or '.join(kinds)}.")
    return files


def found_file(path: Path, *kinds: str) -> Path:
    """The path; raises SourceError, naming what was looked for (`kinds`), if it does not exist."""
    if not path.exists():
        raise SourceError(f"{path}: there is no such file or folder. Give the path of {' or '.join(kinds)}.")
    return path
