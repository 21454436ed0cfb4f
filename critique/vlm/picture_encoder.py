"""Pictures as the files that a vision-language critic is sent: JPEG, PNG or WebP, at most so large."""

import base64
import io
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from PIL import Image

from storage.records import Bytes, DrawnGroup

Detail = Literal["auto", "low", "high"]
Encoding = Literal["jpeg", "png", "webp"]
Views = Literal["front", "front+side"]
Part = dict[str, Any]

QUALITY = {"jpeg": 90, "webp": 85}
LOWER = (75, 60, 45)
"""Qualities tried where a picture has too many bytes, before it is made smaller."""
SMALLER = 0.8
"""Factor by which each side then shrinks at a time."""


@dataclass(frozen=True)
class PictureEncoder:
    """Turns pixels into a file, or into a message part; no file name, path or metadata is included."""

    long_side: int = 1024  # px; larger pictures are reduced to it, smaller ones stay
    encoding: Encoding = "jpeg"
    detail: Detail | None = None
    most_bytes: int | None = None  # of one file; None = any

    def __call__(self, pixels: Bytes) -> Part:
        """RGB pixels (h, w, 3) as a part of a chat message."""
        return self.part(self.file(pixels))

    def file(self, pixels: Bytes) -> bytes:
        """RGB pixels (h, w, 3) as a file; equal pixels are equal bytes.

        With too many bytes the quality is lowered first, and then the size: the first try that fits is taken. Raises
        ValueError if not even one pixel fits.
        """
        picture = Image.fromarray(pixels)
        picture.thumbnail((self.long_side, self.long_side), Image.Resampling.LANCZOS)
        for smaller, quality in self._tries(picture):
            file = _saved(smaller, self.encoding, quality)
            if self.most_bytes is None or len(file) <= self.most_bytes:
                return file
        raise ValueError(f"no {self.encoding} picture has only {self.most_bytes} bytes; raise max_picture_bytes")

    def _tries(self, picture: Image.Image) -> Iterator[tuple[Image.Image, int | None]]:
        best = QUALITY.get(self.encoding)
        yield picture, best
        if best is not None:
            yield from ((picture, quality) for quality in LOWER)
        lossy = None if best is None else LOWER[-1]
        side = max(picture.size)
        while side > 1:
            side = int(SMALLER * side)
            smaller = picture.copy()
            smaller.thumbnail((side, side), Image.Resampling.LANCZOS)
            yield smaller, lossy

    def part(self, file: bytes) -> Part:
        """An encoded picture as a part of a chat message."""
        data = base64.b64encode(file).decode("ascii")
        url: dict[str, str] = {"url": f"data:image/{self.encoding};base64,{data}"}
        if self.detail is not None:
            url["detail"] = self.detail
        return {"type": "image_url", "image_url": url}


def _saved(picture: Image.Image, encoding: Encoding, quality: int | None) -> bytes:
    buffer = io.BytesIO()
    how = {} if quality is None else {"quality": quality}
    if encoding == "webp":
        how["method"] = 1  # the default method takes three times as long, for 5 % fewer bytes
    picture.save(buffer, encoding, **how)
    return buffer.getvalue()


def picture_side(file: bytes) -> int:
    """Height of an encoded picture, px; only its head is read."""
    return Image.open(io.BytesIO(file)).height


def shown_pictures(group: DrawnGroup, views: Views) -> tuple[Bytes, tuple[Bytes, ...]]:
    """The photograph and the G overlays of a group, RGB pixels; a side view is placed to the right of its overlay.

    Raises ValueError if the group was drawn without a photograph, or without one overlay (and side view) per
    hypothesis.
    """
    size = len(group.group)
    if group.photograph is None or len(group.overlays) != size or (views != "front" and len(group.sides) != size):
        raise ValueError(
            f"group {group.group.person.group_id} of {size} hypotheses has {len(group.overlays)} overlays, "
            f"{len(group.sides)} side views and {'no' if group.photograph is None else 'a'} photograph; "
            "draw the pictures for critics that need them"
        )
    if views == "front+side":
        return group.photograph, tuple(np.hstack(pair) for pair in zip(group.overlays, group.sides))
    return group.photograph, group.overlays


@dataclass(frozen=True)
class Packing:
    """Encodes the pictures of a group and drops their pixels, in the process that has drawn them."""

    encoder: PictureEncoder
    views: Views

    def __call__(self, group: DrawnGroup) -> DrawnGroup:
        """The group with `packed` in the place of its pictures. Raises ValueError as `shown_pictures`."""
        photograph, overlays = shown_pictures(group, self.views)
        files = tuple(map(self.encoder.file, (photograph, *overlays)))
        return replace(group, photograph=None, overlays=(), sides=(), packed=files)
