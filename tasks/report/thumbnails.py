"""Small copies of pictures beside the report: made once, found again by their source's content and how they are cut.

The report's pages load them when they come into view, so that a page stays small whatever is drawn for it.
"""

import hashlib
import io
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from hmr.rendering.sheet import strip
from storage.finished_file import UNFINISHED

FOLDER = "report"
"""Folder beside `report.html` with its further pages and, in `pictures`, the thumbnails."""

GRID, GRID_SIDE = 200, 128
"""px of an overlay and of its side view in the grid of a group; together some 9 kB."""

_END = b"\xff\xd9"  # of every JPEG

MIDDLE = 256
"""px of the pictures that are compared side by side."""

STRIP = 320
"""px of each picture of a strip."""

STRIPS = "strips.json"
"""Index, in FOLDER, of the strips: a list of group_id, photo, label and the file in `pictures`."""


class Box(NamedTuple):
    """A square part of a square picture, as shares (0..1) of its side."""

    left: float
    top: float
    side: float


WHOLE = Box(0.0, 0.0, 1.0)


class Labelled(NamedTuple):
    """One picture of a strip."""

    path: Path
    label: str  # burnt in
    box: Box = WHOLE


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
        return self._made(f"{_digest(path)}:{size}:{quality}:{box}", lambda: small(path, size, quality, box))

    def strip(self, pictures: Sequence[Labelled]) -> str:
        """File name, in `folder`, of these pictures side by side, each with its label burnt in."""
        key = "|".join(f"{_digest(one.path)}:{one.label}:{one.box}" for one in pictures)
        return self._made(f"strip {STRIP}:{key}", lambda: _joined(pictures))

    def _made(self, key: str, make: Callable[[], bytes]) -> str:
        name = f"{hashlib.sha256(key.encode()).hexdigest()[:20]}.jpg"
        if name not in self.used:
            self.used.add(name)
            if not _whole(self.folder / name):
                put(self.folder / name, make())
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


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _joined(pictures: Sequence[Labelled]) -> bytes:
    cut = [_cut(one.path, STRIP, one.box) for one in pictures]
    return _jpeg(Image.fromarray(strip([np.asarray(one) for one in cut], [one.label for one in pictures])), 86)


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
    return _jpeg(_cut(path, size, box), quality)


def _cut(path: Path, size: int, box: Box) -> Image.Image:
    with Image.open(path) as opened:
        wanted = int(size / box.side)
        opened.draft("RGB", (wanted, wanted))  # a JPEG may be decoded at a fraction of its size
        whole = opened.width
        right, bottom = box.left + box.side, box.top + box.side
        limits = (whole * box.left, whole * box.top, whole * right, whole * bottom)
        cut = opened.convert("RGB").crop(limits)
    cut.thumbnail((size, size), Image.Resampling.LANCZOS)
    return cut


def _jpeg(picture: Image.Image, quality: int) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality, optimize=True)
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
