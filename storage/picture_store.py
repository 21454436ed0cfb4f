"""Rendered pictures under the digest of what they show: rendered once, for all critics and reports that use them.

    pictures/<first two of the digest>/<digest>.zip    a group: photograph.png, overlay_00.png ..., side_00.png ...

Of an overlay only the pixels that the mesh changes are kept: it is transparent where it equals the photograph. The
pixels are restored bit for bit; PNG is lossless. Damaged files count as missing, so they are rendered again. Nothing
refers to this folder: it may be deleted at any time.
"""

import hashlib
import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from storage.finished_file import read_again, write_bytes

__all__ = ["PictureStore", "Pictures", "digest_of"]

Bytes = NDArray[np.uint8]
_WHEN = (1980, 1, 1, 0, 0, 0)  # of every file in a zip, so that equal pictures are equal bytes


class Pictures(NamedTuple):
    """The pictures of a group of G hypotheses, RGB 0-255."""

    photograph: Bytes  # (h, w, 3)
    overlays: tuple[Bytes, ...]  # G of (h, w, 3)
    sides: tuple[Bytes, ...]  # G of (h, s, 3), or none


@dataclass(frozen=True)
class PictureStore:
    """Pictures of groups in a folder; many processes may read and write."""

    root: Path

    def file(self, digest: str) -> Path:
        """The path of the zip of a digest; it need not exist."""
        return self.root / digest[:2] / f"{digest}.zip"

    def read(self, digest: str) -> Pictures | None:
        """The pictures of that digest; None if there are none, or they are damaged."""
        return read_again(self.file(digest), _read)

    def write(self, digest: str, pictures: Pictures) -> None:
        """Write pictures under a digest, replacing what was there."""
        write_bytes(self.file(digest), _encoded(pictures))


def digest_of(parts: Sequence[str | bytes | NDArray[np.generic]]) -> str:
    """One digest of texts, bytes and arrays (their types and shapes count), in this order."""
    whole = hashlib.sha256()
    for part in parts:
        if isinstance(part, np.ndarray):
            head, content = f"{part.dtype.str}{part.shape}", np.ascontiguousarray(part).tobytes()
        else:
            head, content = "", part.encode() if isinstance(part, str) else part
        whole.update(f"{head}:{len(content)}:".encode())
        whole.update(content)
    return whole.hexdigest()


def _encoded(pictures: Pictures) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:
        _add(archive, "photograph.png", pictures.photograph)
        for number, overlay in enumerate(pictures.overlays):
            changed = (overlay != pictures.photograph).any(-1)
            own = np.dstack([overlay * changed[..., None], np.where(changed, 255, 0).astype(np.uint8)])
            _add(archive, f"overlay_{number:02d}.png", own)
        for number, side in enumerate(pictures.sides):
            _add(archive, f"side_{number:02d}.png", side)
    return sink.getvalue()


def _add(archive: zipfile.ZipFile, name: str, pixels: Bytes) -> None:
    sink = io.BytesIO()
    Image.fromarray(pixels).save(sink, "png", compress_level=1)
    archive.writestr(zipfile.ZipInfo(name, _WHEN), sink.getvalue())


def _read(path: Path) -> Pictures:
    """Raises ValueError, OSError or zipfile.BadZipFile (all of them `read_again` takes for damage)."""
    try:
        with zipfile.ZipFile(path) as archive:
            pixels = {name: np.asarray(Image.open(io.BytesIO(archive.read(name)))) for name in archive.namelist()}
    except zipfile.BadZipFile as error:
        raise ValueError(f"{path}: {error}") from error
    photograph = pixels["photograph.png"]
    overlays = [pixels[name] for name in sorted(pixels) if name.startswith("overlay_")]
    return Pictures(
        photograph,
        tuple(np.where(own[..., 3:] > 0, own[..., :3], photograph) for own in overlays),
        tuple(pixels[name] for name in sorted(pixels) if name.startswith("side_")),
    )
