"""Records to tables and back: `rows_of_x(records) -> tables`, `x_of_rows(tables) -> records`. No I/O."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain, pairwise
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from storage.mesh_store import mesh_digest
from storage.records import Group, Mesh, Person, Reply, Verdict
from storage.schema import GROUPS, HYPS, PEOPLE, REPLIES, SCORES, StoreError, shape_of

_FREE_TEXT = ("comment", "text", "finish_reason", "model")
_PERSON_COLUMNS = tuple(PEOPLE.names)
_HYPOTHESIS_ARRAYS = ("latents", "pose", "translation", "joints", "keypoints")


def rows_of_people(people: Sequence[Person]) -> dict[str, pa.Table]:
    """Table `people`, one row per person; raises StoreError for a repeated group_id or arrays of other shapes."""
    _refuse_twins([person.group_id for person in people])
    return {"people": _table(PEOPLE, _person_columns(people))}


def people_of_rows(people: pa.Table, photo_of: Callable[[str, str], str] | None = None) -> list[Person]:
    """The people of a table that has (at least) the columns of `people`.

    photo_of: the path of a photograph, from a person's group_id and the path in the table.
    """
    columns = {name: _rows(people, name) for name in _PERSON_COLUMNS}
    if photo_of:
        columns["photo"] = list(map(photo_of, columns["group_id"], columns["photo"]))
    return [Person(**dict(zip(_PERSON_COLUMNS, values))) for values in zip(*columns.values())]


def rows_of_groups(groups: Sequence[Group]) -> dict[str, pa.Table]:
    """Table `groups`, one row per group, and table `hyps`, one row per hypothesis in the same order.

    Raises StoreError if a group has no hypothesis, its arrays differ in length or shape, or a group_id occurs twice.
    """
    ids = [group.person.group_id for group in groups]
    _refuse_twins(ids)
    for group in groups:
        names = ("zero_start", "synthetic", *_HYPOTHESIS_ARRAYS)
        sizes = {name: len(getattr(group, name)) for name in names} | {"seeds": len(group)}
        if len(set(sizes.values())) > 1 or not len(group):
            raise StoreError(
                f"group {group.person.group_id}: lengths {sizes}; give every array one row per hypothesis, "
                "and at least one hypothesis"
            )
    counts = [len(group) for group in groups]
    per_group = {
        **_person_columns([group.person for group in groups]),
        "hypotheses": counts,
        "model_digest": [group.model_digest for group in groups],
        "temperature": [group.temperature for group in groups],
        "betas": [group.betas[None] for group in groups],
    }
    per_hypothesis = {
        "group_id": _repeated(HYPS.field("group_id"), ids, counts),
        "hypothesis": _places(counts),
        "seed": _joined([group.seeds for group in groups], np.int64),
        "zero_start": _joined([group.zero_start for group in groups], np.bool_),
        "synthetic": _joined([group.synthetic for group in groups], np.bool_),
        **{name: [getattr(group, name) for group in groups] for name in _HYPOTHESIS_ARRAYS},
        "made_by": [maker for group in groups for maker in group.made_by or (None,) * len(group)],
        "shape": [shape for group in groups for shape in _shapes(group)],
        "mesh": [None if one is None else mesh_digest(one) for g in groups for one in g.meshes or (None,) * len(g)],
    }
    return {"groups": _table(GROUPS, per_group), "hyps": _table(HYPS, per_hypothesis)}


def _shapes(group: Group) -> list[NDArray | None]:
    return [None] * len(group) if group.shapes is None else [shape[None] for shape in group.shapes]


def groups_of_rows(
    groups: pa.Table,
    hyps: pa.Table,
    mesh_of: Callable[[str], Mesh] | None = None,
    photo_of: Callable[[str, str], str] | None = None,
) -> list[Group]:
    """The groups of one shard. Rows are paired by position; raises StoreError if their ids do not agree.

    mesh_of: reads a mesh by its name; needed where there are any. photo_of: as for `people_of_rows`.
    """
    sizes = groups["hypotheses"].to_numpy()
    ids = np.repeat(groups["group_id"].to_numpy(), sizes)
    if ids.tolist() != hyps["group_id"].to_pylist():
        raise StoreError("the rows of `hyps` are not those that `groups` names; restore both from a copy")
    columns = {name: _values(hyps, name) for name in ("seed", "zero_start", "synthetic", *_HYPOTHESIS_ARRAYS)}
    makers, meshes = hyps["made_by"].to_pylist(), hyps["mesh"].to_pylist()
    shapes = _values(hyps, "shape")
    shared = zip(*(_rows(groups, name) for name in ("model_digest", "temperature", "betas")))
    ends = np.cumsum(sizes)
    found = []
    for person, size, end, (digest, temperature, betas) in zip(people_of_rows(groups, photo_of), sizes, ends, shared):
        mine = slice(end - size, end)
        own: dict[str, Any] = {name: values[mine].copy() for name, values in columns.items()}
        own |= _brought(makers[mine], shapes[mine], meshes[mine], mesh_of)
        found.append(
            Group(
                person=person,
                model_digest=digest,
                temperature=temperature,
                betas=betas,
                seeds=own.pop("seed"),
                **own,
            )
        )
    return found


def _brought(
    makers: list[str | None], shapes: NDArray, meshes: list[str | None], mesh_of: Callable[[str], Mesh] | None
) -> dict[str, Any]:
    """The fields of a group that only other models' answers need."""
    found: dict[str, Any] = {}
    if any(makers):
        found["made_by"] = tuple(maker or "" for maker in makers)
    if all(shape is not None for shape in shapes):
        found["shapes"] = np.stack(list(shapes)).astype(np.float32)
    if any(meshes):
        if mesh_of is None:
            raise StoreError("the group has meshes, which are read through the store alone")
        found["meshes"] = tuple(None if name is None else mesh_of(name) for name in meshes)
    return found


