"""HumanData `.npz` files: one row for each person in each picture, with SMPL-X parameters in the camera frame.

Such a file is a zip of arrays. `smplx`, `meta` and `misc` are dictionaries, which numpy stores as pickles, and a pickle
is a program: so they are read through an allow-list (storage/safe_pickle.py); any other name in a file is refused, and
no code is run. Only the arrays that are needed are unpacked.

Source: the format's page in MMHuman3D (docs/human_data.md) and what the readers of GTA-Human II and DNA-Rendering
expect: boxes (N, 5) with a confidence at the end, `meta` with focal length, principal point, size and gender by row.
Keypoints are not read. The files themselves were not available: this follows their description.
"""

import zipfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from storage.safe_pickle import RefusedName, read_npy
from storage.sources import SourceError

__all__ = ["HumanData", "Instance", "SourceError", "read_humandata"]

Floats = NDArray[np.float32]

WANTED = ("image_path", "bbox_xywh", "smplx", "meta", "misc", "is_valid_smplx", "focal_length", "principal_point")
BODY_POSE = 63
"""Numbers that pose joints 1-21; files with 69 also have SMPL's two hands, which SMPL-X poses by its fingers."""
BETAS = 10


@dataclass(frozen=True, eq=False)
class Instance:
    """One row: one person in one picture. Metres, OpenCV camera frame (x right, y down, z forward)."""

    row: int  # in the file, from 0
    image_path: str  # relative to the folder of pictures
    bbox_xywh: Floats  # (4,) left, top, width, height, px
    global_orient: Floats  # (3,) axis-angle, radians
    body_pose: Floats  # (21, 3) axis-angle of joints 1-21
    betas: Floats  # (10,) of SMPL-X
    transl: Floats  # (3,) pelvis minus its place in the rest body
    focal_length: Floats | None  # (2,) px; None where the file gives no camera
    principal_point: Floats | None  # (2,) px
    picture_size: tuple[int, int] | None  # width, height, px
    gender: str | None  # of the body model of the parameters, if the file states it


@dataclass(frozen=True)
class HumanData:
    """The chosen rows that can be used, and why the others cannot."""

    name: str  # of the file
    rows: int  # in the file
    selection: str  # "one row in 100", "500 rows at random, seed 0"
    chosen: int
    skipped: dict[str, int]  # of the chosen, by reason
    instances: tuple[Instance, ...]


def read_humandata(
    path: Path, *, stride: int = 100, count: int | None = None, seed: int = 0, gender: str | None = None
) -> HumanData:
    """Every `stride`-th row from the first on, or `count` rows at random, always the same for one seed.

    gender: only rows of that body model. Raises SourceError if the file is missing, broken, not safe to read, of
    another kind, or has fewer rows than `count`.
    """
    try:
        found = _read(Path(path), stride, count, seed, gender)
    except OSError as error:
        raise SourceError(
            f"{path}: cannot be read ({error.strerror}). Give the path of a HumanData .npz file."
        ) from error
    except RefusedName as error:
        raise SourceError(
            f"{path}: a pickle in it names {error}, which no HumanData file needs, so nothing of it was run. "
            "Use a file from the dataset's own page; if this is one, report the name."
        ) from error
    except _Unfit as error:
        raise SourceError(f"{path}: {error}") from error
    except Exception as error:  # a broken file may fail in any way in which the readers of zip, npy and pickle can
        raise SourceError(
            f"{path}: not a whole HumanData file ({type(error).__name__}: {error}). "
            "It may be cut short or of another kind; fetch it again."
        ) from error
    return found


class _Unfit(Exception):
    """A readable file whose contents are not what is needed."""


def _read(path: Path, stride: int, count: int | None, seed: int, gender: str | None) -> HumanData:
    fields = _fields(path)
    pictures = np.asarray(_field(fields, "image_path")).ravel().tolist()
    rows, selection = _select(len(pictures), stride, count, seed)
    table = _Table(fields, len(pictures), rows, gender)
    instances, skipped = [], Counter()
    for place, row in enumerate(rows.tolist()):
        picture = pictures[row]
        instance = table.instance(place, row, picture.decode() if isinstance(picture, bytes) else str(picture))
        why = table.fault(place, instance, gender)
        if why:
            skipped[why] += 1
        else:
            instances.append(instance)
    return HumanData(path.name, len(pictures), selection, len(rows), dict(skipped), tuple(instances))


def _select(rows: int, stride: int, count: int | None, seed: int) -> tuple[NDArray[np.int64], str]:
    """The rows to take, in order, and how they were chosen in words."""
    if count is None:
        return np.arange(0, rows, stride), "every row" if stride == 1 else f"one row in {stride}"
    if count > rows:
        raise _Unfit(f"has {rows} rows, fewer than the {count} that were asked for. Ask for fewer.")
    chosen = np.random.default_rng(seed).choice(rows, count, replace=False)
    return np.sort(chosen), f"{count} rows at random, seed {seed}"


