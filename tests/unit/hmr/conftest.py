"""One full-size checkpoint for all tests of this folder and those below; it takes 0.8 GB of disk until they end."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.official_checkpoint import condition_shapes, network_shapes, official_entries, write


@pytest.fixture(scope="session")
def official_file() -> Iterator[Path]:
    """An official HypoNet checkpoint of published size."""
    with tempfile.TemporaryDirectory(prefix="hmr-align-official-") as folder:
        entries = official_entries("hyponet", network_shapes("hyponet"), condition_shapes("hyponet"))
        yield write(entries, Path(folder) / "ckpt.pth")
