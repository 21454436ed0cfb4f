"""The manifest: which shards a table has. Writing it is the commit, and readers use nothing else.

    _manifest.json      {"schema": 2, "journal": 1}
    _journal-1.jsonl    see `storage.journal`; one line per shard: its name, and the fields of `StoredShard`

A shard is one Parquet file in each table of a set that is written together (`groups` with `hyps`, `scores`
with `replies`); a table without rows has no file. The files are put in place one by one, each by temporary file,
fsync, replace and fsync of the folder. Then a line is appended to the journal, which takes the same time for any number
of shards. A writer that is killed in between leaves files that no reader looks at and that the next writer of the
shard replaces. A lock held from reading the manifest to the end of the commit keeps two writers from losing each
other's shards. To remove shards, a new journal is written, and the manifest is replaced by one that names it.

Version 0.1 kept the shards themselves in `_manifest.json`. That is read too; the next commit turns it into a journal.
"""

import fcntl
import hashlib
import json
import re
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from mmap import mmap
from pathlib import Path
from typing import Any, NamedTuple
from zlib import crc32

from storage.finished_file import UNFINISHED, make_folder, remove_strays, write_bytes, write_text
from storage.journal import START, Count, append, lines_since, parsed, read_head, write_journal
from storage.schema import Encoded, StoreError

# Readers of a folder of Parquet files (pandas, Spark) ignore files with a leading underscore.
_MANIFEST, _LOCK, _TEMPORARY = "_manifest.json", "_lock", "_tmp-"  # the last by programs of version 0.1
_PART = re.compile(r"(.+)\+[0-9]+")
_ALL_IN_ONE, _FORMAT = 1, 2  # the first is of version 0.1


class StoredFile(NamedTuple):
    """The manifest's entry of one file."""

    rows: int
    sha256: str
    blocks: tuple[tuple[int, int], ...] = ()  # bytes and crc32 of each: see `Encoded`; none by version 0.1


class StoredShard(NamedTuple):
    """The manifest's entry of one shard: the fields are those of a line of the journal."""

    content: str  # digest of the records, see rows.content_digest
    written_ns: int  # when it was committed, ns since 1970
    files: dict[str, list]  # by table: rows, sha256, and bytes and crc32 of each block; a table without rows has none
    noted: dict[str, Any]  # by the writer, so that a list of shards needs no file of them

    def file(self, table: str) -> StoredFile | None:
        """The entry of one file; None for a table without rows. Made on demand: there may be tens of thousands."""
        if table not in self.files:
            return None
        rows, sha256, *blocks = self.files[table]
        return StoredFile(rows, sha256, tuple(zip(blocks[::2], blocks[1::2])))


class NewFile(NamedTuple):
    """A file to commit."""

    content: bytes | memoryview
    stored: StoredFile


