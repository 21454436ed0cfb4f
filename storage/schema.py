"""The one Parquet schema of each table: names, types, shapes, units and meanings, and how a file is encoded.

Numeric arrays are fixed-size lists of float32, pictures are fixed-size binary. The metadata of a field
state its meaning (`about`), its unit and, for arrays, its shape; those of a file state the schema version.
Columns are only ever added, and only nullable ones: then old and new readers read old and new files
(a reader ignores unknown columns, and uses NULL for missing ones) and VERSION stays. Any
other change raises VERSION.
"""

from collections.abc import Sequence
from itertools import pairwise
from math import prod
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

VERSION = 1
_VERSION_KEY = b"hmr-align.schema"


class StoreError(Exception):
    """Something is wrong in a store; the message says what, where, and what to do about it."""


def _column(name: str, type_: pa.DataType, about: str, unit: str = "", nullable: bool = False) -> pa.Field:
    return pa.field(name, type_, nullable=nullable, metadata={"about": about, "unit": unit})


def _array(name: str, shape: tuple[int, ...], about: str, unit: str = "", nullable: bool = False) -> pa.Field:
    """float32 values of one shape, a fixed-size list in row-major order."""
    values = pa.list_(pa.field("element", pa.float32(), nullable=False), prod(shape))
    metadata = {"about": about, "unit": unit, "shape": ",".join(map(str, shape))}
    return pa.field(name, values, nullable=nullable, metadata=metadata)


def _picture(name: str, shape: tuple[int, ...], about: str) -> pa.Field:
    """uint8 values of one shape, the bytes in row-major order."""
    metadata = {"about": about, "unit": "0..255", "shape": ",".join(map(str, shape))}
    return pa.field(name, pa.binary(prod(shape)), nullable=False, metadata=metadata)


def _measured(name: str, about: str) -> pa.Field:
    """A duration: it differs from run to run, so it is ignored when two shards are compared."""
    metadata = {"about": about, "unit": "s", "measured": "yes"}
    return pa.field(name, pa.float64(), nullable=False, metadata=metadata)


_GROUP_ID = _column("group_id", pa.string(), "one person in one photograph; unique in a store")
_HYPOTHESIS = _column("hypothesis", pa.int32(), "place in the group, from 0")

_PERSON = [
    _GROUP_ID,
    _column("photo", pa.string(), "path of the photograph, relative to the root in images.parquet, or absolute"),
    _column("photo_sha256", pa.string(), "of the photograph's file"),
    _column("width", pa.int64(), "of the photograph, upright", "px"),
    _column("height", pa.int64(), "of the photograph, upright", "px"),
    _array("box", (4,), "x0, y0, x1, y1 of the person", "px of the photograph"),
    _column("detection", pa.float64(), "confidence that this is a person", "0..1"),
    _array("crop", (3,), "centre x, centre y, side of the square model crop", "px of the photograph"),
    _array("camera", (4,), "fx, fy, cx, cy", "px of the photograph"),
    _array("landmarks", (33, 4), "BlazePose x, y, z about the hips, visibility", "px, px, px, 0..1"),
    _array("world_landmarks", (33, 3), "BlazePose landmarks about the hips, camera axes", "m"),
    _picture("mask", (64, 64), "probability of the person over the model crop"),
    _picture("picture", (128, 128, 3), "RGB of the model crop"),
    _array(
        "second_look",
        (33, 7),
        "BlazePose heavy: x, y, z, visibility, world landmark; NULL = it did not look",
        "px, px, px, 0..1, m, m, m",
        nullable=True,
    ),
    _array(
        "labels",
        (33, 3),
        "a dataset's 2-D keypoints by BlazePose's numbers: x, y, confidence; NULL = it gives none",
        "px, px, 0..1",
        nullable=True,
    ),
]

PEOPLE = pa.schema(_PERSON)

GROUPS = pa.schema(
    [
        *_PERSON,
        _column("hypotheses", pa.int32(), "how many rows of `hyps` belong to this group"),
        _column("model_digest", pa.string(), "first 16 hex digits of the sha256 of the model's weights"),
        _column("temperature", pa.float64(), "exploration temperature of the draw; 1 = as the model is"),
        _array("betas", (10,), "shape, shared by the group", "standard deviations"),
    ]
)

HYPS = pa.schema(
    [
        _GROUP_ID,
        _HYPOTHESIS,
        _column("seed", pa.int64(), "seed of the start noise"),
        _column("zero_start", pa.bool_(), "drawn from zero noise"),
        _column("synthetic", pa.bool_(), "a mean or a fusion that was not drawn"),
        _array("latents", (133,), "diffused vector: 29 joints x 3, then 23 twists x 2", "data scale 50"),
        _array("pose", (24, 3), "axis-angle of every joint, root first, camera frame", "rad"),
        _array("translation", (3,), "of the body in the camera frame", "m"),
        _array("joints", (29, 3), "posed joints in the camera frame", "m"),
        _array("keypoints", (23, 3), "posed COCO-17 + feet in the camera frame", "m"),
        _column("made_by", pa.string(), "the model; NULL = that of `model_digest`", nullable=True),
        _array("shape", (10,), "of this hypothesis; NULL = the group's betas", "standard deviations", nullable=True),
        _column("mesh", pa.string(), "file in meshes/ of one without a pose; NULL = it has one", nullable=True),
    ]
)

