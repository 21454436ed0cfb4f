"""One process at a time in a run's folder, by a lock that ends with its process."""

import fcntl
import json
import os
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import IO

FILE = "run.lock"


class RunInUse(RuntimeError):
    """Another process works in this folder; the message says which."""


_LOCK = threading.Lock()
_HELD: dict[Path, tuple[IO[str], int]] = {}
"""Folders that this process holds: the open lock file, and the number of nested blocks."""


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold a run's folder. Blocks in one process may be nested.

    Raises RunInUse at once if another process holds it. The lock is the kernel's (flock): it ends with the process,
    however that ends, and the file may stay. Processes on other machines are kept out if the file system supports such
    locks, as NFS 4 does; some cluster file systems need a mount option for it.
    """
    folder = folder.absolute()
    with _LOCK:
        file, depth = _HELD.get(folder, (None, 0))
        file = file or _taken(folder)
        _HELD[folder] = (file, depth + 1)
    try:
        yield
    finally:
        with _LOCK:
            file, depth = _HELD.pop(folder)
            if depth > 1:
                _HELD[folder] = (file, depth - 1)
            else:
                _leave_nothing(folder)
                file.close()


@contextmanager
def lent(folder: Path) -> Iterator[None]:
    """Let another process hold the folder that this one holds, for as long as the block lasts; then take it back.

    Raises RunInUse at the end if somebody else took it. A folder that this process does not hold is left alone.
    """
    folder = folder.absolute()
    with _LOCK:
        file, depth = _HELD.pop(folder, (None, 0))
        if file is not None:
            file.close()
    try:
        yield
    finally:
        if file is not None:
            with _LOCK:
                try:
                    _HELD[folder] = (_taken(folder), depth)
                except RunInUse:
                    _HELD[folder] = (file, depth)  # closed: the blocks around it end as they began
                    raise


def _leave_nothing(folder: Path) -> None:
    """Remove a folder that holds nothing but the lock: a misspelt name should not leave a folder."""
    if folder.is_dir() and [path.name for path in folder.iterdir()] == [FILE]:
        (folder / FILE).unlink()
        with suppress(OSError):  # another process has started meanwhile
            folder.rmdir()


def _taken(folder: Path) -> IO[str]:
    folder.mkdir(parents=True, exist_ok=True)
    file = (folder / FILE).open("a+", encoding="utf-8")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = _holder(file)
        file.close()
        raise RunInUse(
            f"{folder} is in use{holder}: wait until it is done, stop it, or choose another --name"
        ) from None
    if not os.fstat(file.fileno()).st_nlink:  # its holder ended and removed it between our open and lock
        file.close()
        return _taken(folder)
    about = {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "since": datetime.now().astimezone().isoformat("T", "seconds"),
        "command": " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
    }
    file.truncate(0)
    file.write(json.dumps(about))
    file.flush()
    return file


def _holder(file: IO[str]) -> str:
    file.seek(0)
    try:
        about = json.load(file)
        return f" by process {about['pid']} on {about['host']} since {about['since']} ({about['command']})"
    except (ValueError, KeyError, TypeError):  # it is being written
        return " by another process"
