"""Commits in a folder of this machine or of a shared disk: a journal, and a lock around each commit.

    _manifest.json      {"schema": 2, "journal": 1}
    _journal-1.jsonl    see `storage.shards.journal`; its lines are those of `storage.shards.entries`

A commit appends a line to the journal, which takes the same time for any number of shards. A lock held from reading the
manifest to the end of the commit keeps two writers from losing each other's shards; it is released when the process
ends, in any way. To remove shards, a new journal is written, and the manifest is replaced by one that names it.

Version 0.1 kept the shards themselves in `_manifest.json`. That is read too; the next commit turns it into a journal.
"""

import fcntl
import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from storage.finished_file import (
    UNFINISHED,
    make_folder,
    put_in_place,
    remove_strays,
    small_file,
    unfinished_file,
    write_text,
)
from storage.schema import StoreError
from storage.shards.entries import Reading, StoredFile, StoredShard, lines_of, with_lines
from storage.shards.journal import append, lines_since, read_head, write_journal

# Readers of a folder of Parquet files (pandas, Spark) ignore files with a leading underscore.
MANIFEST = "_manifest.json"
_LOCK, _TEMPORARY = "_lock", "_tmp-"  # the last by programs of version 0.1
_ALL_IN_ONE, _FORMAT = 1, 2  # the first is of version 0.1

_readings: dict[Path, Reading] = {}
_MOST_READINGS = 64


