"""Pickles of labels through the one restricted reader (`storage.safe_pickle`), with a message that names the file."""

from pathlib import Path
from typing import Any

from storage import safe_pickle
from storage.sources import SourceError


def load_plain(content: bytes, where: str) -> Any:
    """The content of a pickle of Python 2 or 3; raises SourceError, naming `where`, if it is broken or not safe."""
    try:
        return safe_pickle.read_pickle(content)
    except safe_pickle.RefusedName as error:
        raise SourceError(
            f"{where}: a pickle in it names {error}, which no file of labels needs, so nothing of it was run. "
            "Use a file from the dataset's own page; if this is one, report the name."
        ) from error
    except Exception as error:  # a broken pickle may fail in any way
        raise SourceError(
            f"{where}: not a whole pickle ({type(error).__name__}: {error}). It may be cut short; fetch it again."
        ) from error


def read_pickle(path: Path) -> Any:
    """The content of a file of one pickle; raises SourceError if it cannot be read, is broken or not safe."""
    try:
        return load_plain(path.read_bytes(), str(path))
    except OSError as error:
        raise SourceError(f"{path}: cannot be read ({error.strerror}). Give the path of a .pkl file.") from error
