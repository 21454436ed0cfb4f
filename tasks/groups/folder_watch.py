"""Whether a folder of photographs has changed since the last look: names, sizes and times, nothing is opened.

Free of prefect.
"""

import json
import os
import time
from pathlib import Path
from typing import NamedTuple

from storage.finished_file import read_again, write_text

FILE = "watched.json"
STILL = 10.0  # seconds without a change after which a file counts as whole


class Seen(NamedTuple):
    """What is in a folder: size (bytes) and time (ns) by relative path; busy: a file changed within `STILL` seconds."""

    files: dict[str, list[int]]
    busy: bool


def look(folder: Path, nested: bool = False, now: float | None = None) -> Seen:
    """Look at a folder, or at the folders in it too. now: seconds since 1970, the clock's time by default.

    A file whose time lies in the future, as a camera or another machine's clock may have it, is whole.
    """
    files: dict[str, list[int]] = {}
    newest = 0.0
    clock = time.time() if now is None else now
    for place, inner, names in os.walk(folder):
        inner[:] = sorted(name for name in inner if nested and not name.startswith("."))
        for name in sorted(name for name in names if not name.startswith(".")):
            path = Path(place) / name
            try:
                found = path.stat()
            except OSError:  # it went between the two calls, or is a broken link
                continue
            files[os.fsencode(path.relative_to(folder)).decode(errors="backslashreplace")] = [
                found.st_size,
                found.st_mtime_ns,
            ]
            if found.st_mtime <= clock:
                newest = max(newest, found.st_mtime)
    return Seen(files, clock - newest < STILL)


def noted(run: Path) -> dict[str, list[int]]:
    """What was in the folder when it was last told; empty at first."""
    return read_again(run / FILE, lambda path: dict(json.loads(path.read_text()))) or {}


def note(run: Path, files: dict[str, list[int]]) -> None:
    """Remember what is in the folder now."""
    write_text(run / FILE, json.dumps(files))
