"""A picture as a data URI, for pages that are one file and for the dashboard."""

import base64
import io
from pathlib import Path

from PIL import Image

from tasks.report.thumbnails import Box

WHOLE = Box(0.0, 0.0, 1.0)


def picture(path: Path, size: int, quality: int = 80, box: Box = WHOLE) -> str:
    """A square part of a picture as a JPEG data URI of at most `size` px. quality: of the JPEG, 1-100."""
    with Image.open(path) as opened:
        side = opened.width
        limits = (side * box.left, side * box.top, side * (box.left + box.side), side * (box.top + box.side))
        small = opened.convert("RGB").crop(tuple(map(int, limits)))  # type: ignore[arg-type]
    small.thumbnail((size, size), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=quality, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
