"""The one record of a labelled person from any file: an Arrow schema, and columns turned into it.

Metres, OpenCV camera frame (x right, y down, z forward), axis-angle in radians, pixels of the picture as it is stored
(origin at the upper left corner). A label that a record does not have is NULL; there is no other flag for it. Unit,
shape and meaning of each column are in its field's metadata.

Adapters yield `Batch`es: a numpy array for each column they know. A row without a value is all NaN in an array of
numbers, -1 in whole numbers and "" in texts; a column that is left out is NULL everywhere.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

VERSION = 1
VERSION_KEY = b"hmr-align.people"
FLOAT = pa.float32()
Columns = dict[str, Any]
"""Name of a column -> array of n rows, or a list of n texts."""


def _field(name: str, type_: pa.DataType, about: str, unit: str, shape: str, nullable: bool) -> pa.Field:
    metadata = {"about": about, "unit": unit, "shape": shape}
    return pa.field(name, type_, nullable=nullable, metadata={key: value for key, value in metadata.items() if value})


def _text(name: str, about: str, nullable: bool = True) -> pa.Field:
    return _field(name, pa.string(), about, "", "", nullable)


def _word(name: str, about: str, nullable: bool = True) -> pa.Field:
    """A text that many records share."""
    return _field(name, pa.dictionary(pa.int32(), pa.string()), about, "", "", nullable)


def _whole(name: str, about: str, unit: str = "") -> pa.Field:
    return _field(name, pa.int32(), about, unit, "", True)


def _number(name: str, about: str, unit: str = "") -> pa.Field:
    return _field(name, pa.float32(), about, unit, "", True)


def _array(name: str, shape: tuple[int, ...], about: str, unit: str = "") -> pa.Field:
    """float32 of one shape, row-major."""
    values = pa.list_(pa.field("element", pa.float32(), nullable=False), prod(shape))
    return _field(name, values, about, unit, ",".join(map(str, shape)), True)


def _list(name: str, shape: str, about: str, unit: str = "", kind: pa.DataType = FLOAT) -> pa.Field:
    """Values of a length that differs between files, row-major; `shape` names it, as in "J,2"."""
    return _field(name, pa.list_(pa.field("element", kind, nullable=False)), about, unit, shape, True)


SCHEMA = pa.schema(
    [
        _text("sample_id", "<dataset>/<split>/<sequence>/<frame>/<person>, the same in every import", False),
        _word("dataset", "name of the dataset", False),
        _word("split", "train, val, test, ..."),
        _word("sequence", "clip, scene or folder of the picture"),
        _word("camera_id", "which of several cameras"),
        _word("subject_id", "who it is, where the dataset says so"),
        _word("person_id", "which of the people in the picture"),
        _whole("frame_index", "row in the sequence, from 0"),
        _whole("image_number", "number in the picture's file name, where it is another"),
        _text("image_path", "relative to the user's folder of pictures"),
        _array("image_wh", (2,), "width, height of the picture as stored", "px"),
        _whole("image_rotate90", "quarter turns clockwise that make the stored picture upright"),
        _array("bbox_xywh", (4,), "left, top, width, height of the person", "px"),
        _word("bbox_source", "gt, kp2d (about the points) or det"),
        _array("K", (3, 3), "camera matrix, row-major", "px"),
        _array("dist", (5,), "k1, k2, p1, p2, k3 of OpenCV"),
        _array("T_cam_world", (4, 4), "world to camera, row-major", "m"),
        _word("model_type", "smpl or smplx: whose parameters these are"),
        _word("gender", "male, female or neutral: of the body model of the parameters"),
        _list("betas", "10 to 16", "shape", "standard deviations"),
        _array("global_orient", (3,), "axis-angle of the pelvis, camera frame", "rad"),
        _list("body_pose", "23 or 21,3", "axis-angle of SMPL's joints 1-23, SMPL-X's 1-21", "rad"),
        _array("transl", (3,), "the pelvis joint less its place in the rest body, camera frame", "m"),
        _array("left_hand", (15, 3), "axis-angle of the fingers about the flat hand", "rad"),
        _array("right_hand", (15, 3), "axis-angle of the fingers about the flat hand", "rad"),
        _array("jaw", (3,), "axis-angle", "rad"),
        _array("left_eye", (3,), "axis-angle", "rad"),
        _array("right_eye", (3,), "axis-angle", "rad"),
        _array("expression", (10,), "of the face", "standard deviations"),
        _number("scale_factor", "the body is this much larger than its parameters say (DNA-Rendering)"),
        _list("kp2d", "J,2", "points in the picture as stored", "px"),
        _list("kp2d_conf", "J", "confidence; 0 = absent", "0..1"),
        _list("kp2d_vis", "J", "0 absent, 1 hidden, 2 seen, -1 not told", "", pa.int8()),
        _word("kp2d_names", "names of the J points, comma-separated"),
        _list("kp3d", "J,3", "points, camera frame", "m"),
        _list("kp3d_valid", "J", "whether the point is a label", "", pa.bool_()),
        _word("kp3d_names", "names of the J points, comma-separated"),
        _word("kp3d_root", "the point that was subtracted from all; NULL = they lie where they are"),
        _word("kp3d_regressor", "what made them: mocap, smpl, smplx, J_regressor_h36m, ..."),
        _word("kp3d_scale", "true, or universal (all people of one height)"),
        _list("contact", "C", "numbers of the vertices that touch another person", "", pa.int32()),
        _word("partner_id", "person_id of the one who is touched"),
        _word("activity", "what is done"),
        _text("mask_path", "relative to the user's folder"),
        _field("valid_eval", pa.bool_(), "whether the dataset evaluates on the record", "", "", True),
        _word("valid_reason", "why not, or what the flag is called"),
        _number("quality", "as the dataset grades the label", "0..1"),
        _field("source_row", pa.int64(), "row of the source file, from 0", "", "", False),
        _word("provenance", "JSON: adapter and version, source file, what was converted", False),
    ],
    metadata={VERSION_KEY: str(VERSION)},
)  # fmt: skip
"""Columns of a Parquet file of people."""


@dataclass(frozen=True, eq=False)
class Batch:
    """Some rows of one file as an adapter read them."""

    columns: Columns
    file: str  # the rows are from it
    keys: Mapping[str, str] = field(default_factory=dict)  # column -> its name in the file, for messages
    converted: Sequence[str] = ()  # "S: mm to m", ...
    skipped: Mapping[str, int] = field(default_factory=dict)  # rows that cannot be used, by reason
    share: float = 1.0  # 0-1, of all rows, read with these

    def __len__(self) -> int:
        return len(self.columns["source_row"])


def batch_table(batch: Batch, adapter: str) -> pa.Table:
    """The rows as Arrow, in the order and with the types of SCHEMA.

    Raises KeyError for a column that SCHEMA does not have, ValueError for one of another length."""
    rows = len(batch)
    details = {"adapter": adapter, "version": VERSION, "file": batch.file, "converted": list(batch.converted)}
    given = {**batch.columns, "provenance": json.dumps(details)}
    unknown = sorted(set(given) - set(SCHEMA.names))
    if unknown:
        raise KeyError(f"{adapter}: no column of a person's record is called {', '.join(unknown)}")
    return pa.table([_arrow(given.get(kind.name), kind, rows) for kind in SCHEMA], schema=SCHEMA)


def _arrow(values: Any, kind: pa.Field, rows: int) -> pa.Array:
    if values is None or (isinstance(values, str) and not values and kind.nullable):
        return pa.nulls(rows, kind.type)
    if isinstance(values, str):
        values = [values] * rows if not pa.types.is_dictionary(kind.type) else np.array([values])
        if len(values) != rows:  # one word for all rows
            return pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int32)), pa.array(values.tolist()))
    if len(values) != rows:
        raise ValueError(f"column '{kind.name}' has {len(values)} rows where there are {rows}")
    if pa.types.is_string(kind.type) or pa.types.is_dictionary(kind.type):
        texts = np.asarray(values, object)
        made = pa.array(texts, pa.string(), mask=np.fromiter((not text for text in texts), bool, rows))
        return made.dictionary_encode() if pa.types.is_dictionary(kind.type) else made
    if pa.types.is_list(kind.type) or pa.types.is_fixed_size_list(kind.type):
        return _arrow_list(values, kind, rows)
    array = np.asarray(values)
    if pa.types.is_boolean(kind.type):
        return pa.array(array.astype(bool))
    if pa.types.is_integer(kind.type):
        return pa.array(array.astype(np.int64), mask=(array < 0) & kind.nullable).cast(kind.type)
    return pa.array(array.astype(np.float32), mask=np.isnan(array))


def _arrow_list(values: Any, kind: pa.Field, rows: int) -> pa.Array:
    if not isinstance(values, np.ndarray):  # rows of different lengths
        return pa.array(values, kind.type)
    element = kind.type.value_type.to_pandas_dtype()
    flat = np.ascontiguousarray(values.reshape(rows, int(np.prod(values.shape[1:]))), element)
    absent: Any = np.isnan(flat).all(1) if element is np.float32 else np.zeros(rows, bool)
    if pa.types.is_fixed_size_list(kind.type):
        if flat.shape[1] != kind.type.list_size:
            raise ValueError(f"column '{kind.name}' has {flat.shape[1]} numbers a row, not {kind.type.list_size}")
        content = pa.array(np.where(absent[:, None], 0, flat).ravel())
        return pa.FixedSizeListArray.from_arrays(content, type=kind.type, mask=pa.array(absent))
    offsets = pa.array(np.append(0, np.cumsum(~absent * flat.shape[1])).astype(np.int32))
    return pa.ListArray.from_arrays(offsets, pa.array(flat[~absent].ravel()), type=kind.type, mask=pa.array(absent))


def labels_held(table: pa.Table) -> dict[str, int]:
    """How many records have each label; labels that none has are left out."""
    counts = {name: len(table) - table[name].null_count for name in SCHEMA.names}
    return {name: count for name, count in counts.items() if count}


def rows_of(table: pa.Table, name: str) -> NDArray:
    """A column of numbers as (n, ...) float32 again, NaN where a row has none, in the unit of SCHEMA.

    All rows of a list must have the same length.
    """
    column = table[name].combine_chunks()
    kind = SCHEMA.field(name)
    if not (pa.types.is_list(kind.type) or pa.types.is_fixed_size_list(kind.type)):
        return column.to_numpy(zero_copy_only=False)
    valid = np.asarray(column.is_valid())
    held = np.asarray(column.drop_null().flatten())
    fixed = pa.types.is_fixed_size_list(kind.type)
    width = kind.type.list_size if fixed else len(held) // max(int(valid.sum()), 1)
    out = np.full((len(column), width), np.nan, np.float32)
    out[valid] = held.reshape(-1, width) if width else held.reshape(0, 0)
    tail = [int(size) for size in kind.metadata[b"shape"].decode().split(",")[1:] if size.isdigit()]
    if fixed:
        return out.reshape(len(column), *(int(size) for size in kind.metadata[b"shape"].decode().split(",")))
    return out.reshape(len(column), -1, *tail) if tail else out
