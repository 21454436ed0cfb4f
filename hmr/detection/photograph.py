"""Photographs: read from a file as they are meant to be seen, and cropped to squares.

Coordinates are pixels of the upright photograph, x right, y down, from its upper left corner; pixel centres
lie at + 0.5.
"""

import hashlib
import io
import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps

from hmr.detection.resampling import resample_affine, resample_area

SMALLEST_SIDE = 32  # px; a person cannot be posed from less
MOST_PIXELS = 120_000_000  # 360 MB as RGB; beyond the largest cameras in use
FILM_DIAGONAL = math.hypot(36, 24)  # mm, the frame to which a "35 mm equivalent" focal length refers


class PhotographError(ValueError):
    """A file that is no photograph, or one that cannot be used."""


@dataclass(frozen=True, eq=False)
class Photograph:
    """A photograph, upright and in RGB."""

    pixels: NDArray[np.uint8]  # (h, w, 3)
    sha256: str  # of the file's bytes
    focal_px: float | None  # focal length in pixels by the file's EXIF data; None if unknown


def read_photograph(path: Path) -> Photograph:
    """Read a picture of any format that Pillow knows; only its first frame.

    Raises PhotographError if the file cannot be read, is empty, damaged or no picture, or if it is too small or large.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise PhotographError(f"{path}: cannot be read ({error.strerror}). Give the path of a picture file.") from error
    if not content:
        raise PhotographError(f"{path}: the file is empty. Copy the picture again.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of odd metadata and of large pictures; size is checked here
            with Image.open(io.BytesIO(content)) as picture:
                _check_size(path, picture.width, picture.height)
                focal = _focal_px(picture)
                pixels = _rgb(ImageOps.exif_transpose(picture))
    except PhotographError:
        raise
    except Image.UnidentifiedImageError as error:
        raise PhotographError(
            f"{path}: not a picture in a format that can be read. Save it as JPEG, PNG or WebP."
        ) from error
    except Image.DecompressionBombError as error:
        raise PhotographError(_too_large(path, "far")) from error
    except Exception as error:  # decoders fail in many ways on damaged data
        raise PhotographError(
            f"{path}: damaged or cut short ({type(error).__name__}: {error}). Copy or export it again."
        ) from error
    return Photograph(pixels, hashlib.sha256(content).hexdigest(), focal)


def photograph_size(path: Path) -> tuple[int, int]:
    """Width and height of a picture as `read_photograph` shows it, px, from its header alone.

    Raises PhotographError if the file cannot be read as a picture, or if it is too small or too large.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path) as picture:
                turned = picture.getexif().get(ExifTags.Base.Orientation, 1) in (5, 6, 7, 8)
                width, height = picture.size
    except Exception as error:  # the same many ways; `read_photograph` says more
        raise PhotographError(f"{path}: not a picture that can be read ({type(error).__name__}: {error}).") from error
    return (height, width) if turned else (width, height)


def whole_picture(path: Path) -> Path:
    """The same path, if the picture (one that we wrote) can be read to its end; else raises what Pillow raises."""
    with Image.open(path) as picture:
        if picture.format == "PNG":
            picture.verify()  # checksums of all parts, without decoding them
        else:
            picture.draft("L", (64, 64))  # a JPEG is decoded at an eighth of its size
            picture.load()
    return path


def _check_size(path: Path, width: int, height: int) -> None:
    if min(width, height) < SMALLEST_SIDE:
        raise PhotographError(
            f"{path}: the picture is {width} x {height} px, too small. Use one of at least {SMALLEST_SIDE} px a side."
        )
    if width * height > MOST_PIXELS:
        raise PhotographError(_too_large(path, f"with {width} x {height} px"))


def _too_large(path: Path, how: str) -> str:
    return f"{path}: the picture is too large, {how} above {MOST_PIXELS // 10**6} megapixels. Shrink it first."


def _rgb(picture: Image.Image) -> NDArray[np.uint8]:
    """Any mode as 8-bit RGB: deep grey scaled to its range, transparency laid over white."""
    if picture.mode.startswith("I") or picture.mode == "F":
        deep = np.asarray(picture, dtype=np.float64)
        full = 65535.0 if picture.mode.startswith("I") else max(1.0, float(np.nanmax(deep)))
        grey = np.nan_to_num(deep / full * 255).clip(0, 255).round().astype(np.uint8)
        return np.repeat(grey[:, :, None], 3, axis=2)
    if picture.has_transparency_data:
        seen = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", seen.size, "white"), seen)
    return np.array(picture.convert("RGB"))


