"""The manifest: which shards a table has. Writing it is the commit, and readers use nothing else.

A shard is one Parquet file in each table of a set that is written together (`groups` with `hyps`, `scores`
with `replies`); a table without rows has no file. The files are written first, then the line that says that they are
there: `local_log` in a folder, `remote_log` in an object store. A writer that is killed in between leaves files that
no reader looks at. Two writers lose nothing: in a folder they wait for each other, in an object store the second one
sees that it was second and tries again.
"""

import errno
import hashlib
import os
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property, lru_cache
from mmap import mmap
from typing import Any, TypeVar
from zlib import crc32

from storage.remote_path import Place, RemotePath
from storage.schema import Encoded, StoreError
from storage.shards.entries import StoredFile, StoredShard, entry_of, natural, placed
from storage.shards.local_log import LocalLog
from storage.shards.remote_log import RemoteLog

__all__ = ["Manifest", "PartlyRead", "opened"]

T = TypeVar("T")

THREADS = True
"""Whether tables of a shard are encoded and written at once; False where a process forks meanwhile."""


@dataclass
class _Commit:
    """A shard whose files are written, and what came of it."""

    shard: str
    content: str  # digest of its records
    earlier: Callable[[], str] | None
    written_ns: int | None
    entries: dict[str, list]
    noted: dict[str, Any]
    places: dict[Any, Any]  # unfinished file -> where it goes
    added: bool = False
    error: BaseException | None = None


_queues: dict[Any, deque[_Commit]] = {}
"""By manifest: what threads of this process want to commit."""
os.register_at_fork(after_in_child=_queues.clear)  # a fork leaves to its parent what that was about to commit


