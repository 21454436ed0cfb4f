"""The memory store: a critic's rules, prototypes and ledger in Parquet, one whole version after another.

    rules/<version>.parquet   prototypes/<version>.parquet   events/<version>.parquet

Versions are "1", "2", ... and never change: a verdict that was given with an old memory can still be explained. A
version is committed at once (see manifest.py); readers see the newest. If two writers both start from version n, the
second gets an error, and nothing is lost.

    pandas.read_parquet("memory/rules/3.parquet")

The critic decides what the columns may hold (critique/memory/memory.py); here they are rows of plain values.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from storage.schema import StoreError, decode, encode
from storage.shards.manifest import Manifest

Rows = Mapping[str, Sequence[Mapping[str, Any]]]
"""Table -> rows -> column -> value."""


def _columns(**about: tuple[pa.DataType, str]) -> list[pa.Field]:
    return [pa.field(name, type_, metadata={"about": said, "unit": ""}) for name, (type_, said) in about.items()]


_TEXT, _TEXTS, _COUNT, _REAL = pa.string(), pa.list_(pa.string()), pa.int64(), pa.float64()

MEMORY_TABLES = {
    "rules": pa.schema(
        _columns(
            id=(_TEXT, "of the rule; unique in a memory"),
            text=(_TEXT, "the sentence that the critic is shown"),
            tags=(_TEXTS, "what it is about"),
            state=(_TEXT, "admitted, candidate or retired; only admitted ones are shown"),
            uses=(_COUNT, "in how many judgements it was shown"),
            successes=(_COUNT, "in how many of them the critic was right"),
            lift=(_REAL, "mean gain of SRCC on held-out groups; NULL = not tested"),
            origin=(_TEXT, "where it came from"),
            created=(_TEXT, "when, ISO 8601"),
        )
    ),
    "prototypes": pa.schema(
        _columns(
            id=(_TEXT, "of the exemplar; unique in a memory"),
            rationale=(_TEXT, "why it has its score"),
            score=(_REAL, "0..100"),
            tags=(_TEXTS, "what it is about"),
            embedding=(pa.list_(pa.float64()), "its place among the others"),
            embedder=(_TEXT, "what placed it"),
            overlay=(_TEXT, "digest of the picture"),
            picture=(pa.binary(), "the picture, JPEG or PNG"),
            created=(_TEXT, "when, ISO 8601"),
        )
    ),
    "events": pa.schema(
        _columns(
            what=(_TEXT, "what happened to a rule"),
            rule=(_TEXT, "its id"),
            text=(_TEXT, "its sentence then"),
            detail=(_TEXT, "why"),
            lift=(_REAL, "measured gain on held-out groups"),
            low=(_REAL, "lower end of its interval"),
            groups=(_COUNT, "on how many groups"),
            critic=(_TEXT, "name and version"),
            session=(_TEXT, "of reflection"),
            time=(_TEXT, "when, ISO 8601"),
        )
    ),
}


@dataclass(frozen=True)
class MemoryStore:
    """All versions of one memory, under one folder."""

    root: Path

    def versions(self) -> list[str]:
        """The names of all versions, oldest first; empty if nothing was written."""
        return list(self._manifest().shards())

    def read(self, version: str | None = None) -> dict[str, list[dict[str, Any]]]:
        """The rows of each table of a version, the newest by default.

        Raises StoreError if there is no memory, no such version, or if a file is damaged.
        """
        versions = self.versions()
        if not versions:
            raise StoreError(
                f"{self.root}: there is no memory here; make one with `hmr-align reflect`, or bring one with "
                "`hmr-align memory import`"
            )
        chosen = version or versions[-1]
        return {name: self._rows(name, chosen, schema) for name, schema in MEMORY_TABLES.items()}

    def _rows(self, table: str, version: str, schema: pa.Schema) -> list[dict[str, Any]]:
        manifest = self._manifest()
        if manifest.stored(table, version) is None:
            return []
        return decode(manifest.read(table, version), schema, str(manifest.file(table, version))).to_pylist()

    def write(self, rows: Rows, after: str | None) -> str:
        """Commit the version that follows `after` (None = the first) and return its name.

        Raises StoreError if another writer has committed other rows under that version meanwhile.
        """
        version = str(int(after or 0) + 1)
        tables = {
            name: pa.Table.from_pylist([dict(row) for row in rows.get(name, ())], schema=schema)
            for name, schema in MEMORY_TABLES.items()
        }
        files = {name: lambda table=table: encode(table) for name, table in tables.items() if len(table)}
        try:
            self._manifest().commit(version, lambda: _digest(tables), files, {})
        except StoreError as error:
            raise StoreError(
                f"{self.root}: the memory has changed since version {after or 'none'} was read; run again ({error})"
            ) from error
        return version

    def _manifest(self) -> Manifest:
        return Manifest({name: self.root / name for name in MEMORY_TABLES})


def _digest(tables: Mapping[str, pa.Table]) -> str:
    """sha256 of the tables' values, independent of the encoding of the files."""
    return hashlib.sha256(repr([(name, table.to_pylist()) for name, table in tables.items()]).encode()).hexdigest()
