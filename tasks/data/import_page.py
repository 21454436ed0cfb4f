"""A page about an import: counts, and ten pictures with points, if the pictures are available."""

import base64
import html
import io
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image, ImageDraw, UnidentifiedImageError

from storage.finished_file import write_text
from storage.sources.record import SCHEMA
from tasks.data.importing import Imported

PICTURES = 10
SIDE = 640
FLAT, SPACE = (40, 200, 80), (255, 120, 20)


class ShownRecord(NamedTuple):
    """One record as it is drawn on the page."""

    title: str
    picture: Image.Image
    off_px: float | None  # median distance of projected points from the picture's own


def write_page(done: Imported, title: str, photos: Path | None, seed: int = 0) -> Path:
    """Write `<file>.html` next to the Parquet file; returns its path."""
    shown = [] if photos is None else draw_some(done.file, photos, PICTURES, seed)
    page = done.file.with_suffix(".html")
    labels = [(name, f"{count}", SCHEMA.field(name).metadata.get(b"unit", b"").decode(),
               SCHEMA.field(name).metadata[b"about"].decode()) for name, count in done.labels.items()]  # fmt: skip
    parts = [
        f"<!doctype html><meta charset=utf-8><title>{_text(title)}</title><style>{_STYLE}</style>",
        f"<h1>{_text(title)}</h1><p>{done.records} records in {_text(done.file.name)}, {done.seconds:.1f} s.",
        _list("Converted", done.converted),
        _list("Left out", [f"{count} {reason}" for reason, count in done.skipped.items()]),
        "<h2>Labels</h2><table><tr><th>column<th>records<th>unit<th>meaning</tr>",
        *("<tr>" + "".join(f"<td>{_text(cell)}" for cell in row) for row in labels),
        "</table>",
        _pictures(shown, photos),
    ]
    write_text(page, "\n".join(parts))
    return page


_STYLE = (
    "body{font:15px system-ui;margin:2em auto;max-width:70em}td,th{text-align:left;padding:.1em .8em .1em 0}"
    "figure{display:inline-block;margin:.5em}figcaption{max-width:20em;overflow-wrap:anywhere;font-size:80%}"
)


def _text(value: object) -> str:
    return html.escape(str(value))


def _list(head: str, lines: object) -> str:
    items = "".join(f"<li>{_text(line)}" for line in lines)  # type: ignore[attr-defined]
    return f"<h2>{head}</h2><ul>{items}</ul>" if items else ""


def _pictures(shown: list[ShownRecord], photos: Path | None) -> str:
    if not shown:
        why = "Give --photos DIR to see points on pictures." if photos is None else f"No picture is at {photos}."
        return f"<p>{_text(why)}"
    figures = []
    for one in shown:
        kept = io.BytesIO()
        one.picture.save(kept, "JPEG", quality=85)
        data = base64.b64encode(kept.getvalue()).decode()
        off = "" if one.off_px is None else f"<br>projected points {one.off_px:.3g} px (median) from the 2-D ones"
        figures.append(
            f'<figure><img src="data:image/jpeg;base64,{data}">'
            f"<figcaption>{_text(one.title)}{off}</figcaption></figure>"
        )
    return "<h2>Pictures</h2><p>Green: points of the picture. Orange: points in space through the camera." + "".join(
        figures
    )


def draw_some(file: Path, photos: Path, count: int, seed: int) -> list[ShownRecord]:
    """Up to `count` random records whose picture is available."""
    with pq.ParquetFile(file) as held:
        rows = held.metadata.num_rows
        order = np.random.default_rng(seed).permutation(rows)
        groups = np.cumsum([0, *(held.metadata.row_group(k).num_rows for k in range(held.num_row_groups))])
        shown: list[ShownRecord] = []
        for row in order[: 20 * count].tolist():
            group = int(np.searchsorted(groups, row, side="right")) - 1
            paths = held.read_row_group(group, columns=["image_path"])
            path = paths["image_path"][row - int(groups[group])].as_py()
            if path and (photos / path).is_file():
                table = held.read_row_group(group).slice(row - int(groups[group]), 1)
                drawn = draw(table.to_pylist()[0], photos / path)
                shown += [] if drawn is None else [drawn]
            if len(shown) == count:
                break
    return shown


def draw(record: dict, path: Path) -> ShownRecord | None:
    """The picture around the person with the points of the record; None if it cannot be read."""
    try:
        with Image.open(path) as opened:
            picture = opened.convert("RGB")
    except (OSError, SyntaxError, ValueError, UnidentifiedImageError, Image.DecompressionBombError):
        return None
    for _ in range(record["image_rotate90"] or 0):
        picture = picture.transpose(Image.Transpose.ROTATE_270)
    flat, given = _flat(record)
    space = projected(record)
    points = [part for part in (flat[given] if len(flat) else flat, space) if len(part)]
    box = _window(record, points, picture.size)
    scale = SIDE / max(box[2] - box[0], box[3] - box[1])
    size = (max(1, round((box[2] - box[0]) * scale)), max(1, round((box[3] - box[1]) * scale)))
    left, top, right, bottom = map(round, box)
    cut = picture.crop((left, top, right, bottom)).resize(size)
    pen = ImageDraw.Draw(cut)
    for part, colour, radius in ((space, SPACE, 5), (flat[given] if len(flat) else flat, FLAT, 3)):
        for x, y in (part - np.array(box[:2])) * scale:
            pen.ellipse((x - radius, y - radius, x + radius, y + radius), outline=colour, width=2)
    off = None
    names = str(record["kp2d_names"] or "").split(",")
    if len(space) and given.any() and str(record["kp3d_names"]).split(",")[: len(names)] == names:
        off = float(np.median(np.linalg.norm(space[: len(flat)] - flat, axis=1)[given]))
    return ShownRecord(record["sample_id"], cut, off)


def _flat(record: dict) -> tuple[NDArray, NDArray]:
    if record["kp2d"] is None:
        return np.zeros((0, 2)), np.zeros(0, bool)
    return np.reshape(record["kp2d"], (-1, 2)), np.asarray(record["kp2d_conf"]) > 0


def projected(record: dict) -> NDArray[np.float64]:
    """(J, 2) px of the record's 3-D points; none if they are relative to a root or there is no camera."""
    if record["kp3d"] is None or record["K"] is None or record["kp3d_root"]:
        return np.zeros((0, 2))
    points, matrix = np.reshape(record["kp3d"], (-1, 3)).astype(float), np.reshape(record["K"], (3, 3))
    return points[:, :2] / np.maximum(points[:, 2:], 1e-6) * [matrix[0, 0], matrix[1, 1]] + matrix[:2, 2]


def _window(record: dict, points: list[NDArray], size: tuple[int, int]) -> tuple[float, float, float, float]:
    if record["bbox_xywh"] is not None:
        left, top, width, height = record["bbox_xywh"]
    elif points:
        low, high = np.concatenate(points).min(0), np.concatenate(points).max(0)
        (left, top), (width, height) = low, high - low
    else:
        return 0, 0, *size
    room = 0.3 * max(width, height)
    window = (
        max(0, left - room),
        max(0, top - room),
        min(size[0], left + width + room),
        min(size[1], top + height + room),
    )
    return window if window[2] - window[0] > 2 and window[3] - window[1] > 2 else (0, 0, *size)