@dataclass(frozen=True)
class Manifest:
    """The shards of one version of a set of tables; one folder per table, the first has the manifest."""

    folders: Mapping[str, Any]  # of Place: all are folders, or all are prefixes

    @cached_property
    def log(self) -> LocalLog | RemoteLog:
        """How commits are written here."""
        folders = dict(self.folders)
        return RemoteLog(folders) if isinstance(next(iter(folders.values())), RemotePath) else LocalLog(folders)

    @property
    def path(self) -> Any:
        """The path of the manifest's file, or the prefix of its commits."""
        return self.log.path

    def file(self, table: str, shard: str) -> Any:
        """The path of a shard's Parquet file in a table's folder; it need not exist."""
        if isinstance(self.log, LocalLog):
            return self.log.file(table, shard, None)
        known = self.find(shard)
        return self.log.file(table, shard, known.file(table) if known else None)

    def begun(self) -> bool:
        """Whether anything was ever committed."""
        return self.log.begun()

    def shards(self) -> dict[str, StoredShard]:
        """Every committed shard by name, in natural order (2 before 10); empty if nothing was written.

        Raises StoreError if the manifest or its journal is damaged.
        """
        known = self.log.reading().shards.copy()  # another thread may be adding to it
        return {name: known[name] for name in sorted(known, key=natural)}

    def find(self, shard: str) -> StoredShard | None:
        """One shard, or None; as fast with many shards as with few. Raises StoreError if the manifest is damaged."""
        return self.log.known(shard)

    def numbered(self, shard: str) -> list[str]:
        """The shard's own name, if it is there, and those of its parts (shard+1, shard+2)."""
        known = self.log.reading()
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
            if isinstance(path, RemotePath):
                content = path.read_bytes()
            else:
                with opened(path) as file:
                    content = file.read()
        except FileNotFoundError:
            raise damaged(path, "lost") from None
        if not stored.fits(content):
            raise damaged(path, "changed or cut short")
        return content

    def commit(
        self,
        shard: str,
        content: Callable[[], str],
        files: Mapping[str, Callable[[], Encoded]],
        noted: Mapping[str, Any],
        earlier: Callable[[], str] | None = None,
        written_ns: int | None = None,
    ) -> bool:
        """Add a shard, given how to make the file of each table that has rows; False if it is there already.

        content: digest of its records; earlier: the digest that older versions gave them; written_ns:
        its time, now by default. Raises StoreError if a shard
        with other content has that name, or if the disk is full or read-only. One with equal content and damaged files
        is written again.
        """
        log = self.log
        with _told(self.path.parent), ExitStack() as stack:
            if (known := log.reading().shards.get(shard)) and self._there(known, shard, content(), earlier):
                return False
            pool = stack.enter_context(ThreadPoolExecutor()) if len(files) > 1 and THREADS else None
            digest = _started(pool, content)

            def write(table: str) -> tuple[Callable[[], StoredFile], Any, Any]:
                encoded = files[table]()
                entry = _started(pool, lambda: entry_of(encoded))  # while the disk is busy
                place: Any = log.file(table, shard, None if isinstance(log, LocalLog) else entry())
                return entry, stack.enter_context(log.written(place, encoded.content)), place

            written = dict(zip(files, pool.map(write, files) if pool else map(write, files)))
            entries = {table: entry().as_list() for table, (entry, *_) in written.items()}
            places = {unfinished: place for _, unfinished, place in written.values()}
            # The digest before the lock is asked for: others wait for that.
            return self._wait_for(_Commit(shard, digest(), earlier, written_ns, entries, dict(noted), places))

    def _wait_for(self, mine: "_Commit") -> bool:
        """Commit together with what other threads have ready by then: the disk is flushed once for all of them."""
        queue = _queues.setdefault(self.path, deque())
        queue.append(mine)
        with self.log.alone():
            batch = [queue.popleft() for _ in range(len(queue))]
            try:
                if batch:
                    self._commit_all(batch)
            except BaseException as error:
                for one in batch:
                    one.error = one.error or error
        if mine.error:
            raise mine.error
        return mine.added

    def _commit_all(self, batch: Sequence["_Commit"]) -> None:
        """For the holder of the lock."""
        while True:
            reading, new = self.log.start(), dict[str, StoredShard]()
            if any(one.shard in reading.shards for one in batch):  # others may have removed it since
                reading = self.log.reading()
            places = dict[Any, Any]()
            for one in batch:
                known = new.get(one.shard) or reading.shards.get(one.shard)
                try:
                    if known and self._there(known, one.shard, one.content, one.earlier, one.shard in new):
                        continue
                except StoreError as error:
                    one.error = error
                    continue
                kept = (known.content, known.written_ns) if known else (one.content, one.written_ns or time.time_ns())
                new[one.shard] = StoredShard(*kept, one.entries, one.noted)
                one.added = True
                places |= one.places
            if not new:
                return
            self.log.put(places)
            if self.log.add(reading, new):
                return
            for one in batch:
                one.added, one.error = False, None

    def replace(self, change: Callable[[dict[str, StoredShard]], dict[str, StoredShard]]) -> None:
        """Commit what `change` makes of the shards, all at once; it may be called again if others write meanwhile."""
        with _told(self.path.parent):
            while True:
                with self.log.alone():
                    reading = self.log.reading()
                    after = change(dict(reading.shards))
                    if after == reading.shards or self.log.replace(reading, after):
                        return

    def tidy(self) -> bool:
        """Write the log anew without lines that no longer count; False if there are none."""
        with self.log.alone(), _told(self.path.parent):
            reading = self.log.reading()
            return self.log.wordy(reading) and self.log.replace(reading, reading.shards)

    def damage(self, shard: str) -> list[str]:
        """Faults of a shard's files, one sentence each; raises StoreError only if the manifest itself is damaged."""
        problems = []
        known = self.find(shard)
        for table, (_, sha256, *_) in known.files.items() if known else ():
            try:
                if hashlib.sha256(self.read(table, shard)).hexdigest() != sha256:
                    raise damaged(self.file(table, shard), "changed or cut short")
            except StoreError as error:
                problems.append(str(error))
        return problems

    def all_damage(self) -> list[str]:
        """Faults of the manifest, as it is on disk now, and of the files of all its shards."""
        self.log.forget()
        try:
            found = [problem for shard in self.shards() for problem in self.damage(shard)]
            return [*self.log.gaps(), *found]
        except StoreError as error:
            return [str(error)]

    def strays(self, age: float = 0.0) -> dict[Any, int]:
        """Files of no shard that were written at least so many seconds ago, and their bytes.

        By the clock of the disk or the service, which wrote their times: that of this machine may differ.
        """
        return self.log.strays(self.log.reading(), self.log.clock() - age if age > 0 else float("inf"))

    def sweep(self, damaged: bool = False, age: float = 0.0) -> list[Any]:
        """Remove the files that belong to no shard, and return their paths; with `damaged`, damaged shards too.

        age: only files written at least so many seconds ago.
        """
        if damaged:
            self.replace(lambda shards: {name: one for name, one in shards.items() if not self.damage(name)})
        with self.log.alone(), _told(self.path.parent):
            strays = list(self.strays(age))
            for path in strays:
                path.unlink()
            return strays + self.log.remove_unfinished()

    def _there(
        self, known: StoredShard, shard: str, content: str, earlier: Callable[[], str] | None, new: bool = False
    ) -> bool:
        """Whether a known shard is whole; raises StoreError if it has other content. new: it is being committed."""
        if known.content != content and not (earlier and known.content == earlier()):
            raise StoreError(
                f"{self.path.parent}: shard '{shard}' is there already, with other content; the store "
                "only grows: write under another shard, run or generation name"
            )
        return new or not self.damage(shard)


