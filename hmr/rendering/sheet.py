"""Several pictures as one: numbered contact sheets, strips from before to after. Labels are burnt in."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Picture = NDArray[np.uint8]

GAP = 6  # px between pictures
_INK, _TAG, _PAPER = (255, 255, 255), (20, 24, 32), (255, 255, 255)


def contact_sheet(
    pictures: Sequence[Picture], labels: Sequence[str] | None = None, *, columns: int | None = None,
    cell: int | None = None, most: int = 4096,
) -> Picture:  # fmt: skip
    """Pictures (h, w, 3) in rows, each with its label in its upper left corner: (H, W, 3), at most `most` px a side.

    labels: None = 1, 2, 3, ...; columns: None = so that the sheet is about square; cell: px, height of a picture,
    None = of the first. All pictures are scaled to that height; a narrower one leaves its rest white. Raises ValueError
    without pictures, or if there is not one label for each.
    """
    labels = [str(k + 1) for k in range(len(pictures))] if labels is None else labels
    if not pictures or len(labels) != len(pictures):
        raise ValueError(f"{len(pictures)} pictures and {len(labels)} labels; a sheet needs one label for each picture")
    aspect = max(picture.shape[1] / picture.shape[0] for picture in pictures)
    columns = columns or max(1, min(len(pictures), round((len(pictures) / aspect) ** 0.5)))
    rows = -(-len(pictures) // columns)
    height = cell or pictures[0].shape[0]
    room = min((most - GAP) // rows - GAP, int(((most - GAP) // columns - GAP) / aspect))
    if room < 8:
        raise ValueError(f"{len(pictures)} pictures do not fit into {most} px; raise `most`, or make several sheets")
    height = min(height, room)
    width = round(height * aspect)
    sheet = Image.new("RGB", (columns * (width + GAP) + GAP, rows * (height + GAP) + GAP), _PAPER)
    for k, (picture, label) in enumerate(zip(pictures, labels)):
        scaled = Image.fromarray(picture)
        size = (min(width, round(picture.shape[1] * height / picture.shape[0])), height)
        scaled = scaled if scaled.size == size else scaled.resize(size, Image.Resampling.LANCZOS)
        x, y = GAP + k % columns * (width + GAP), GAP + k // columns * (height + GAP)
        sheet.paste(scaled, (x, y))
        burn_label(sheet, label, x, y, max(12, height // 12))
    return np.asarray(sheet)


def strip(pictures: Sequence[Picture], labels: Sequence[str]) -> Picture:
    """Pictures side by side, as before and after: a sheet of one row. Raises as `contact_sheet`."""
    return contact_sheet(pictures, labels, columns=len(pictures))


def burn_label(picture: Image.Image, label: str, x: int, y: int, height: int) -> None:
    """Write a label, white on a dark tag of that height, with its upper left corner at (x, y), px."""
    if not label:
        return
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(round(0.72 * height))
    width = draw.textlength(label, font=font)
    draw.rectangle((x, y, x + width + 0.6 * height, y + height), fill=_TAG)
    draw.text((x + 0.3 * height, y + height / 2), label, fill=_INK, font=font, anchor="lm")
