"""Reads a body in SMPL's or SMPL-X's file format, `.npz` or `.pkl`, without running any code that the file may hold.

A pickle is a program. The licensed SMPL files are pickles of Python 2 with objects of `chumpy`, a library
that no longer installs; so they are read through an allow-list (storage/safe_pickle.py), and each chumpy or scipy
object becomes an inert container of its stored state. Any other name in a file is refused, and the error prints it.
"""

import io
import json
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import scipy.sparse
from numpy.typing import NDArray
from smplx.vertex_ids import vertex_ids as smplx_vertex_ids

from hmr.body.skeleton import KEYPOINT_NAMES, PARENTS, SMPL_JOINTS
from hmr.body.smplx_fold import HEAD, SMPLX_JOINTS, SMPLX_PARENTS, fold_smplx
from storage.safe_pickle import RefusedName, read_npy, read_pickle

SHAPE_COMPONENTS = 10
POSE_COMPONENTS = 207  # 23 joints x 9 entries of a rotation matrix
SMPL_VERTICES = 6890
SMPLX_VERTICES = 10475
SMPL_LEAVES = (411, 2445, 5905, 3216, 6617)  # crown, middle fingers, big toes of SMPL's mesh (HybrIK)
LEAF_POINTS = ("lmiddle", "rmiddle", "LBigToe", "RBigToe")  # the last four, under smplx's names
FIELDS = (
    *("v_template", "shapedirs", "posedirs", "J_regressor", "weights", "kintree_table", "f", "meta"),
    *("vertex_ids_names", "vertex_ids", "leaf_vertex_ids", "keypoint_regressor", "keypoint_names"),
)
"""The entries of an archive that are read; SMPL-X files also hold objects that are not needed here."""


Arrays = TypeVar("Arrays")


class BodyFileError(ValueError):
    """A body file that is missing, broken, of another kind, or not safe to read."""


@dataclass(frozen=True, eq=False)
class BodyArrays:
    """The content of a body file; V vertices, F faces."""

    name: str
    v_template: NDArray[np.float32]  # (V, 3) metres, T-pose, y up, facing +z
    shapedirs: NDArray[np.float32]  # (V, 3, 10) metres per unit of beta
    posedirs: NDArray[np.float32]  # (V, 3, 207) metres per unit of (R - I)
    J_regressor: NDArray[np.float32]  # (24, V)
    weights: NDArray[np.float32]  # (V, 24)
    kintree_table: NDArray[np.int64]  # (2, 24)
    f: NDArray[np.int64]  # (F, 3)
    vertex_ids: Mapping[str, int]  # the 21 surface points, under smplx's names
    leaf_vertex_ids: NDArray[np.int64]  # (5,) joints 24-28
    keypoint_regressor: NDArray[np.float32] | None  # (23, V), None where keypoints come from joints (SMPL, SMPL-X)


class WholeArrays(NamedTuple):
    """SMPL-X with all its 55 joints, unfolded: fingers, jaw, eyes and expression move."""

    v_template: NDArray[np.float32]  # (10475, 3) metres, T-pose, y up
    shapedirs: NDArray[np.float32]  # (10475, 3, 10) metres per unit of beta
    expressions: NDArray[np.float32]  # (10475, 3, 10) metres per unit of expression
    posedirs: NDArray[np.float32]  # (10475, 3, 486)
    J_regressor: NDArray[np.float32]  # (55, 10475)
    weights: NDArray[np.float32]  # (10475, 55)
    f: NDArray[np.int64]  # (F, 3)


def read_body_file(path: Path) -> BodyArrays:
    """The body in the file, checked; raises BodyFileError for any fault, with what, where and how to fix it."""
    return _read(path, _body_arrays)


def read_whole_smplx(path: Path) -> WholeArrays:
    """SMPL-X with fingers and face, from the official `.npz` or `.pkl`.

    Raises BodyFileError for any fault, also if the file holds another body.
    """
    return _read(path, _whole_arrays)


