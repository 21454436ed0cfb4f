"""What a stage measured, kept as a JSON file with a digest of what it was made of: read back only for the same."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from storage.finished_file import read_again, write_text

T = TypeVar("T")


def made_of(*parts: Any) -> str:
    """Digest of what a measurement follows from: values that JSON or `str` can tell apart."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


def read_note(path: Path, of: str, read: Callable[[Any], T]) -> T | None:
    """What `read` makes of what was kept; None if there is nothing, or it was made of something else, or is damaged."""

    def kept(path: Path) -> T | None:
        note = json.loads(path.read_text())
        return read(note["rows"]) if isinstance(note, dict) and note.get("made_of") == of else None

    return read_again(path, kept)


def write_note(path: Path, of: str, rows: Any) -> None:
    """Put a note in the place of the one before."""
    write_text(path, json.dumps({"made_of": of, "rows": rows}, default=str))
