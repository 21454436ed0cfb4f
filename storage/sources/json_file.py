"""JSON files of labels, read whole."""

import json
from pathlib import Path
from typing import Any

from storage.sources import SourceError


def read_json(path: Path) -> Any:
    """The content of the file; raises SourceError if it cannot be read or is not JSON."""
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        raise SourceError(f"{path}: cannot be read ({error.strerror}). Give the path of a .json file.") from error
    except (ValueError, RecursionError) as error:
        raise SourceError(f"{path}: not JSON ({error}). Fetch it again.") from error