@dataclass(frozen=True)
class Manifest:
    """The shards of one version of a set of tables; one folder per table, the first has the manifest."""

    folders: dict[str, Path]

    @property
    def path(self) -> Path:
        """The path of the manifest's file."""
        return next(iter(self.folders.values())) / _MANIFEST

    def file(self, table: str, shard: str) -> Path:
        """The path of a shard's Parquet file in a table's folder; it need not exist."""
        return self.folders[table] / f"{shard}.parquet"

    def shards(self) -> dict[str, StoredShard]:
        """Every committed shard by name, in natural order (2 before 10); empty if nothing was written.

        Raises StoreError if the manifest or its journal is damaged.
        """
        known = _reading(self.path).shards.copy()  # another thread may be adding to it
        return {name: known[name] for name in sorted(known, key=natural)}

    def find(self, shard: str) -> StoredShard | None:
        """One shard, or None; as fast with many shards as with few. Raises StoreError if the manifest is damaged."""
        return _reading(self.path).shards.get(shard)

    def numbered(self, shard: str) -> list[str]:
        """The shard's own name, if it is there, and those of its parts (shard+1, shard+2)."""
        known = _reading(self.path)
        return [name for name in (shard, *known.parts.get(shard, ())) if name in known.shards]

    def stored(self, table: str, shard: str) -> StoredFile | None:
        """The entry of a file; None for a table without rows. Raises StoreError for an unknown shard."""
        known = self.find(shard)
        if known is None:
            names = list(self.shards())
            details = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
            raise StoreError(f"{self.path.parent}: has no shard '{shard}'; it has {details or 'none'}")
        return known.file(table)

    def read(self, table: str, shard: str) -> bytes:
        """The bytes of one file, as they were committed.

        Raises StoreError if the shard is unknown, has no rows in this table, or if the file is lost or damaged.
        """
        stored, path = self.stored(table, shard), self.file(table, shard)
        if stored is None:
            raise StoreError(f"{path}: the shard has no rows in this table, so it has no file")
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            raise _damaged(path, "lost") from None
        if not _as_written(content, stored):
            raise _damaged(path, "changed or cut short")
        return content

    def commit(self, shard: str, content: str, files: Mapping[str, NewFile], noted: Mapping[str, Any]) -> bool:
        """Add a shard, given the file of each table that has rows; False if it is there already.

        Raises StoreError if a shard with other content has that name. One with equal content and damaged files is
        written again.
        """
        with self._lock():
            reading = _reading(self.path)
            known = reading.shards.get(shard)
            if known and known.content != content:
                raise StoreError(
                    f"{self.path.parent}: shard '{shard}' is there already, with other content; the store "
                    "only grows: write under another shard, run or generation name"
                )
            if known and not self.damage(shard):
                return False
            for table, file in files.items():
                write_bytes(self.file(table, shard), file.content)
            stored = {table: _as_list(file.stored) for table, file in files.items()}
            committed = StoredShard(content, known.written_ns if known else time.time_ns(), stored, dict(noted))
            self._add(reading, shard, committed)
            return True

    def damage(self, shard: str) -> list[str]:
        """Faults of a shard's files, one sentence each; raises StoreError only if the manifest itself is damaged."""
        problems = []
        known = self.find(shard)
        for table, (_, sha256, *_) in known.files.items() if known else ():
            try:
                if hashlib.sha256(self.read(table, shard)).hexdigest() != sha256:
                    raise _damaged(self.file(table, shard), "changed or cut short")
            except StoreError as error:
                problems.append(str(error))
        return problems

    def all_damage(self) -> list[str]:
        """Faults of the manifest, as it is on disk now, and of the files of all its shards."""
        _readings.pop(self.path, None)
        try:
            return [problem for shard in self.shards() for problem in self.damage(shard)]
        except StoreError as error:
            return [str(error)]

    def sweep(self, damaged: bool) -> list[Path]:
        """Remove the files that belong to no shard, and return their paths; with `damaged`, damaged shards too."""
        with self._lock():
            shards = self.shards()
            if damaged:
                whole = {name: shard for name, shard in shards.items() if not self.damage(name)}
                if len(whole) < len(shards):
                    self._start_journal(_reading(self.path), whole)
                    shards = whole
            kept = {self.file(table, name) for name, shard in shards.items() for table in shard.files}
            kept.add(_journal(self.path, _reading(self.path).number))
            patterns = ("*.parquet", f"{_TEMPORARY}*", "_journal-*.jsonl")
            found = {path for folder in self.folders.values() for like in patterns for path in folder.glob(like)}
            strays = sorted(path for path in found - kept if not path.name.startswith(UNFINISHED))
            for path in strays:
                path.unlink()
            return strays + [path for folder in self.folders.values() for path in remove_strays(folder)]

    def _add(self, known: "_Reading", name: str, shard: StoredShard) -> None:
        """Commit a shard; for the holder of the lock, who knows what is there."""
        if not known.number:
            self._start_journal(known, known.shards | {name: shard})
            return
        journal = _journal(self.path, known.number)
        appended = append(journal, known.head, known.counted, _line(name, shard))
        if appended is None:
            raise _damaged_journal(journal)
        _hold(known, name, shard)
        _remember(self.path, known._replace(head=appended[0], counted=appended[1]))

    def _start_journal(self, known: "_Reading", shards: Mapping[str, StoredShard]) -> None:
        """Commit these shards in place of those that are known to be there; for the holder of the lock."""
        number = known.number + 1
        write_journal(_journal(self.path, number), b"".join(_line(name, shard) for name, shard in shards.items()))
        write_text(self.path, json.dumps({"schema": _FORMAT, "journal": number}))
        if known.number:
            _journal(self.path, known.number).unlink(missing_ok=True)

    @contextmanager
    def _lock(self) -> Iterator[None]:
        """Hold the one lock of this manifest; it is released when the process ends, in any way."""
        for folder in self.folders.values():
            make_folder(folder)
        with open(self.path.with_name(_LOCK), "a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def new_file(encoded: Encoded) -> NewFile:
    """The file of a table, with its entry for the manifest."""
    blocks, start = [], 0
    for size in encoded.blocks:
        blocks.append((size, crc32(encoded.content[start : start + size])))
        start += size
    sha256 = hashlib.sha256(encoded.content).hexdigest()
    return NewFile(encoded.content, StoredFile(encoded.rows, sha256, tuple(blocks)))


def _as_written(content: bytes, stored: StoredFile) -> bool:
    """Whether these are the bytes of a file. Checksums of blocks take less than half as long as sha256."""
    if not stored.blocks:
        return hashlib.sha256(content).hexdigest() == stored.sha256
    view = memoryview(content)
    return len(content) == sum(size for size, _ in stored.blocks) and all(
        crc32(view[start : start + size]) == check for start, size, check in _placed(stored)
    )


class PartlyRead:
    """A file of which only the requested blocks are read; the others are zeros."""

    def __init__(self, path: Path, stored: StoredFile) -> None:
        self.path, self._placed = path, _placed(stored)
        # The system gives memory only for pages that are written to.
        self.content = memoryview(mmap(-1, sum(size for size, _ in stored.blocks)))

    def fetch(self, blocks: Collection[int]) -> None:
        """Read some blocks into `content`; raises StoreError if the file is lost, changed or cut short."""
        try:
            with open(self.path, "rb") as file:
                for start, size, check in (self._placed[block] for block in blocks):
                    file.seek(start)
                    part = self.content[start : start + size]
                    if file.readinto(part) != size or crc32(part) != check:
                        raise _damaged(self.path, "changed or cut short")
        except FileNotFoundError:
            raise _damaged(self.path, "lost") from None


def _placed(stored: StoredFile) -> list[tuple[int, int, int]]:
    """Start, bytes and crc32 of each block."""
    placed, start = [], 0
    for size, check in stored.blocks:
        placed.append((start, size, check))
        start += size
    return placed


def _damaged(path: Path, how: str) -> StoreError:
    return StoreError(
        f"{path}: {how} since it was written (its checksum is not the one in the manifest); restore it from a copy, "
        "or call sweep(damaged=True) on the store and run again what made it"
    )


def _damaged_journal(path: Path) -> StoreError:
    return StoreError(
        f"{path}: {'changed or cut short' if path.exists() else 'lost'} since it was written; restore it from a copy, "
        f"together with {_MANIFEST}"
    )


class _Reading(NamedTuple):
    """What this process has read of a manifest. `shards` and `parts` grow with the journal, in all readings."""

    number: int  # of the journal; 0 = there is none, or version 0.1 wrote the manifest
    head: bytes  # of the journal, as it was then
    counted: Count
    shards: dict[str, StoredShard]
    parts: dict[str, dict[str, None]]  # name -> the names with +k behind it


_readings: dict[Path, _Reading] = {}
_MOST_READINGS = 64


def _reading(path: Path) -> _Reading:
    """The present content of a manifest; if its journal has grown since the last reading, only new lines are read."""
    try:
        details = path.read_bytes()
    except FileNotFoundError:
        return _empty(0)
    said = _said(path, details)
    if isinstance(said, _Reading):
        return said
    journal, before = _journal(path, said), _readings.get(path, _empty(said))
    head = read_head(journal)
    if head and (said, head) == (before.number, before.head):
        return before
    for known in (before, _empty(said)) if before.number == said else (_empty(said),):
        found = lines_since(journal, head, known.counted)
        if found:
            read = _with_lines(path, known._replace(head=head, counted=found[0]), found[1])
            _remember(path, read)
            return read
    if path.read_bytes() == details and read_head(journal) == head:
        raise _damaged_journal(journal)
    return _reading(path)  # someone wrote to it while we read


def _remember(path: Path, reading: _Reading) -> None:
    if len(_readings) >= _MOST_READINGS:
        _readings.clear()
    _readings[path] = reading


def _empty(number: int) -> _Reading:
    return _Reading(number, b"", START, {}, {})


def _journal(path: Path, number: int) -> Path:
    return path.with_name(f"_journal-{number}.jsonl")


@lru_cache(maxsize=64)
def _said(path: Path, details: bytes) -> int | _Reading:
    """The content of `_manifest.json`: the number of the journal or, in version 0.1, the shards themselves."""
    try:
        said = json.loads(details)
        if said["schema"] == _FORMAT:
            return int(said["journal"])
        if said["schema"] != _ALL_IN_ONE:
            raise StoreError(
                f"{path}: schema version {said['schema']}, this program reads versions {_ALL_IN_ONE} and {_FORMAT}; "
                "use the program that wrote it, or let this one write to a new store"
            )
        reading = _empty(0)
        for name, shard in said["shards"].items():
            _hold(reading, name, _of_version_0_1(**shard))
        return reading
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreError(f"{path}: not a manifest ({error!r}); restore it from a copy") from error


def _with_lines(path: Path, reading: _Reading, lines: bytes) -> _Reading:
    """The reading with the shards of these lines too; of two lines on one shard the later counts."""
    try:
        for name, *fields in parsed(lines):
            _hold(reading, name, StoredShard(*fields))
    except (ValueError, TypeError) as error:
        raise StoreError(f"{path}: lines of its journal are no shards ({error!r}); restore both from a copy") from error
    return reading


def _hold(reading: _Reading, name: str, shard: StoredShard) -> None:
    """Add a shard to a reading."""
    if "/" in name:
        raise ValueError(f"shard '{name}' lies in no folder of the store")
    reading.shards[name] = shard
    if "+" in name and (part := _PART.fullmatch(name)):
        reading.parts.setdefault(part[1], {})[name] = None


def _of_version_0_1(content: str, written_ns: int, files: dict[str, dict[str, Any]]) -> StoredShard:
    stored = {table: _as_list(StoredFile(**file)) for table, file in files.items()}
    return StoredShard(content, written_ns, stored, {})


def _as_list(file: StoredFile) -> list:
    """As `Shard.files` has it."""
    return [file.rows, file.sha256, *(number for block in file.blocks for number in block)]


def _line(name: str, shard: StoredShard) -> bytes:
    return json.dumps([name, *shard]).encode() + b"\n"


@lru_cache(maxsize=1 << 17)
def natural(name: str) -> tuple[str | int, ...]:
    """Sort key under which "round2" comes before "round10"."""
    return tuple(int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", name))
