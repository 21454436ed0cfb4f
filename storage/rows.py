"""Records to tables and back: `rows_of_x(records) -> tables`, `x_of_rows(tables) -> records`. No I/O."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from storage.records import Group, Person, Reply, Verdict
from storage.schema import GROUPS, HYPS, PEOPLE, REPLIES, SCORES, StoreError, shape_of

_FREE_TEXT = ("comment", "text", "finish_reason", "model")
_PERSON_COLUMNS = tuple(PEOPLE.names)
_HYPOTHESIS_ARRAYS = ("latents", "pose", "translation", "joints", "keypoints")


def rows_of_people(people: Sequence[Person]) -> dict[str, pa.Table]:
    """Table `people`, one row per person."""
    _refuse_twins([person.group_id for person in people])
    return {"people": _table(PEOPLE, _person_columns(people))}


def people_of_rows(people: pa.Table) -> list[Person]:
    """The people of a table that has (at least) the columns of `people`."""
    columns = {name: _values(people, name) for name in _PERSON_COLUMNS}
    return [Person(**{name: _own(columns[name][row]) for name in columns}) for row in range(len(people))]


def rows_of_groups(groups: Sequence[Group]) -> dict[str, pa.Table]:
    """Table `groups`, one row per group, and table `hyps`, one row per hypothesis in the same order."""
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
    per_group = {
        **_person_columns([group.person for group in groups]),
        "hypotheses": [len(group) for group in groups],
        "model_digest": [group.model_digest for group in groups],
        "temperature": [group.temperature for group in groups],
        "betas": [group.betas[None] for group in groups],
    }
    per_hypothesis = {
        "group_id": [id_ for id_, group in zip(ids, groups) for _ in range(len(group))],
        "hypothesis": [place for group in groups for place in range(len(group))],
        "seed": [int(seed) for group in groups for seed in group.seeds],
        "zero_start": [bool(flag) for group in groups for flag in group.zero_start],
        "synthetic": [bool(flag) for group in groups for flag in group.synthetic],
        **{name: [getattr(group, name) for group in groups] for name in _HYPOTHESIS_ARRAYS},
    }
    return {"groups": _table(GROUPS, per_group), "hyps": _table(HYPS, per_hypothesis)}


def groups_of_rows(groups: pa.Table, hyps: pa.Table) -> list[Group]:
    """The groups of one shard. Rows are paired by position; that their ids agree is checked."""
    sizes = groups["hypotheses"].to_numpy()
    ids = np.repeat(groups["group_id"].to_numpy(), sizes)
    if ids.tolist() != hyps["group_id"].to_pylist():
        raise StoreError("the rows of `hyps` are not those that `groups` names; restore both from a copy")
    columns = {name: _values(hyps, name) for name in ("seed", "zero_start", "synthetic", *_HYPOTHESIS_ARRAYS)}
    model_digests, temperatures = _values(groups, "model_digest"), _values(groups, "temperature")
    betas = _values(groups, "betas")
    ends = np.cumsum(sizes)
    found = []
    for row, person in enumerate(people_of_rows(groups)):
        own = {name: values[ends[row] - sizes[row] : ends[row]].copy() for name, values in columns.items()}
        found.append(
            Group(
                person=person,
                model_digest=model_digests[row],
                temperature=float(temperatures[row]),
                betas=betas[row].copy(),
                seeds=own.pop("seed"),
                **own,
            )
        )
    return found


def rows_of_verdicts(verdicts: Sequence[Verdict]) -> dict[str, pa.Table]:
    """Table `scores`, one row per hypothesis, and table `replies`, one row per call. A NaN becomes NULL."""
    _refuse_twins([verdict.group_id for verdict in verdicts])
    per_hypothesis = [
        (verdict.group_id, place, score, status, comment, verdict.seconds, verdict.cost, error, rules)
        for verdict in verdicts
        for rules in (list(verdict.rules) or None,)
        for place, (score, status, comment, error) in enumerate(
            zip(_nulls(verdict.scores), verdict.statuses, verdict.comments, _errors(verdict))
        )
    ]
    scores = dict(zip(SCORES.names, _columns(per_hypothesis, len(SCORES))))
    per_call = [
        (verdict.group_id, place, *(getattr(reply, name) for name in REPLIES.names[2:]))
        for verdict in verdicts
        for place, reply in enumerate(verdict.replies)
    ]
    replies = dict(zip(REPLIES.names, _columns(per_call, len(REPLIES))))
    replies["order"] = [list(order) or None for order in replies["order"]]
    return {"scores": _table(SCORES, scores), "replies": _table(REPLIES, replies)}


def verdicts_of_rows(scores: pa.Table, replies: pa.Table, critic: str) -> list[Verdict]:
    """The verdicts of one shard, in the order in which they were written. A NULL becomes NaN."""
    calls: dict[str, list[Reply]] = {}
    for row in replies.to_pylist():
        told = {name: row[name] for name in REPLIES.names[2:]}
        told["order"] = tuple(row["order"] or ())
        reply = Reply(**told)
        calls.setdefault(row["group_id"], []).append(reply)
    verdicts = []
    for group_id, found in groupby(scores.to_pylist(), key=lambda row: row["group_id"]):
        rows = list(found)
        verdicts.append(
            Verdict(
                group_id=group_id,
                critic=critic,
                scores=_numbers(row["score"] for row in rows),
                statuses=tuple(row["status"] for row in rows),
                comments=tuple(row["comment"] for row in rows),
                seconds=rows[0]["group_seconds"],
                cost=rows[0]["group_cost"],
                replies=tuple(calls.get(group_id, ())),
                uncertainty=_known(_numbers(row["uncertainty"] for row in rows)),
                rules=tuple(rows[0]["rules"] or ()),
            )
        )
    return verdicts


def _nulls(values: NDArray[np.float64]) -> list[float | None]:
    return [None if np.isnan(value) else value for value in values.tolist()]


def _numbers(values: Iterable[float | None]) -> NDArray[np.float64]:
    return np.array([np.nan if value is None else value for value in values], np.float64)


def _errors(verdict: Verdict) -> list[float | None]:
    return [None] * len(verdict.scores) if verdict.uncertainty is None else _nulls(verdict.uncertainty)


def _known(errors: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Standard errors, or None if there is not one (also in a file from before they were kept)."""
    return None if np.isnan(errors).all() else errors