SCORES = pa.schema(
    [
        _GROUP_ID,
        _HYPOTHESIS,
        _column("score", pa.float64(), "NULL = not judged, `status` says why", "0..100", nullable=True),
        _column("status", pa.string(), "'ok', or why there is no score"),
        _column("comment", pa.string(), "the critic's words"),
        _measured("group_seconds", "time the judgement of the whole group took, the same in all its rows"),
        _column("group_cost", pa.float64(), "price of the whole group, the same in all its rows", "money"),
        _column("uncertainty", pa.float64(), "standard error of `score`; NULL = not known", "points", nullable=True),
        _column("rules", pa.list_(pa.string()), "rules of the memory that the critic was shown", nullable=True),
    ]
)

REPLIES = pa.schema(
    [
        _GROUP_ID,
        _column("call", pa.int32(), "place among the calls made for the group, from 0"),
        _column("text", pa.string(), "raw answer"),
        _column("status", pa.string(), "'ok', or what was wrong with the answer"),
        _column("finish_reason", pa.string(), "as the server gave it"),
        _column("model", pa.string(), "that answered"),
        _column("prompt_tokens", pa.int64(), "tokens sent"),
        _column("completion_tokens", pa.int64(), "tokens received"),
        _measured("seconds", "time the call took"),
        _column("tries", pa.int64(), "how often the call was sent"),
        _column("order", pa.list_(pa.int32()), "hypotheses as shown: the k-th as image_{k + 2}", nullable=True),
    ]
)

TABLES = {"people": PEOPLE, "groups": GROUPS, "hyps": HYPS, "scores": SCORES, "replies": REPLIES}


def shape_of(field: pa.Field) -> tuple[int, ...]:
    """Shape of one row's value of an array or picture column; () for any other column."""
    return tuple(int(size) for size in field.metadata.get(b"shape", b"").decode().split(",") if size)


class Encoded(NamedTuple):
    """The bytes of a Parquet file of `rows` rows."""

    rows: int
    content: memoryview
    blocks: tuple[int, ...]  # bytes of each row group (the first with the magic number before it), and of the footer


def encode(table: pa.Table) -> Encoded:
    """The Parquet file of a table: zstd 1, byte-stream-split arrays, dictionaries only for words.

    Row groups have about one MB, so that a single group of hypotheses is read within milliseconds.
    """
    arrays = any(pa.types.is_fixed_size_list(field.type) for field in table.schema)
    size = 16 if "picture" in table.schema.names else 512 if arrays else 8192
    sink = pa.BufferOutputStream()
    pq.write_table(
        table.replace_schema_metadata({_VERSION_KEY: str(VERSION)}),
        sink,
        compression="zstd",
        compression_level=1,
        row_group_size=size,
        **encodings(table.schema),
    )
    content = sink.getvalue()
    return Encoded(len(table), memoryview(content), blocks_of(content) if len(table) > size else (content.size,))


def encodings(schema: pa.Schema) -> dict[str, Any]:
    """How pyarrow's writer should encode columns: arrays byte-stream-split, dictionaries only for words."""
    arrays = [field.name for field in schema if pa.types.is_fixed_size_list(field.type)]
    return {
        "use_dictionary": [field.name for field in schema if pa.types.is_string(field.type)],
        "column_encoding": {f"{name}.list.element": "BYTE_STREAM_SPLIT" for name in arrays},
    }


def blocks_of(content: pa.Buffer) -> tuple[int, ...]:
    """Bytes of each row group and of the footer; a file of one row group is one block."""
    details = pq.read_metadata(pa.BufferReader(content))
    if details.num_row_groups < 2:
        return (content.size,)
    footer = content.size - 8 - details.serialized_size
    columns = [details.row_group(number).column(0) for number in range(1, details.num_row_groups)]
    starts = [0, *(column.dictionary_page_offset or column.data_page_offset for column in columns), footer]
    return tuple(stop - start for start, stop in pairwise([*starts, content.size]))


def decode(content: bytes | memoryview, schema: pa.Schema, where: str) -> pa.Table:
    """The table of `schema` in a Parquet file named `where` in errors; raises StoreError as `open_table` does."""
    file = open_table(content, schema, where)
    return _of_schema(file.read(_shared(file, schema)), schema)


def decode_part(file: pq.ParquetFile, row_groups: Sequence[int], schema: pa.Schema) -> pa.Table:
    """The table of `schema` in some row groups of a file."""
    return _of_schema(file.read_row_groups(row_groups, _shared(file, schema), use_threads=False), schema)


def open_table(content: bytes | memoryview, schema: pa.Schema, where: str) -> pq.ParquetFile:
    """The Parquet file of a table of `schema`; the content needs only its footer yet, the rest may be filled in later.

    Raises StoreError, with `where`, if it is no Parquet file, has another schema version or lacks a column.
    """
    try:
        file = pq.ParquetFile(pa.BufferReader(content))
    except pa.ArrowException as error:
        raise StoreError(f"{where}: this is no Parquet file ({error}); restore it from a copy") from error
    version = (file.schema_arrow.metadata or {}).get(_VERSION_KEY, b"none").decode()
    if version != str(VERSION):
        raise StoreError(
            f"{where}: written with schema version {version}, this program reads version {VERSION}; "
            "use the program that wrote it, or let this one write to a new store"
        )
    names = file.schema_arrow.names
    lacking = [field.name for field in schema if field.name not in names and not field.nullable]
    if lacking:
        raise StoreError(f"{where}: lacks the columns {', '.join(lacking)}; restore the file from a copy")
    return file


def _shared(file: pq.ParquetFile, schema: pa.Schema) -> list[str]:
    """Columns of `schema` that a file has."""
    there = set(file.schema_arrow.names)
    return [name for name in schema.names if name in there]


def _of_schema(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The table with all columns of `schema`, NULL where it lacks one."""
    there = set(table.schema.names)
    columns = [table[field.name] if field.name in there else pa.nulls(len(table), field.type) for field in schema]
    return pa.table(columns, schema=schema)
