"""What a stage measured, kept as a JSON file with a digest of what it was made of: read back only for the same."""

import hashlib
import json
from pathlib import Path
from typing import Any


def made_of(*parts: Any) -> str:
    """Digest of what a measurement follows from: values that JSON or `str` can tell apart."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


def read_note(path: Path, of: str) -> Any | None:
    """What was kept, or None if there is nothing, if it was made of something else, or if the file is damaged."""
    try:
        kept = json.loads(path.read_text())
        return kept["rows"] if kept["made_of"] == of else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write_note(path: Path, of: str, rows: Any) -> None:
    """Put a note in the place of the one before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".tmp")
    unfinished.write_text(json.dumps({"made_of": of, "rows": rows}, default=str))
    unfinished.replace(path)