@dataclass(frozen=True)
class LocalLog:
    """The commits of one version of a set of tables; the first of the folders has the manifest."""

    folders: dict[str, Path]

    @cached_property
    def path(self) -> Path:
        """The manifest's file."""
        return next(iter(self.folders.values())) / MANIFEST

    def file(self, table: str, shard: str, stored: StoredFile | None) -> Path:
        """The path of a shard's Parquet file."""
        return self.folders[table] / f"{shard}.parquet"

    def begun(self) -> bool:
        """Whether anything was committed."""
        return self.path.exists()

    def forget(self) -> None:
        """The next reading is one of the disk alone."""
        _readings.pop(self.path, None)

    def reading(self) -> Reading:
        """The present content; if the journal has grown since the last reading, only new lines are read."""
        details = small_file(self.path)
        if details is None:
            return Reading.empty(0)
        said = _said(self.path, details)
        if isinstance(said, Reading):
            return said
        journal, before = self._journal(said), _readings.get(self.path, Reading.empty(said))
        head = read_head(journal)
        if head and (said, head) == (before.number, before.head):
            return before
        for known in (before, Reading.empty(said)) if before.number == said else (Reading.empty(said),):
            found = lines_since(journal, head, known.counted)
            if found:
                read = self._with_lines(known._replace(head=head, counted=found[0]), found[1])
                self._remember(read)
                return read
        if small_file(self.path) == details and read_head(journal) == head:
            raise _damaged_journal(journal)
        return self.reading()  # someone wrote to it while we read

    def known(self, shard: str) -> StoredShard | None:
        """One shard, or None."""
        return self.reading().shards.get(shard)

    def start(self) -> Reading:
        """What to commit after."""
        return self.reading()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the one lock of this manifest."""
        for folder in self.folders.values():
            make_folder(folder)
        handle = os.open(self.path.with_name(_LOCK), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    @contextmanager
    def written(self, path: Path, content: bytes | memoryview) -> Iterator[Path]:
        """The bytes on disk beside their place; gone after the block, unless `put` moved them there."""
        with unfinished_file(path) as unfinished:
            with open(unfinished, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            yield unfinished

    def put(self, files: Mapping[Path, Path]) -> None:
        """Move written files to their places."""
        put_in_place(files)

    def add(self, known: Reading, shards: Mapping[str, StoredShard]) -> bool:
        """Commit shards; for the holder of the lock, who knows what is there. Always true."""
        if not known.number:
            self.replace(known, {**known.shards, **shards})
            return True
        journal = self._journal(known.number)
        appended = append(journal, known.head, known.counted, lines_of(shards.items()))
        if appended is None:
            raise _damaged_journal(journal)
        for name, shard in shards.items():
            known.hold(name, shard)
        self._remember(known._replace(head=appended[0], counted=appended[1]))
        return True

    def replace(self, known: Reading, shards: Mapping[str, StoredShard]) -> bool:
        """Commit these shards in place of those that are known to be there; for the holder of the lock."""
        number = known.number + 1
        write_journal(self._journal(number), lines_of(shards.items()))
        write_text(self.path, json.dumps({"schema": _FORMAT, "journal": number}))
        if known.number:
            self._journal(known.number).unlink(missing_ok=True)
        return True

    def wordy(self, known: Reading) -> bool:
        """Whether the log says more than which shards there are, or says it as version 0.1 did."""
        if not known.number:
            return bool(known.shards)
        return len(self._journal(known.number).read_bytes().splitlines()) > len(known.shards) + 2

    def gaps(self) -> list[str]:
        """Nothing: what a journal lacks is an error already when it is read."""
        return []

    def renumber(self, known: Reading) -> list[Path]:
        """Nothing: there are no numbers."""
        return []

    def clock(self) -> float:
        """The time by the clock of the disk, which may be another machine's, seconds since 1970."""
        try:
            with unfinished_file(self.path) as file:
                file.write_bytes(b"0")
                return file.stat().st_mtime
        except OSError:  # nothing may be written here, so nothing will be removed
            return time.time()

    def strays(self, known: Reading, older_than: float) -> dict[Path, int]:
        """Files of no shard that were written before this time (seconds since 1970), and their bytes."""
        kept = {self.file(table, name, None) for name, shard in known.shards.items() for table in shard.files}
        kept.add(self._journal(known.number))
        patterns = ("*.parquet", f"{_TEMPORARY}*", "_journal-*.jsonl")
        found = {path for folder in self.folders.values() for like in patterns for path in folder.glob(like)}
        sizes = {path: path.lstat() for path in sorted(found - kept) if not path.name.startswith(UNFINISHED)}
        return {path: about.st_size for path, about in sizes.items() if about.st_mtime < older_than}

    def remove_unfinished(self) -> list[Path]:
        """Remove what killed writers left half done."""
        return [path for folder in self.folders.values() for path in remove_strays(folder)]

    def _journal(self, number: int) -> Path:
        return self.path.with_name(f"_journal-{number}.jsonl")

    def _remember(self, reading: Reading) -> None:
        if len(_readings) >= _MOST_READINGS:
            _readings.clear()
        _readings[self.path] = reading

    def _with_lines(self, reading: Reading, lines: bytes) -> Reading:
        try:
            return with_lines(reading, lines)
        except (ValueError, TypeError) as error:
            raise StoreError(
                f"{self.path}: lines of its journal are no shards ({error!r}); restore both from a copy"
            ) from error


def _damaged_journal(path: Path) -> StoreError:
    return StoreError(
        f"{path}: {'changed or cut short' if path.exists() else 'lost'} since it was written; restore it from a copy, "
        f"together with {MANIFEST}, or rebuild both from the files beside them (`hmr-align store repair`)"
    )


@lru_cache(maxsize=64)
def _said(path: Path, details: bytes) -> int | Reading:
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
        reading = Reading.empty(0)
        for name, shard in said["shards"].items():
            reading.hold(name, _of_version_0_1(**shard))
        return reading
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreError(
            f"{path}: not a manifest ({error!r}); restore it from a copy, or rebuild it from the files beside it "
            "(`hmr-align store repair`)"
        ) from error


def _of_version_0_1(content: str, written_ns: int, files: dict[str, dict[str, Any]]) -> StoredShard:
    stored = {table: StoredFile(**file).as_list() for table, file in files.items()}
    return StoredShard(content, written_ns, stored, {})
