"""Small copies of pictures beside the report: made once, found again by their source's content and how they are cut.

The report's pages load them when they come into view, so that a page stays small whatever is drawn for it.
"""

import hashlib
import io
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from storage.finished_file import UNFINISHED

FOLDER = "report"
"""Folder beside `report.html` with its further pages and, in `pictures`, the thumbnails."""

GRID, GRID_SIDE = 200, 128
"""px of an overlay and of its side view in the grid of a group; together some 9 kB."""

_END = b"\xff\xd9"  # of every JPEG

MIDDLE = 256
"""px of the pictures that are compared side by side."""


class Box(NamedTuple):
    """A square part of a square picture, as shares (0..1) of its side."""

    left: float
    top: float
    side: float


WHOLE = Box(0.0, 0.0, 1.0)


@dataclass
class Thumbnails:
    """The thumbnails of one run's report."""

    run: Path  # the run's folder
    used: set[str] = field(default_factory=set)

    @property
    def folder(self) -> Path:
        """Where they are."""
        return self.run / FOLDER / "pictures"

    def of(self, path: Path, size: int, quality: int = 80, box: Box = WHOLE) -> str:
        """File name, in `folder`, of a square part of a picture at `size` px at most; it is made if it is not there."""
        key = f"{hashlib.sha256(path.read_bytes()).hexdigest()}:{size}:{quality}:{box}"
        name = f"{hashlib.sha256(key.encode()).hexdigest()[:20]}.jpg"
        if name not in self.used:
            self.used.add(name)
            if not _whole(self.folder / name):
                put(self.folder / name, small(path, size, quality, box))
        return name

    def sweep(self) -> None:
        """Remove those that no page of this report uses."""
        for path in self.folder.glob("*.jpg"):
            if path.name not in self.used:
                path.unlink()


def prepare(run: Path, photograph: Path, overlays: list[Path], sides: list[Path]) -> None:
    """Make the thumbnails of a group's grid now, while its pictures are drawn."""
    thumbnails, box = Thumbnails(run), photograph_box(photograph)
    for overlay, side in zip(overlays, sides):
        thumbnails.of(overlay, GRID, box=box)
        thumbnails.of(side, GRID_SIDE)


def put(path: Path, content: bytes) -> None:
    """Write a file that can be made again: whole under its name, but not flushed to the disk, which takes longest."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{UNFINISHED}{os.getpid()}-{path.name}")
    unfinished.write_bytes(content)
    unfinished.replace(path)


def _whole(path: Path) -> bool:
    """Whether a thumbnail is there to its end; after a power cut it may be empty or short."""
    try:
        with path.open("rb") as file:
            file.seek(-len(_END), os.SEEK_END)
            return file.read() == _END
    except OSError:
        return False


def small(path: Path, size: int, quality: int = 80, box: Box = WHOLE) -> bytes:
    """A square part of a picture as a JPEG of at most `size` px. quality: of the JPEG, 1-100."""
    with Image.open(path) as opened:
        wanted = int(size / box.side)
        opened.draft("RGB", (wanted, wanted))  # a JPEG may be decoded at a fraction of its size
        whole = opened.width
        right, bottom = box.left + box.side, box.top + box.side
        limits = (whole * box.left, whole * box.top, whole * right, whole * bottom)
        cut = opened.convert("RGB").crop(limits)
    cut.thumbnail((size, size), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    cut.save(buffer, "JPEG", quality=quality, optimize=True)
    return buffer.getvalue()


def photograph_box(path: Path) -> Box:
    """The smallest square that holds the photograph: a frame that extends past its border is black there."""
    with Image.open(path) as opened:
        opened.draft("L", (256, 256))
        bright = np.asarray(opened.convert("L")) > 24  # JPEG leaves some noise in black
    rows, columns = (np.flatnonzero(bright.any(axis)) / len(bright) for axis in (1, 0))
    if not len(rows):
        return WHOLE
    side = min(1.0, max(np.ptp(rows), np.ptp(columns)) + 1 / len(bright))
    left, top = (min(max((line[0] + line[-1] - side) / 2, 0.0), 1.0 - side) for line in (columns, rows))
    return Box(float(left), float(top), float(side))
