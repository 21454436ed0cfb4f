"""One picture of many: overlays side by side in rows, each with its number burnt in."""

from collections.abc import Sequence
from math import ceil, sqrt
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from storage.records import Bytes

GAP = 2
"""Dark pixels around each tile: it keeps neighbours apart."""
LABEL = 0.11
"""Height of a label, as a share of a tile's height."""


class Grid(NamedTuple):
    """Where the tiles of a sheet are: tile k in row k // columns and column k % columns."""

    rows: int
    columns: int
    height: int  # of a tile, px
    width: int

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the sheet, px."""
        return self.rows * (self.height + GAP) + GAP, self.columns * (self.width + GAP) + GAP

    def corner(self, place: int) -> tuple[int, int]:
        """Upper left corner (y, x) of a tile, px."""
        row, column = divmod(place, self.columns)
        return GAP + row * (self.height + GAP), GAP + column * (self.width + GAP)


def grid_of(count: int, height: int, width: int, long_side: int) -> Grid:
    """The grid for `count` tiles of height x width px whose sheet is nearest to a square, with no side above
    `long_side` px. Tiles are never enlarged.
    """
    columns = min(count, max(1, ceil(sqrt(count * height / width))))
    rows = ceil(count / columns)
    room = min((long_side - GAP) / rows / (height + GAP), (long_side - GAP) / columns / (width + GAP), 1.0)
    return Grid(rows, columns, max(1, int(room * (height + GAP)) - GAP), max(1, int(room * (width + GAP)) - GAP))


def contact_sheet(tiles: Sequence[Bytes], labels: Sequence[str], long_side: int) -> Bytes:
    """The tiles, RGB pixels of one size (h, w, 3), reduced and arranged in rows, their labels in the upper left
    corners; no side is longer than `long_side` px.
    """
    grid = grid_of(len(tiles), tiles[0].shape[0], tiles[0].shape[1], long_side)
    sheet = Image.new("RGB", (grid.size[1], grid.size[0]), (20, 20, 20))
    pen = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(max(10, round(LABEL * grid.height)))
    for place, (tile, label) in enumerate(zip(tiles, labels, strict=True)):
        y, x = grid.corner(place)
        sheet.paste(Image.fromarray(tile).resize((grid.width, grid.height), Image.Resampling.LANCZOS), (x, y))
        right, bottom = pen.textbbox((x + 3, y + 2), label, font=font)[2:]
        pen.rectangle((x, y, right + 3, bottom + 3), fill=(255, 255, 255))
        pen.text((x + 3, y + 2), label, font=font, fill=(0, 0, 0))
    return np.asarray(sheet)