class _Table:
    """The columns of the chosen rows, in order; a column that is missing is None."""

    def __init__(self, fields: Mapping[str, Any], rows: int, chosen: NDArray[np.int64], gender: str | None) -> None:
        if "smplx" not in fields:
            held = " (it holds SMPL's)" if "smpl" in fields else ""
            raise _Unfit(f"has no 'smplx' parameters{held}. Give the HumanData file of a dataset with SMPL-X bodies.")
        smplx, meta = _dictionary(fields, "smplx"), _dictionary(fields, "meta")
        apart = {**fields, **_dictionary(fields, "misc"), **meta}  # where a camera may be; values by row have priority

        def column(held: Mapping[str, Any], name: str, *widths: int) -> Floats:
            return _column(held, name, rows, widths)[chosen]

        self.boxes = column(fields, "bbox_xywh", 4, 5)[:, :4]
        self.orient = column(smplx, "global_orient", 3)
        self.pose = column(smplx, "body_pose", BODY_POSE, 69)[:, :BODY_POSE].reshape(-1, 21, 3)
        self.transl = column(smplx, "transl", 3)
        neutral = "betas_neutral" in smplx and gender in (None, "neutral")
        self.betas = column(smplx, "betas_neutral" if neutral else "betas")[:, :BETAS]
        if self.betas.shape[1] < BETAS:
            raise _Unfit(f"'betas' has {self.betas.shape[1]} components; {BETAS} are needed.")
        both = "focal_length" in apart and "principal_point" in apart
        self.focal = _pairs(apart["focal_length"], "focal_length", rows)[chosen] if both else None
        self.centre = _pairs(apart["principal_point"], "principal_point", rows)[chosen] if both else None
        sized = "width" in meta and "height" in meta
        self.size = np.stack([_by_row(meta[k], k, rows)[chosen] for k in ("width", "height")], 1) if sized else None
        self.genders = _by_row(meta["gender"], "gender", rows)[chosen] if "gender" in meta else None
        valid = smplx.get("is_valid_smplx", apart.get("is_valid_smplx"))
        self.valid = None if valid is None else _by_row(valid, "is_valid_smplx", rows)[chosen].astype(bool)

    def instance(self, place: int, row: int, picture: str) -> Instance:
        return Instance(
            row=row,
            image_path=picture,
            bbox_xywh=self.boxes[place],
            global_orient=self.orient[place],
            body_pose=self.pose[place],
            betas=self.betas[place],
            transl=self.transl[place],
            focal_length=None if self.focal is None else self.focal[place],
            principal_point=None if self.centre is None else self.centre[place],
            picture_size=None if self.size is None else (int(self.size[place, 0]), int(self.size[place, 1])),
            gender=None if self.genders is None else str(self.genders[place]),
        )

    def fault(self, place: int, one: Instance, gender: str | None) -> str | None:
        """Why a row cannot be used, in words; None if it can."""
        if self.valid is not None and not self.valid[place]:
            return "marked as invalid in the file"
        if not all(np.isfinite(x).all() for x in (one.global_orient, one.body_pose, one.betas, one.transl)):
            return "parameters that are not finite"
        if not np.isfinite(one.bbox_xywh).all() or (one.bbox_xywh[2:] <= 0).any():
            return "no box"
        camera = [x for x in (one.focal_length, one.principal_point) if x is not None]
        if not all(np.isfinite(x).all() for x in camera) or (camera and (camera[0] <= 0).any()):
            return "no camera"
        path = PurePosixPath(one.image_path)
        if path.is_absolute() or ".." in path.parts or not path.parts:
            return "a picture outside of the folder of pictures"
        if gender is not None and one.gender != gender:
            return f"not of the {gender} body"
        return None


def _fields(path: Path) -> dict[str, Any]:
    """The wanted members of the zip, and the names of those of SMPL, for the message."""
    with zipfile.ZipFile(path) as archive:  # reading a member checks its checksum
        names = {name.removesuffix(".npy"): name for name in archive.namelist()}
        found = {key: _array(archive.read(names[key])) for key in WANTED if key in names}
    return found | ({"smpl": None} if "smpl" in names else {})


def _array(content: bytes) -> Any:
    """One `.npy` member: an array of numbers or texts, or what a pickle of plain things holds."""
    value = read_npy(content)
    return value.item() if isinstance(value, np.ndarray) and value.dtype == object and value.ndim == 0 else value


def _field(fields: Mapping[str, Any], name: str) -> Any:
    if name not in fields:
        raise _Unfit(f"has no '{name}', so it is no HumanData file of people with SMPL-X bodies. Give one that is.")
    return fields[name]


def _dictionary(fields: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = fields.get(name, {})
    if not isinstance(value, dict):
        raise _Unfit(f"'{name}' is a {type(value).__name__} where HumanData has a dictionary. Give a HumanData file.")
    return value


def _column(held: Mapping[str, Any], name: str, rows: int, widths: tuple[int, ...]) -> Floats:
    """(rows, width) numbers; trailing axes are joined. widths: those that are known; none = any."""
    array = np.asarray(_field(held, name), np.float32)
    if array.ndim < 2 or len(array) != rows:
        raise _Unfit(f"'{name}' has shape {array.shape}, and there are {rows} pictures. Each row needs a value.")
    flat = array.reshape(rows, int(np.prod(array.shape[1:])))
    if widths and flat.shape[1] not in widths:
        wanted = " or ".join(map(str, widths))
        raise _Unfit(f"'{name}' has {flat.shape[1]} numbers a row, expected {wanted}. It is of another body model.")
    return flat


def _pairs(value: Any, name: str, rows: int) -> Floats:
    """(rows, 2) from one number, one pair, one number a row or one pair a row."""
    array = np.asarray(value, np.float32)
    if array.ndim == 1 and len(array) == rows != 2:
        array = array[:, None]
    try:
        return np.broadcast_to(array, (rows, 2))
    except ValueError:
        raise _Unfit(f"'{name}' has shape {array.shape}; expected one pair, or one for each of {rows} rows.") from None


def _by_row(value: Any, name: str, rows: int) -> NDArray:
    """(rows,) from one value a row, or one for all."""
    array = np.asarray(value)
    if array.size == rows:
        return array.reshape(rows)
    if array.size == 1:
        return np.full(rows, array.ravel()[0])
    raise _Unfit(f"'{name}' has {array.size} values, and there are {rows} rows. Each row needs one.")