def _focal_px(picture: Image.Image) -> float | None:
    """Focal length in pixels by EXIF, or None where absent, impossible, or the picture was cut since.

    Either the 35 mm equivalent, by the ratio of the diagonals (CIPA DCG-001), or the true focal length times
    the sensor's resolution, which only serves while the picture still has the size that the camera gave it.
    """
    try:
        tags = picture.getexif().get_ifd(ExifTags.IFD.Exif)
        taken = (
            float(tags.get(ExifTags.Base.ExifImageWidth, 0)),
            float(tags.get(ExifTags.Base.ExifImageHeight, 0)),
        )
        width, height = sorted(picture.size)
        short, long = sorted(taken)
        if short > 0 and abs(short * height / (long * width) - 1) > 0.02:
            return None
        film = float(tags.get(ExifTags.Base.FocalLengthIn35mmFilm, 0))
        if 4 <= film <= 2000:
            return film * math.hypot(*picture.size) / FILM_DIAGONAL
        unit = {2: 25.4, 3: 10.0}.get(int(tags.get(ExifTags.Base.FocalPlaneResolutionUnit, 2)))  # mm
        focal = float(tags.get(ExifTags.Base.FocalLength, 0))
        density = float(tags.get(ExifTags.Base.FocalPlaneXResolution, 0))
        if not unit or (short, long) != (width, height):
            return None
        focal_px = focal * density / unit
    except Exception:  # metadata never keep a picture from being read
        return None
    return focal_px if 0.2 * long < focal_px < 50 * long else None


def crop_square(pixels: NDArray[np.uint8], crop: Sequence[float | int] | NDArray, size: int) -> NDArray[np.uint8]:
    """The square `crop` (centre x, y, side; px) of a (h, w, 3) picture as (size, size, 3); black outside.

        u = (x - cx) size / side + size / 2, and v likewise

    Bilinear when it enlarges, area mean when it shrinks. Raises ValueError if the crop is not finite or its side not
    above 0.
    """
    cx, cy, side = _square(crop)
    return resample_area(pixels, cx - side / 2, cy - side / 2, side / size, size, size)


def crop_affine(pixels: NDArray[np.uint8], crop: Sequence[float | int] | NDArray, size: int = 256) -> NDArray[np.uint8]:
    """The square `crop` as the published networks were shown it: (size, size, 3), black outside.

        output pixel i shows the photograph at index (i - size / 2) side / size + cx - 1/2, and likewise in y

    Bilinear at every scale, so that shrinking aliases as theirs did; pixels are counted by index there, hence the
    1/2 beside our centre. A point that `camera.to_crop` puts at u lies at index (u + 1) size / 2. OpenCV, which
    they warp with, rounds places to 1/32 px and weights to fixed point; that is not imitated. Raises ValueError as
    `crop_square` does.
    Source: the affine crop of ScoreHypo (Xu et al., CVPR 2024).
    """
    cx, cy, side = _square(crop)
    step = side / size
    first = -step * (size + 1) / 2  # resample_affine counts output pixel i as i + 1/2
    matrix = np.array([[step, 0, cx + first], [0, step, cy + first]])
    return (resample_affine(pixels, matrix, size, 1) + np.float32(0.5)).astype(np.uint8)


def _square(crop: Sequence[float | int] | NDArray) -> tuple[float, float, float]:
    """Centre x, centre y and side of a crop; raises ValueError for one that is no square."""
    cx, cy, side = (float(value) for value in np.asarray(crop))
    if not (math.isfinite(cx) and math.isfinite(cy) and math.isfinite(side) and side > 0):
        raise ValueError(f"crop {crop} is no square; give finite centre x, centre y and a side above 0, in pixels")
    return cx, cy, side


def shrink(pixels: NDArray[np.uint8], long_side: int) -> tuple[NDArray[np.uint8], float]:
    """The picture (h, w, 3) with at most `long_side` px a side, and the factor from its pixels to the original's."""
    step = max(pixels.shape[:2]) / long_side
    if step <= 1:
        return pixels, 1.0
    height, width = (math.ceil(length / step - 1e-6) for length in pixels.shape[:2])
    return resample_area(pixels, 0.0, 0.0, step, height, width), step


def default_camera(width: int, height: int, focal: float | None = None) -> NDArray[np.float32]:
    """Pinhole (fx, fy, cx, cy), px: principal point in the middle of the picture; unknown focal length = its diagonal.

    Source of the diagonal rule: Kissos et al. 2020 (arXiv:2009.10013): 53 degrees from corner to corner.
    """
    length = math.hypot(width, height) if focal is None else focal
    return np.array([length, length, width / 2, height / 2], np.float32)
