"""Files that are whole under their final name, or not there: written beside it, flushed to disk, then renamed.

    with finished_file(path) as unfinished:   # for anything that writes to a path
        np.savez(unfinished, **arrays)
    write_text(path, "...")                   # also write_bytes
    with finished_folder(path) as unfinished: ...

A writer holds a lock on what it is writing, and the lock is released when the process ends, in any way. So the files of
a killed writer can be distinguished from those of a running one, and `remove_strays` removes them. Names of unfinished
files begin with a dot: programs that list photographs or read a folder of Parquet files ignore them.

A leaf: it imports nothing of ours, and every folder may import it.
"""

import fcntl
import logging
import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

__all__ = [
    "UNFINISHED",
    "finished_file",
    "finished_folder",
    "flush",
    "make_folder",
    "put_in_place",
    "read_again",
    "remove_strays",
    "small_file",
    "unfinished_file",
    "write_bytes",
    "write_text",
]

UNFINISHED = ".unfinished-"
"""How the names of unfinished files and folders begin; a process id and a random part follow."""

T = TypeVar("T")
P = TypeVar("P")
log = logging.getLogger(__name__)


@contextmanager
def finished_file(path: Path) -> Iterator[Path]:
    """A path beside `path`, with its ending, to write to; it replaces `path` if the block ends without an exception.

    Missing folders are made. After an exception the old file at `path` is still there, and nothing else is left.
    """
    with unfinished_file(path) as unfinished:
        yield unfinished
        flush(unfinished)
        put_in_place({unfinished: path})


@contextmanager
def unfinished_file(path: Path) -> Iterator[Path]:
    """A path beside `path` to write to; removed when the block ends, unless `put_in_place` has moved it."""
    make_folder(path.parent)
    with _claimed(path.parent, path.suffix) as unfinished:
        yield unfinished


def put_in_place(files: Mapping[Path, Path]) -> None:
    """Move flushed files to their final paths, which they replace; each folder is flushed once."""
    for unfinished, path in files.items():
        os.replace(unfinished, path)
    for folder in {path.parent for path in files.values()}:
        flush(folder)


def write_bytes(path: Path, content: bytes | memoryview) -> None:
    """Make `path` hold these bytes, wholly or not at all."""
    with finished_file(path) as unfinished:
        unfinished.write_bytes(content)


def write_text(path: Path, text: str) -> None:
    """Make `path` hold this text as UTF-8, wholly or not at all."""
    write_bytes(path, text.encode())


@contextmanager
def finished_folder(path: Path) -> Iterator[Path]:
    """A new folder beside `path` to fill; it replaces `path`, a folder or nothing, if the block ends well.

    After an exception the old folder at `path` is still there. A process that is killed while it replaces an old folder
    may leave neither.
    """
    make_folder(path.parent)
    with _claimed(path.parent, ".lock") as lock:
        unfinished, old = lock.with_suffix(""), lock.with_suffix(".old")
        unfinished.mkdir()
        try:
            yield unfinished
            for part in (*unfinished.rglob("*"), unfinished):
                flush(part)
            if path.exists():
                os.rename(path, old)
            os.rename(unfinished, path)
            flush(path.parent)
        finally:
            if old.exists() and not path.exists():
                os.rename(old, path)
            for part in (unfinished, old):
                shutil.rmtree(part, ignore_errors=True)


def remove_strays(folder: Path) -> list[Path]:
    """Remove what killed writers left in a folder and below it, and return the paths; files being written stay."""
    found = sorted(folder.rglob(f"{UNFINISHED}*"), key=lambda path: (not path.is_dir(), path))  # folders before locks
    return [path for path in found if _remove_if_dead(path)]


def read_again(path: P, read: Callable[[P], T]) -> T | None:
    """The result of `read` for a file that can be made again; None if there is none, or it is damaged.

    A damaged file is reported in the log, and the caller makes it again. Do not use this for files that cannot be made
    again: those need an error.
    """
    try:
        return read(path)
    except FileNotFoundError:
        return None
    except (PermissionError, MemoryError):
        raise
    except Exception as error:  # readers may fail in any way on a broken file
        log.warning("%s: damaged (%s: %s); it is made again", path, type(error).__name__, error)
        return None


def small_file(path: Path, most: int | None = None) -> bytes | None:
    """The (first `most`) bytes of a file that is read very often; None if there is none.

    With half the system calls of `Path.read_bytes`: at each one other threads run, and this one waits for them.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        return os.read(handle, most or os.fstat(handle).st_size)
    finally:
        os.close(handle)


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, each flushed to disk."""
    if not folder.is_dir():
        make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        flush(folder.parent)


@contextmanager
def _claimed(folder: Path, ending: str) -> Iterator[Path]:
    """A new empty file, locked while this process runs and the block lasts, and removed afterwards."""
    while True:
        path = folder / f"{UNFINISHED}{os.getpid()}-{secrets.token_hex(6)}{ending}"
        handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            if os.fstat(handle).st_nlink:  # else it was removed between open and lock
                yield path
                return
        finally:
            path.unlink(missing_ok=True)
            os.close(handle)


def _remove_if_dead(path: Path) -> bool:
    """Remove an unfinished file or folder unless its writer still holds the lock; returns whether it was removed."""
    lock = path.with_suffix(".lock") if path.is_dir() else path
    try:
        handle = os.open(lock, os.O_RDWR)
    except FileNotFoundError:  # it is made before the folder and removed after it
        shutil.rmtree(path, ignore_errors=True)
        return not path.exists()
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    else:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
        return True
    finally:
        os.close(handle)


def flush(path: Path) -> None:
    """Flush a file's bytes or a folder's names to disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
