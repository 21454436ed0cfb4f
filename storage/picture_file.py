"""Pictures as files: WebP, PNG or JPEG with a bound on their bytes, names made of their content; GIF and MP4.

The same pixels and settings give the same bytes with the same version of Pillow. A leaf: it imports nothing of ours.
"""

import hashlib
import io
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Encoding = Literal["webp", "png", "jpeg"]
Pixels = NDArray[np.uint8]

QUALITY = {"webp": 80, "jpeg": 88, "png": 100}
EFFORT = 0  # of WebP, 0-6: at 4 it takes four times as long for 20 % fewer bytes
LEAST_QUALITY = 40  # below it, a smaller picture shows more
LEAST_SIDE = 64  # px, to which a picture is shrunk at most
SUFFIXES = {"webp": ".webp", "png": ".png", "jpeg": ".jpg"}


@dataclass(frozen=True)
class EncodedPicture:
    """The bytes of a picture file, and what they hold."""

    data: bytes
    encoding: Encoding
    width: int
    height: int

    @property
    def digest(self) -> str:
        """First 16 hex digits of the sha256 of the bytes."""
        return hashlib.sha256(self.data).hexdigest()[:16]

    def name(self, role: str = "") -> str:
        """A file name made of the content, after a word for what it shows: "overlay_03.1f6e0c2ab5d47719.webp"."""
        return f"{role}.{self.digest}{SUFFIXES[self.encoding]}" if role else f"{self.digest}{SUFFIXES[self.encoding]}"


def encoded(
    pixels: Pixels, encoding: Encoding = "webp", *, quality: int | None = None, most_bytes: int | None = None
) -> EncodedPicture:
    """RGB pixels (h, w, 3) as a picture file of at most `most_bytes` bytes.

    To keep within the bound the quality is lowered first, then the picture is shrunk (PNG: shrunk at once). Raises
    ValueError if even a picture of 64 px does not fit.
    """
    quality = QUALITY[encoding] if quality is None else quality
    picture = Image.fromarray(pixels)
    while True:
        found = _compressed(picture, encoding, quality)
        if most_bytes is None or len(found.data) <= most_bytes:
            return found
        if encoding != "png" and quality > LEAST_QUALITY:
            quality = max(LEAST_QUALITY, quality - 10)
            continue
        if max(picture.size) <= LEAST_SIDE:
            raise ValueError(
                f"a picture of {pixels.shape[1]} x {pixels.shape[0]} px does not fit into {most_bytes} bytes as "
                f"{encoding}; allow more bytes"
            )
        share = max(0.7, 0.98 * (most_bytes / len(found.data)) ** 0.5)
        side = (max(1, round(picture.width * share)), max(1, round(picture.height * share)))
        picture = Image.fromarray(pixels).resize(side, Image.Resampling.LANCZOS)


def _compressed(picture: Image.Image, encoding: Encoding, quality: int) -> EncodedPicture:
    sink = io.BytesIO()
    if encoding == "png":
        picture.save(sink, "png", compress_level=6)
    elif encoding == "webp":
        picture.save(sink, "webp", quality=quality, method=EFFORT)
    else:
        picture.save(sink, "jpeg", quality=quality)
    return EncodedPicture(sink.getvalue(), encoding, picture.width, picture.height)


def animated(frames: Iterable[Pixels], frames_per_second: float = 12.0) -> bytes:
    """The bytes of a GIF file that shows the frames (h, w, 3) again and again. Raises ValueError without frames."""
    pictures = [Image.fromarray(frame) for frame in frames]
    if not pictures:
        raise ValueError("an animation needs at least one frame")
    sample = pictures[:: max(1, len(pictures) // 6)]  # one palette for all frames, so that still parts do not flicker
    together = Image.new("RGB", (sample[0].width * len(sample), sample[0].height))
    for k, picture in enumerate(sample):
        together.paste(picture, (k * sample[0].width, 0))
    palette = together.quantize(256, method=Image.Quantize.MEDIANCUT)
    few = [picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in pictures]
    sink = io.BytesIO()
    few[0].save(
        sink,
        "gif",
        save_all=True,
        append_images=few[1:],
        duration=round(1000 / frames_per_second),
        loop=0,
        optimize=False,
    )
    return sink.getvalue()


class FilmError(ValueError):
    """There is nothing to make an MP4 file with; the message says what to install."""


def check_film() -> None:
    """Raises FilmError if PyAV, which `filmed` needs, is not installed."""
    if find_spec("av") is None:
        raise FilmError(
            "MP4 files are made by PyAV (36 MB, with FFmpeg): run `pip install 'hmr-align[video]'`, or leave "
            "--mp4 (turntable_mp4) out: GIF files need nothing"
        )


def filmed(frames: Iterable[Pixels], frames_per_second: int = 12) -> bytes:
    """The bytes of an MP4 file (H.264) that shows the frames (h, w, 3) once; an odd last row or column is left out.

    Raises FilmError if PyAV is not installed, and ValueError without frames.
    """
    check_film()
    import av  # pyright: ignore[reportMissingImports]  (an extra, and it loads FFmpeg)

    sink, stream = io.BytesIO(), None
    with av.open(sink, "w", format="mp4") as film:
        for frame in frames:
            height, width = (side // 2 * 2 for side in frame.shape[:2])  # its colours are kept for two pixels at a time
            if stream is None:
                stream = film.add_stream("libx264", rate=frames_per_second, options={"crf": "20", "threads": "1"})
                stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            film.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame[:height, :width]))))
        if stream is None:
            raise ValueError("a film needs at least one frame")
        film.mux(stream.encode(None))
    return sink.getvalue()
