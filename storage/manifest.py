"""The manifest: which shards a table has. It is the commit, and readers trust it alone.

A shard is one Parquet file in each table of a set that is written together (`groups` with `hyps`, `scores`
with `replies`). Its files are put in place one by one, each by temporary file, fsync, replace and fsync of
the folder; then the manifest is replaced in the same way. Killed anywhere between, a writer leaves strays
that no reader looks at and that the next writer of the shard replaces. A lock held from reading the manifest
to replacing it keeps two writers from losing each other's shards.
"""

import fcntl
import hashlib
import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

from storage.finished_file import UNFINISHED, make_folder, remove_strays, write_bytes, write_text
from storage.schema import VERSION, StoreError

# A leading underscore hides a file from what reads a folder of Parquet files (pandas, Spark).
_MANIFEST, _LOCK, _TEMPORARY = "_manifest.json", "_lock", "_tmp-"  # the last by programs of version 0.1


@dataclass(frozen=True)
class StoredFile:
    """What the manifest says of one file."""

    rows: int
    sha256: str


@dataclass(frozen=True)
class Shard:
    """What the manifest says of one shard."""

    content: str  # digest of what the records say, see rows.content_digest
    written_ns: int  # when it was committed, ns since 1970
    files: dict[str, StoredFile]  # by table


@dataclass(frozen=True)
class Manifest:
    """The shards of one version of a set of tables; one folder per table, the first has the manifest."""

    folders: dict[str, Path]

    @property
    def path(self) -> Path:
        return next(iter(self.folders.values())) / _MANIFEST

    def file(self, table: str, shard: str) -> Path:
        return self.folders[table] / f"{shard}.parquet"

    def shards(self) -> dict[str, Shard]:
        """Every committed shard by name, in natural order (2 before 10); empty where nothing was written."""
        try:
            state = self.path.stat()
        except FileNotFoundError:
            return {}
        return dict(_remembered(self.path, state.st_ino, state.st_mtime_ns, state.st_size))

    def read(self, table: str, shard: str) -> bytes:
        """The bytes of one file, as they were committed."""
        known = self.shards()
        if shard not in known:
            names = ", ".join(list(known)[:8]) + (", ..." if len(known) > 8 else "")
            raise StoreError(f"{self.path.parent}: has no shard '{shard}'; it has {names or 'none'}")
        path = self.file(table, shard)
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            content = b""
        if hashlib.sha256(content).hexdigest() != known[shard].files[table].sha256:
            raise StoreError(
                f"{path}: {'changed or cut short' if content else 'lost'} since it was written (its sha256 "
                f"is not the one in {_MANIFEST}); restore it from a copy, or call sweep(damaged=True) on the "
                "store and run again what made it"
            )
        return content

    def commit(self, shard: str, content: str, files: dict[str, tuple[int, bytes]]) -> bool:
        """Add a shard, given rows and bytes of the file of each table; False if it is there already.

        A shard of other content under that name is an error. One of equal content whose files are damaged is
        written again.
        """
        with self._lock():
            shards = _told(self.path)
            known = shards.get(shard)
            if known and known.content != content:
                raise StoreError(
                    f"{self.path.parent}: shard '{shard}' is there already, with other content; the store "
                    "only grows: write under another shard, run or generation name"
                )
            if known and not self.damage(shard):
                return False
            for table, (_, data) in files.items():
                write_bytes(self.file(table, shard), data)
            stored = {
                table: StoredFile(rows, hashlib.sha256(data).hexdigest()) for table, (rows, data) in files.items()
            }
            shards[shard] = Shard(content, known.written_ns if known else time.time_ns(), stored)
            self._replace(shards)
            return True

    def damage(self, shard: str) -> list[str]:
        """What is wrong with the files of a shard, one sentence each."""
        problems = []
        for table in self.folders:
            try:
                self.read(table, shard)
            except StoreError as error:
                problems.append(str(error))
        return problems

    def sweep(self, damaged: bool) -> list[Path]:
        """Remove the files that belong to no shard; with `damaged`, first take out the shards with damage."""
        with self._lock():
            shards = _told(self.path)
            if damaged:
                whole = {name: shard for name, shard in shards.items() if not self.damage(name)}
                if len(whole) < len(shards):
                    self._replace(whole)
                    shards = whole
            kept = {self.file(table, name) for table in self.folders for name in shards}
            found = {path for folder in self.folders.values() for path in folder.glob("*.parquet")}
            found |= {path for folder in self.folders.values() for path in folder.glob(f"{_TEMPORARY}*")}
            strays = sorted(path for path in found - kept if not path.name.startswith(UNFINISHED))
            for path in strays:
                path.unlink()
            return strays + [path for folder in self.folders.values() for path in remove_strays(folder)]

    def _replace(self, shards: dict[str, Shard]) -> None:
        told = {"schema": VERSION, "shards": {name: asdict(shard) for name, shard in shards.items()}}
        write_text(self.path, json.dumps(told, indent=1))

    @contextmanager
    def _lock(self) -> Iterator[None]:
        """Hold the one lock of this manifest; it goes with the process, however that ends."""
        for folder in self.folders.values():
            make_folder(folder)
        with open(self.path.with_name(_LOCK), "a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


@lru_cache(maxsize=64)
def _remembered(path: Path, inode: int, changed_ns: int, size: int) -> dict[str, Shard]:
    """What a manifest says, read once: it is replaced whole, so these numbers tell one from the next."""
    return _told(path)


def _told(path: Path) -> dict[str, Shard]:
    """What a manifest says; nothing if there is none."""
    try:
        told = json.loads(path.read_bytes())
        if told["schema"] != VERSION:
            raise StoreError(
                f"{path}: schema version {told['schema']}, this program reads version {VERSION}; "
                "use the program that wrote it, or let this one write to a new store"
            )
        return {
            name: Shard(
                content=shard["content"],
                written_ns=shard["written_ns"],
                files={table: StoredFile(**file) for table, file in shard["files"].items()},
            )
            for name, shard in sorted(told["shards"].items(), key=lambda item: natural(item[0]))
        }
    except FileNotFoundError:
        return {}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreError(f"{path}: not a manifest ({error!r}); restore it from a copy") from error


def natural(name: str) -> list[str | int]:
    """Sort key under which "round2" comes before "round10"."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", name)]