def read_matrix(path: Path, keys: tuple[str, ...]) -> scipy.sparse.csr_array:
    """The first of `keys` that a `.pkl` or `.npz` has, as a sparse matrix; of scipy's own ones no code is run.

    Raises BodyFileError if the file cannot be used or has none of them.
    """

    def matrix(fields: Mapping[str, Any]) -> scipy.sparse.csr_array:
        held = next((key for key in keys if key in fields), None)
        if held is None:
            raise _Unfit(
                f"has no {' or '.join(repr(key) for key in keys)}, but {', '.join(map(str, fields)) or 'none'}."
            )
        value = fields[held]
        if isinstance(value, _Inert) and value.origin in _SPARSE:
            return scipy.sparse.csr_array(_sparse(value.origin, vars(value)), dtype=np.float64)
        return scipy.sparse.csr_array(_plain(value), dtype=np.float64)

    return _read(path, matrix, keys)


def _read(path: Path, arrays_of: Callable[[Mapping[str, Any]], Arrays], wanted: tuple[str, ...] = FIELDS) -> Arrays:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise BodyFileError(
            f"{path}: cannot be read ({error.strerror}). Give the path of a body file (.npz or .pkl)."
        ) from error
    try:
        fields = _npz_fields(content, wanted) if content[:2] == b"PK" else _pickle_fields(content)
        arrays = arrays_of(fields)
    except RefusedName as error:
        raise BodyFileError(
            f"{path}: the pickle names {error}, which no body file needs, so nothing of it was run. "
            "Use a file from the official download; if this is one, report the name."
        ) from error
    except _Unfit as error:
        raise BodyFileError(f"{path}: {error}") from error
    except Exception as error:  # a broken file may fail in any way in which the readers of zip, npy and pickle can
        raise BodyFileError(
            f"{path}: not a whole body file ({type(error).__name__}: {error}). "
            "It may be truncated or of another kind; fetch it again."
        ) from error
    return arrays


class _Unfit(Exception):
    """A readable file whose contents are not a body."""


def _npz_fields(content: bytes, wanted: tuple[str, ...]) -> dict[str, Any]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        damaged = archive.testzip()
        if damaged:
            raise _Unfit(f"array '{damaged}' is damaged (its checksum is wrong). Fetch the file again.")
        held = set(archive.namelist())
        return {name: read_npy(archive.read(f"{name}.npy"), _stand_in) for name in wanted if f"{name}.npy" in held}


class _Inert:
    """Stands for an object of a foreign class: holds the state stored with it and does nothing."""

    origin = ""


class _InertTable(_Inert, dict):
    """The same for a sparse matrix that is a dictionary, `dok_matrix`."""


_SPARSE = tuple(
    f"{kind}_{form}" for kind in ("csc", "csr", "coo", "bsr", "dia", "lil", "dok") for form in ("matrix", "array")
)


def _stand_in(module: str, name: str) -> type | None:
    """An inert class, a new one at each call, for chumpy's and scipy's."""
    if module.partition(".")[0] == "chumpy":
        return type("Inert", (_Inert,), {"origin": "chumpy"})
    if module.startswith("scipy.sparse") and name in _SPARSE:
        return type("Inert", (_InertTable if name.startswith("dok") else _Inert,), {"origin": name})
    return None


def _pickle_fields(content: bytes) -> dict[str, Any]:
    fields = read_pickle(content, _stand_in)
    if not isinstance(fields, dict):
        raise _Unfit(f"holds a {type(fields).__name__} where a body file holds a dictionary. Give a body file.")
    return fields


def _plain(value: Any) -> NDArray:
    """An array from an array, a nest of numbers, or an inert object."""
    if isinstance(value, np.ndarray) and value.dtype == object:
        if value.ndim == 0:
            return _plain(value.item())
        return np.array([_plain(one) for one in value.flat]).reshape(value.shape)
    if not isinstance(value, _Inert):
        return np.asarray(value)
    state = value.__dict__
    if value.origin in _SPARSE:
        return _dense(value.origin, state | {"entries": value} if isinstance(value, dict) else state)
    if "x" in state:  # chumpy.ch.Ch: a plain array
        return _plain(state["x"])
    if "a" in state and "idxs" in state:  # chumpy.reordering.Select: some entries of another array
        chosen = _plain(state["a"]).ravel()[_plain(state["idxs"])]
        return chosen.reshape(state.get("preferred_shape") or chosen.shape)
    raise _Unfit(f"holds an unknown chumpy object with fields {sorted(state)}. Use a file from the official download.")


def _dense(origin: str, state: Mapping[str, Any]) -> NDArray:
    """The array of a sparse one of scipy's, from its stored state."""
    found = _sparse(origin, state)
    return found if isinstance(found, np.ndarray) else found.toarray()