def rows_of_verdicts(verdicts: Sequence[Verdict]) -> dict[str, pa.Table]:
    """Table `scores`, one row per hypothesis, and table `replies`, one row per call. A NaN becomes NULL.

    Raises StoreError if a group_id occurs twice.
    """
    _refuse_twins([verdict.group_id for verdict in verdicts])
    sizes = [len(verdict.scores) for verdict in verdicts]
    repeated = any(verdict.uncertainty is not None for verdict in verdicts)
    rules = [list(verdict.rules) or None for verdict in verdicts]
    nothing = pa.nulls(sum(sizes))
    scores = {
        "group_id": _repeated(SCORES.field("group_id"), [verdict.group_id for verdict in verdicts], sizes),
        "hypothesis": _places(sizes),
        "score": _joined([verdict.scores for verdict in verdicts]),
        "status": list(chain.from_iterable(verdict.statuses for verdict in verdicts)),
        "comment": list(chain.from_iterable(verdict.comments for verdict in verdicts)),
        "group_seconds": np.repeat([float(verdict.seconds) for verdict in verdicts], sizes),
        "group_cost": np.repeat([float(verdict.cost) for verdict in verdicts], sizes),
        "uncertainty": _joined([_errors(verdict) for verdict in verdicts]) if repeated else nothing,
        "rules": _repeated(SCORES.field("rules"), rules, sizes) if any(rules) else nothing,
    }
    per_call = [
        (verdict.group_id, place, *(getattr(reply, name) for name in REPLIES.names[2:]))
        for verdict in verdicts
        for place, reply in enumerate(verdict.replies)
    ]
    if not per_call:
        return {"scores": _table(SCORES, scores), "replies": REPLIES.empty_table()}
    replies = dict(zip(REPLIES.names, map(list, zip(*per_call))))
    replies["order"] = [list(order) or None for order in replies["order"]]
    return {"scores": _table(SCORES, scores), "replies": _table(REPLIES, replies)}


def verdicts_of_rows(scores: pa.Table, replies: pa.Table, critic: str) -> list[Verdict]:
    """The verdicts of one shard, in the order in which they were written. A NULL becomes NaN."""
    calls: dict[str, list[Reply]] = {}
    for row in replies.to_pylist():
        details = {name: row[name] for name in REPLIES.names[2:]}
        details["order"] = tuple(row["order"] or ())
        reply = Reply(**details)
        calls.setdefault(row["group_id"], []).append(reply)
    ids = scores["group_id"].to_pylist()
    starts = [row for row, id_ in enumerate(ids) if row == 0 or id_ != ids[row - 1]]
    once = scores.select(["group_seconds", "group_cost", "rules"]).take(pa.array(starts, pa.int64())).to_pydict()
    values, errors = _values(scores, "score"), _values(scores, "uncertainty")
    statuses, comments = scores["status"].to_pylist(), scores["comment"].to_pylist()
    return [
        Verdict(
            group_id=ids[start],
            critic=critic,
            scores=values[start:stop].astype(np.float64),
            statuses=tuple(statuses[start:stop]),
            comments=tuple(comments[start:stop]),
            seconds=once["group_seconds"][place],
            cost=once["group_cost"][place],
            replies=tuple(calls.get(ids[start], ())),
            uncertainty=_known(errors[start:stop].astype(np.float64)),
            rules=tuple(once["rules"][place] or ()),
        )
        for place, (start, stop) in enumerate(pairwise([*starts, len(ids)]))
    ]


