"""Rendered pictures under the digest of what they show: rendered once, for all critics and reports that use them.

    pictures/<first two of the digest>/<digest>.zip    a group: photograph.webp, overlay_00.webp ..., side_00.webp ...

Of an overlay only the pixels that the mesh changes are kept: it is transparent where it equals the photograph. The
pixels are restored bit for bit: the files are lossless WebP, which is written and read in half the time of PNG, of
which the files of older stores are. Damaged files count as missing, so they are rendered again. Nothing
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

    def holds(self, digest: str) -> bool:
        """Whether there are whole pictures of that digest: their checksums are tested, no pixel is decoded."""
        return read_again(self.file(digest), _checked) is not None

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
        _add(archive, "photograph", Image.fromarray(pictures.photograph))
        for number, overlay in enumerate(pictures.overlays):
            differs = overlay != pictures.photograph
            changed = differs[..., 0] | differs[..., 1] | differs[..., 2]
            own = Image.fromarray(overlay)
            own.putalpha(Image.fromarray(changed.view(np.uint8) * np.uint8(255)))
            _add(archive, f"overlay_{number:02d}", own)
        for number, side in enumerate(pictures.sides):
            _add(archive, f"side_{number:02d}", Image.fromarray(side))
    return sink.getvalue()


def _add(archive: zipfile.ZipFile, name: str, picture: Image.Image) -> None:
    sink = io.BytesIO()
    picture.save(sink, "webp", lossless=True, quality=0, method=0)  # the fastest; transparent pixels lose their colour
    archive.writestr(zipfile.ZipInfo(f"{name}.webp", _WHEN), sink.getvalue())


def _checked(path: Path) -> bool:
    """Raises ValueError or OSError for a damaged file."""
    try:
        with zipfile.ZipFile(path) as archive:
            if (bad := archive.testzip()) is not None or not any(map(_is_photograph, archive.namelist())):
                raise ValueError(f"{path}: {bad or 'the photograph'} is damaged or missing")
    except zipfile.BadZipFile as error:
        raise ValueError(f"{path}: {error}") from error
    return True


def _read(path: Path) -> Pictures:
    """Raises ValueError, OSError or zipfile.BadZipFile (all of them `read_again` takes for damage)."""
    try:
        with zipfile.ZipFile(path) as archive:
            files = {name: Image.open(io.BytesIO(archive.read(name))) for name in sorted(archive.namelist())}
    except zipfile.BadZipFile as error:
        raise ValueError(f"{path}: {error}") from error
    photograph = next((file for name, file in files.items() if _is_photograph(name)), None)
    if photograph is None:
        raise ValueError(f"{path}: there is no photograph in it")
    return Pictures(
        np.asarray(photograph),
        tuple(_over(photograph, own) for name, own in files.items() if name.startswith("overlay_")),
        tuple(np.asarray(side) for name, side in files.items() if name.startswith("side_")),
    )


def _is_photograph(name: str) -> bool:
    return name in ("photograph.webp", "photograph.png")


def _over(photograph: Image.Image, own: Image.Image) -> Bytes:
    """The photograph with an overlay's own pixels."""
    if own.mode != "RGBA":  # every pixel is changed
        return np.asarray(own)
    whole = photograph.copy()
    whole.paste(own.convert("RGB"), mask=own.getchannel("A"))
    return np.asarray(whole)