def _sparse(origin: str, state: Mapping[str, Any]) -> Any:
    """A sparse array of scipy's, from its stored state; a dense one of the kinds that have no short way."""
    shape = tuple(int(length) for length in (state.get("_shape") or state["shape"]))
    kind = origin.partition("_")[0]
    if kind == "lil":
        dense = np.zeros(shape)
        for row, (columns, values) in enumerate(zip(state["rows"], state["data"])):
            dense[row, list(columns)] = values
        return dense
    if kind == "dok":
        dense = np.zeros(shape)
        for place, entry in (state.get("_dict") or state["entries"]).items():
            dense[place] = entry
        return dense
    if kind == "coo":
        places = state["coords"] if "coords" in state else (state["row"], state["col"])
        return scipy.sparse.coo_matrix((state["data"], places), shape=shape)
    if kind == "dia":
        return scipy.sparse.dia_matrix((state["data"], state["offsets"]), shape=shape)
    make = getattr(scipy.sparse, f"{kind}_matrix")
    return make((state["data"], state["indices"], state["indptr"]), shape=shape)


def _body_arrays(fields: Mapping[str, Any]) -> BodyArrays:
    """The known fields, checked; a file without `meta` is taken for SMPL, whose vertex ids are fixed."""
    template = _numbers(fields, "v_template", (None, 3))
    count = len(template)
    tree = _plain(_field(fields, "kintree_table")).astype(np.int64)
    if count == SMPLX_VERTICES and "meta" not in fields:
        return _smplx_arrays(fields, template, tree)
    regressor, leaves, surface = None, np.array(SMPL_LEAVES), dict(smplx_vertex_ids["smplh"])
    if "meta" in fields:
        name = str(json.loads(str(fields["meta"]))["name"])
        surface = dict(zip(map(str, fields["vertex_ids_names"]), map(int, fields["vertex_ids"])))
        leaves = _indices(fields, "leaf_vertex_ids", (5,), count)
        regressor = _numbers(fields, "keypoint_regressor", (len(KEYPOINT_NAMES), count))
        if tuple(map(str, fields["keypoint_names"])) != KEYPOINT_NAMES:
            raise _Unfit(f"keypoint_names are not COCO-17 and feet; expected {', '.join(KEYPOINT_NAMES)}.")
        if not surface or not all(0 <= index < count for index in surface.values()):
            raise _Unfit(f"vertex_ids are missing or outside 0 to {count - 1}. Rebuild the file.")
    elif count == SMPL_VERTICES:
        name = "smpl"
    else:
        raise _Unfit(
            f"{count} vertices and no 'meta': neither SMPL (which has {SMPL_VERTICES}), nor SMPL-X "
            f"({SMPLX_VERTICES}), nor a body that names its own vertices. Give an SMPL or SMPL-X file, or add 'meta' "
            "and the vertex ids."
        )
    if tree.shape != (2, SMPL_JOINTS) or tuple(tree[0, 1:]) != PARENTS[1:SMPL_JOINTS]:
        raise _Unfit("kintree_table is not SMPL's tree of 24 joints, nor SMPL-X's of 55 (SMPL-H files do not serve).")
    posedirs = np.zeros((count, 3, POSE_COMPONENTS), np.float32)
    if "posedirs" in fields:
        posedirs = _numbers(fields, "posedirs", (count, 3, POSE_COMPONENTS))
    return BodyArrays(
        name=name,
        v_template=template,
        shapedirs=np.ascontiguousarray(_shapes(fields, count)[:, :, :SHAPE_COMPONENTS]),
        posedirs=posedirs,
        J_regressor=_numbers(fields, "J_regressor", (SMPL_JOINTS, count)),
        weights=_numbers(fields, "weights", (count, SMPL_JOINTS)),
        kintree_table=tree,
        f=_indices(fields, "f", (None, 3), count),
        vertex_ids=surface,
        leaf_vertex_ids=leaves,
        keypoint_regressor=regressor,
    )