class PartlyRead:
    """A file of which only the requested blocks are read; the others are zeros."""

    def __init__(self, path: Place, stored: StoredFile) -> None:
        self.path, self._placed = path, placed(stored)
        # The system gives memory only for pages that are written to.
        self.content = memoryview(mmap(-1, sum(size for size, _ in stored.blocks)))

    def fetch(self, blocks: Collection[int]) -> None:
        """Read some blocks into `content`; raises StoreError if the file is lost, changed or cut short."""
        wanted = [self._placed[block] for block in blocks]
        parts = [self.content[start : start + size] for start, size, _ in wanted]
        try:
            read = _read_into(self.path, [start for start, *_ in wanted], parts)
        except FileNotFoundError:
            raise damaged(self.path, "lost") from None
        if not read or any(crc32(part) != check for part, (_, _, check) in zip(parts, wanted)):
            raise damaged(self.path, "changed or cut short")


def _read_into(path: Place, starts: Sequence[int], parts: Sequence[memoryview]) -> bool:
    """Fill each part with the bytes from its start on; False if the file is too short."""
    if isinstance(path, RemotePath):
        found = path.read_ranges([(start, len(part)) for start, part in zip(starts, parts)])
        if any(len(content) != len(part) for content, part in zip(found, parts)):
            return False
        for content, part in zip(found, parts):
            part[:] = content
        return True
    with opened(path) as file:
        for start, part in zip(starts, parts):
            file.seek(start)
            if file.readinto(part) != len(part):
                return False
    return True


def opened(path: Place) -> Any:
    """A shard's file to read. Raises StoreError for a symbolic link: it could lead out of the store."""
    if isinstance(path, RemotePath):
        return path.open()
    try:
        return open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb", buffering=0)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise StoreError(
                f"{path}: a symbolic link, which could lead out of the store; put the file itself there"
            ) from None
        raise


def _started(pool: ThreadPoolExecutor | None, work: Callable[[], T]) -> Callable[[], T]:
    """How to get the result of work that a pool has begun; without a pool it is done when first asked for."""
    return pool.submit(work).result if pool else lru_cache(maxsize=1)(work)


@contextmanager
def _told(folder: Place) -> Iterator[None]:
    """Says what to do when a disk is full or may not be written to."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            what = "no space is left for it" if error.errno != errno.EFBIG else "its file may not be so large (ulimit)"
            raise StoreError(
                f"{folder}: a shard was not written, {what}; all shards before it are safe. Free some space "
                "(`hmr-align store vacuum` removes what no shard uses), then run the same command again"
            ) from error
        if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
            raise StoreError(
                f"{folder}: this store may be read, not written ({error.strerror}); make it writable, or work on a copy"
            ) from error
        raise


def damaged(path: Place, how: str) -> StoreError:
    """The error of a file that is not as it was committed."""
    return StoreError(
        f"{path}: {how} since it was written (its checksum is not the one in the manifest); restore it from a copy, "
        "or call `hmr-align store repair` and run again what made it"
    )
