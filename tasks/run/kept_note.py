"""A stage's measurements as a JSON file with a digest of its inputs: read back only for the same inputs."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from storage.finished_file import read_again, write_text

T = TypeVar("T")


def made_of(*parts: Any) -> str:
    """Digest of a measurement's inputs: values that JSON or `str` can tell apart."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


def read_note(path: Path, of: str, read: Callable[[Any], T]) -> T | None:
    """The stored note, converted by `read`; None if there is none, its inputs differ, or it is damaged."""

    def kept(path: Path) -> T | None:
        note = json.loads(path.read_text())
        return read(note["rows"]) if isinstance(note, dict) and note.get("made_of") == of else None

    return read_again(path, kept)


def write_note(path: Path, of: str, rows: Any) -> None:
    """Write a note, replacing an earlier one."""
    write_text(path, json.dumps({"made_of": of, "rows": rows}, default=str))