def _smplx_arrays(fields: Mapping[str, Any], template: NDArray[np.float32], tree: NDArray[np.int64]) -> BodyArrays:
    """SMPL-X folded onto 24 joints; its vertex ids are fixed, and its crown is the highest vertex of the head."""
    count = len(template)
    if tree.shape != (2, SMPLX_JOINTS) or tuple(tree[0, 1:]) != SMPLX_PARENTS[1:]:
        raise _Unfit(f"kintree_table is not SMPL-X's tree of {SMPLX_JOINTS} joints. Use the official download.")
    folded = fold_smplx(
        _shapes(fields, count),
        _numbers(fields, "posedirs", (count, 3, 9 * (SMPLX_JOINTS - 1))),
        _numbers(fields, "J_regressor", (SMPLX_JOINTS, count)),
        _numbers(fields, "weights", (count, SMPLX_JOINTS)),
    )
    surface = dict(smplx_vertex_ids["smplx"])
    crown = np.where(folded.weights.argmax(1) == HEAD, template[:, 1], -np.inf).argmax()
    return BodyArrays(
        name="smplx",
        v_template=template,
        **folded._asdict(),
        f=_indices(fields, "f", (None, 3), count),
        vertex_ids=surface,
        leaf_vertex_ids=np.array([crown, *(surface[point] for point in LEAF_POINTS)], np.int64),
        keypoint_regressor=None,
    )


def _whole_arrays(fields: Mapping[str, Any]) -> WholeArrays:
    """The first ten of shape and expression; the latter follow 300 components of shape, in older files ten."""
    template = _numbers(fields, "v_template", (None, 3))
    count = len(template)
    tree = _plain(_field(fields, "kintree_table")).astype(np.int64)
    if count != SMPLX_VERTICES or tree.shape != (2, SMPLX_JOINTS) or tuple(tree[0, 1:]) != SMPLX_PARENTS[1:]:
        raise _Unfit(f"{count} vertices and {tree.shape[-1]} joints: not SMPL-X. Use the official download.")
    shapes = _shapes(fields, count)
    first = 300 if shapes.shape[2] > 300 else SHAPE_COMPONENTS
    expressions = np.zeros((count, 3, SHAPE_COMPONENTS), np.float32)
    given = shapes[:, :, first : first + SHAPE_COMPONENTS]
    expressions[:, :, : given.shape[2]] = given
    return WholeArrays(
        template,
        np.ascontiguousarray(shapes[:, :, :SHAPE_COMPONENTS]),
        expressions,
        _numbers(fields, "posedirs", (count, 3, 9 * (SMPLX_JOINTS - 1))),
        _numbers(fields, "J_regressor", (SMPLX_JOINTS, count)),
        _numbers(fields, "weights", (count, SMPLX_JOINTS)),
        _indices(fields, "f", (None, 3), count),
    )


def _shapes(fields: Mapping[str, Any], count: int) -> NDArray[np.float32]:
    shapedirs = _numbers(fields, "shapedirs", (count, 3, None))
    if shapedirs.shape[2] < SHAPE_COMPONENTS:
        raise _Unfit(f"shapedirs has {shapedirs.shape[2]} components; a body needs {SHAPE_COMPONENTS}.")
    return shapedirs


def _field(fields: Mapping[str, Any], name: str) -> Any:
    if name not in fields:
        raise _Unfit(f"has no '{name}', so it is no body in SMPL's format. Give an SMPL file or the shipped body.")
    return fields[name]


def _numbers(fields: Mapping[str, Any], name: str, shape: tuple[int | None, ...]) -> NDArray[np.float32]:
    array = _shaped(name, _plain(_field(fields, name)), shape).astype(np.float32)
    if not np.isfinite(array).all():
        raise _Unfit(f"'{name}' holds values that are not finite. Fetch the file again.")
    return array


def _indices(fields: Mapping[str, Any], name: str, shape: tuple[int | None, ...], count: int) -> NDArray[np.int64]:
    array = _shaped(name, _plain(_field(fields, name)), shape).astype(np.int64)
    if array.size and (array.min() < 0 or array.max() >= count):
        raise _Unfit(f"'{name}' points outside the {count} vertices. Fetch the file again.")
    return array


def _shaped(name: str, array: NDArray, shape: tuple[int | None, ...]) -> NDArray:
    if array.ndim != len(shape) or any(want not in (None, got) for want, got in zip(shape, array.shape)):
        wanted = " x ".join("any" if want is None else str(want) for want in shape)
        raise _Unfit(f"'{name}' has shape {array.shape}, expected {wanted}. It belongs to another kind of body.")
    return array