def _errors(verdict: Verdict) -> NDArray[np.float64]:
    return np.repeat(np.nan, len(verdict.scores)) if verdict.uncertainty is None else verdict.uncertainty


def _joined(parts: Sequence[NDArray], dtype: type = np.float64) -> NDArray:
    return np.concatenate([np.empty(0, dtype), *parts], dtype=dtype)


def _repeated(field: pa.Field, values: list, sizes: list[int]) -> pa.Array:
    """A column that has each value as often as its size says."""
    return _packed(field, values).take(pa.array(np.repeat(np.arange(len(sizes)), sizes)))


def _places(sizes: list[int]) -> NDArray[np.int64]:
    """0, 1, ... up to each size, one after the other."""
    return np.arange(sum(sizes)) - np.repeat(np.cumsum([0, *sizes])[:-1], sizes)


def _known(errors: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Standard errors, or None if there is not one (also in a file from before they were kept)."""
    return None if np.isnan(errors).all() else errors


def content_digest(tables: dict[str, pa.Table]) -> str:
    """sha256 of the tables' values, independent of the version of pyarrow and the encoding of the files.

    Durations are left out, since they differ between equal runs, and so are columns with only NULLs, since a nullable
    column may be added later.
    """
    digest = hashlib.sha256()
    for name, field, column in _compared(tables):
        # In one piece: each longer update lets other threads run, and waits until it may go on.
        digest.update(b"".join([f"{name}.{field.name}[{len(column)}]".encode(), *_parts(column, field.nullable)]))
    return f"2:{digest.hexdigest()}"


def earlier_content_digest(tables: dict[str, pa.Table]) -> str:
    """The same as version 0.1 computed it, several times slower: stores that it wrote go on with it."""
    digest = hashlib.sha256()
    for name, field, column in _compared(tables):
        digest.update(f"{name}.{field.name}[{len(column)}]".encode())
        if shape_of(field) and not field.nullable:
            digest.update(np.ascontiguousarray(_values(tables[name], field.name)).reshape(-1).view(np.uint8).data)
        else:
            digest.update(json.dumps(_plain(column)).encode())
    return digest.hexdigest()


def _compared(tables: dict[str, pa.Table]) -> Iterator[tuple[str, pa.Field, pa.Array]]:
    """The columns that make two shards equal or not, each with its table's name."""
    for name, table in tables.items():
        for field in table.schema:
            column = _whole(table[field.name])
            if b"measured" in field.metadata or (field.nullable and column.null_count == len(column)):
                continue
            yield name, field, column


def _parts(column: pa.Array, nullable: bool) -> Iterator[memoryview]:
    """The values of a column as bytes: which are there, how long each is, and what they hold."""
    kind = column.type
    if nullable:
        yield column.is_valid().to_numpy(zero_copy_only=False).data
    if pa.types.is_list(kind):
        yield column.value_lengths().fill_null(0).to_numpy(zero_copy_only=False).data
        yield from _parts(column.flatten(), True)
    elif pa.types.is_fixed_size_list(kind):
        yield from _parts(column.flatten(), False)
    elif pa.types.is_string(kind):
        _, places, text = column.buffers()
        ends = np.frombuffer(places, np.int32)[column.offset : column.offset + len(column) + 1] if len(column) else []
        yield np.diff(ends).data
        if text is not None and len(column):
            yield memoryview(text)[ends[0] : ends[-1]]
    elif pa.types.is_fixed_size_binary(kind):
        size = kind.byte_width
        yield memoryview(column.buffers()[1] or b"")[column.offset * size : (column.offset + len(column)) * size]
    else:
        known = column.fill_null(False if pa.types.is_boolean(kind) else 0) if column.null_count else column
        yield np.ascontiguousarray(known.to_numpy(zero_copy_only=False)).data


def _plain(column: pa.Array) -> list:
    """As `column.to_pylist()`, which is slow for lists of many numbers."""
    if not pa.types.is_fixed_size_list(column.type):
        return column.to_pylist()
    width = column.type.list_size
    present = iter(column.flatten().to_numpy(zero_copy_only=False).reshape(-1, width).tolist())
    return [next(present) if known else None for known in column.is_valid().to_pylist()]


def _person_columns(people: Sequence[Person]) -> dict[str, list]:
    """Columns of people: arrays with a leading axis of one row, for `_table` to join."""
    values = {name: [getattr(person, name) for person in people] for name in _PERSON_COLUMNS}
    return {
        name: [value if value is None else value[None] for value in found] if shape_of(PEOPLE.field(name)) else found
        for name, found in values.items()
    }


def _table(schema: pa.Schema, columns: Mapping[str, list | NDArray | pa.Array]) -> pa.Table:
    return pa.table([_packed(field, columns[field.name]) for field in schema], schema=schema)


def _packed(field: pa.Field, values: list | NDArray | pa.Array) -> pa.Array:
    """One column from numbers (NaN as NULL if from an array), words, a list of arrays (rows, *shape), or a column."""
    if not isinstance(values, list | np.ndarray):
        return values.cast(field.type)
    shape = shape_of(field)
    if pa.types.is_string(field.type):
        try:
            return pa.array(values, field.type)
        except UnicodeEncodeError:
            return pa.array([_text(field.name, value) for value in values], field.type)
    if not shape:
        return pa.array(values, field.type, from_pandas=isinstance(values, np.ndarray))
    dtype = np.dtype(np.uint8 if pa.types.is_fixed_size_binary(field.type) else np.float32)
    missing = [field.nullable and value is None for value in values]
    values = [np.zeros((1, *shape), dtype) if gone else value for value, gone in zip(values, missing)]
    for value in values:
        if value.shape[1:] != shape or not np.can_cast(value.dtype, dtype, "same_kind"):
            raise StoreError(
                f"{field.name} is {value.dtype} of shape {value.shape[1:]} in each row; "
                f"the store keeps {dtype} of shape {shape}"
            )
    rows = np.concatenate([np.empty((0, *shape), dtype), *values], dtype=dtype, casting="same_kind")
    if dtype == np.uint8:
        return pa.Array.from_buffers(field.type, len(rows), [None, pa.py_buffer(rows)])
    mask = pa.array(missing) if any(missing) else None
    return pa.FixedSizeListArray.from_arrays(pa.array(rows.reshape(-1)), type=field.type, mask=mask)


def _values(table: pa.Table, name: str) -> NDArray:
    """One column as an array (rows, *shape); words as objects."""
    column, shape = _whole(table[name]), shape_of(table.schema.field(name))
    if pa.types.is_fixed_size_binary(column.type):
        size, (_, values) = column.type.byte_width, column.buffers()
        found = np.frombuffer(values or b"", np.uint8)[column.offset * size : (column.offset + len(column)) * size]
        return found.reshape(-1, *shape)
    if pa.types.is_fixed_size_list(column.type) and column.null_count:
        present = iter(column.flatten().to_numpy(zero_copy_only=False).reshape(-1, *shape))
        rows = [next(present) if known else None for known in column.is_valid().to_pylist()]
        return np.fromiter(rows, object, len(rows))
    if pa.types.is_fixed_size_list(column.type):
        return column.flatten().to_numpy(zero_copy_only=False).reshape(-1, *shape)
    return column.to_numpy(zero_copy_only=False)


def _whole(column: pa.ChunkedArray) -> pa.Array:
    """A column in one piece; copied only if it is in several."""
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _rows(table: pa.Table, name: str) -> list:
    """The values of one column: words, plain numbers, or arrays of their own (so that the column can go)."""
    values = _values(table, name)
    if not shape_of(table.schema.field(name)):
        return values.tolist()
    return [value if value is None else value.copy() for value in values]


def _text(column: str, value: str) -> str:
    """`value`, which Parquet keeps as UTF-8; half a surrogate pair in a critic's text becomes "?"."""
    try:
        value.encode()
    except UnicodeEncodeError as error:
        if column not in _FREE_TEXT:
            raise StoreError(f"{column} {value!r} cannot be written in UTF-8; rename the file") from error
        return value.encode(errors="replace").decode()
    return value


def _refuse_twins(ids: list[str]) -> None:
    twins = sorted({id_ for id_ in ids if ids.count(id_) > 1}) if len(set(ids)) < len(ids) else []
    if twins:
        raise StoreError(f"group_id {', '.join(twins)} occurs twice in one shard; write each group once")