def content_digest(tables: dict[str, pa.Table]) -> str:
    """sha256 of what tables say, whatever the version of pyarrow and the encoding of the files.

    Durations are left out, since a second run of equal work takes another time, and so are columns of NULLs
    alone, since a nullable column may be added later.
    """
    digest = hashlib.sha256()
    for name, table in tables.items():
        for field in table.schema:
            column = table[field.name].combine_chunks()
            if b"measured" in field.metadata or (field.nullable and column.null_count == len(column)):
                continue
            digest.update(f"{name}.{field.name}[{len(column)}]".encode())
            if shape_of(field) and not field.nullable:
                digest.update(_values(table, field.name).tobytes())
            else:
                digest.update(json.dumps(column.to_pylist()).encode())
    return digest.hexdigest()


def _person_columns(people: Sequence[Person]) -> dict[str, list]:
    """Columns of people: arrays with a leading axis of one row, for `_table` to join."""
    values = {name: [getattr(person, name) for person in people] for name in _PERSON_COLUMNS}
    return {
        name: [value if value is None else value[None] for value in found] if shape_of(PEOPLE.field(name)) else found
        for name, found in values.items()
    }


def _table(schema: pa.Schema, columns: dict[str, list]) -> pa.Table:
    return pa.table([_packed(field, columns[field.name]) for field in schema], schema=schema)


def _packed(field: pa.Field, values: list) -> pa.Array:
    """One column from a list of numbers or words, or from a list of (rows, *shape) arrays."""
    shape = shape_of(field)
    if pa.types.is_string(field.type):
        return pa.array([_text(field.name, value) for value in values], field.type)
    if not shape:
        return pa.array(values, field.type)
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
    column, shape = table[name].combine_chunks(), shape_of(table.schema.field(name))
    if pa.types.is_fixed_size_binary(column.type):
        return np.frombuffer(b"".join(column.to_pylist()), np.uint8).reshape(-1, *shape)
    if pa.types.is_fixed_size_list(column.type) and column.null_count:
        rows = [None if row is None else np.array(row, np.float32).reshape(shape) for row in column.to_pylist()]
        return np.fromiter(rows, object, len(rows))
    if pa.types.is_fixed_size_list(column.type):
        return column.flatten().to_numpy(zero_copy_only=False).reshape(-1, *shape)
    return column.to_numpy(zero_copy_only=False)


def _own(value: Any) -> Any:
    """A value without its column: a copy of an array (so that the column can go), a plain number."""
    if isinstance(value, np.ndarray):
        return value.copy()
    return value.item() if isinstance(value, np.generic) else value


def _columns(rows: list[tuple], width: int) -> list[list]:
    return [list(column) for column in zip(*rows)] if rows else [[] for _ in range(width)]


def _text(column: str, value: str) -> str:
    """`value`, which Parquet keeps as UTF-8; half a surrogate pair in a critic's words becomes "?"."""
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
