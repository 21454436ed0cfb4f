"""Photographs: read upright in RGB from any kind of file, refused with one clear message, cropped exactly."""

import hashlib
import math
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import ExifTags, Image

from hmr.body.camera import to_crop
from hmr.detection.photograph import (
    PhotographError,
    crop_affine,
    crop_square,
    default_camera,
    photograph_size,
    read_photograph,
    shrink,
)


def scene(width: int = 64, height: int = 48) -> np.ndarray:
    """Red grows to the right, green downwards, blue is constant."""
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    return np.stack([x * 255 // (width - 1), y * 255 // (height - 1), np.full_like(x, 99)], 2).astype(np.uint8)


def saved(path: Path, picture: Image.Image, **options) -> Path:
    picture.save(path, **options)
    return path


def test_reads_pixels_digest_and_no_focal_length(tmp_path):
    path = saved(tmp_path / "scene.png", Image.fromarray(scene()))
    photograph = read_photograph(path)
    np.testing.assert_array_equal(photograph.pixels, scene())
    assert photograph.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert photograph.focal_px is None


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_undone(tmp_path, orientation):
    """Each stored form, made by turning or mirroring, comes back as the one upright scene."""
    stored = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.swapaxes(0, 1),
        6: lambda a: np.rot90(a, 1),
        7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
        8: lambda a: np.rot90(a, -1),
    }[orientation](scene())
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    path = saved(tmp_path / "turned.png", Image.fromarray(np.ascontiguousarray(stored)), exif=exif)
    assert photograph_size(path) == (64, 48)
    np.testing.assert_array_equal(read_photograph(path).pixels, scene())


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I;16", "I", "F"])
def test_every_mode_becomes_eight_bit_rgb(tmp_path, mode):
    grey = Image.fromarray(np.repeat(np.arange(256, dtype=np.uint8)[None], 40, 0))
    deep = np.asarray(grey).astype(np.uint32) * 257
    picture = {
        "I;16": lambda: Image.fromarray(deep.astype(np.uint16)),
        "I": lambda: Image.fromarray(deep.astype(np.int32)),
        "F": lambda: Image.fromarray(deep.astype(np.float32) / 65535),
    }.get(mode, lambda: (grey.convert("RGB") if mode in ("CMYK", "YCbCr") else grey).convert(mode))()
    pixels = read_photograph(saved(tmp_path / "picture.tif", picture)).pixels
    assert pixels.shape == (40, 256, 3) and pixels.dtype == np.uint8
    allowed = {"1": 255, "CMYK": 3, "YCbCr": 3}.get(mode, 1)
    assert np.abs(pixels.astype(int) - np.asarray(grey)[:, :, None]).max() <= allowed


def test_transparent_parts_are_white(tmp_path):
    clear = np.dstack([scene(), np.zeros((48, 64), np.uint8)])
    clear[:, 32:, 3] = 255
    pixels = read_photograph(saved(tmp_path / "clear.png", Image.fromarray(clear))).pixels
    assert (pixels[:, :32] == 255).all()
    np.testing.assert_array_equal(pixels[:, 32:], scene()[:, 32:])


def test_only_the_first_frame_counts(tmp_path):
    frames = [Image.new("RGB", (40, 40), colour) for colour in ("red", "blue")]
    path = saved(tmp_path / "two.gif", frames[0], save_all=True, append_images=frames[1:])
    assert (read_photograph(path).pixels == (255, 0, 0)).all()


def exif_of(**tags) -> Image.Exif:
    exif = Image.Exif()
    exif.get_ifd(ExifTags.IFD.Exif).update({ExifTags.Base[name]: value for name, value in tags.items()})
    return exif


@pytest.mark.parametrize(
    "tags, focal",
    [
        ({"FocalLengthIn35mmFilm": 43}, 43 * math.hypot(600, 400) / math.hypot(36, 24)),
        ({"FocalLengthIn35mmFilm": 0}, None),
        ({"FocalLengthIn35mmFilm": 43, "ExifImageWidth": 600, "ExifImageHeight": 600}, None),  # cut since
        # 50 mm lens, 600 px over 36 mm: 423.33 dots per inch; 50 / 36 x 600 px
        (
            {
                "FocalLength": 50.0,
                "FocalPlaneXResolution": 600 / 36 * 25.4,
                "FocalPlaneResolutionUnit": 2,
                "ExifImageWidth": 600,
                "ExifImageHeight": 400,
            },
            50 / 36 * 600,
        ),
        (
            {"FocalLength": 50.0, "FocalPlaneXResolution": 423.33},
            None,
        ),  # the sensor's picture size is unknown
        ({"FocalLength": 50.0}, None),
    ],
)
@pytest.mark.parametrize("turned", [False, True])
def test_focal_length_only_where_exif_is_unambiguous(tmp_path, tags, focal, turned):
    exif = exif_of(**tags)
    exif[ExifTags.Base.Orientation] = 6 if turned else 1
    got = read_photograph(saved(tmp_path / "photo.jpg", Image.new("RGB", (600, 400)), exif=exif)).focal_px
    assert got == (None if focal is None else pytest.approx(focal, rel=1e-3))


@pytest.mark.parametrize(
    "name, content, complaint",
    [
        ("empty.jpg", b"", "is empty"),
        ("text.jpg", b"no picture at all", "not a picture"),
        ("page.svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not a picture"),
    ],
)
def test_what_is_no_picture_is_refused(tmp_path, name, content, complaint):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(PhotographError, match=complaint) as caught:
        read_photograph(path)
    assert str(path) in str(caught.value)


def test_missing_file_and_folder_are_refused(tmp_path):
    for path in (tmp_path / "absent.jpg", tmp_path):
        with pytest.raises(PhotographError, match="cannot be read"):
            read_photograph(path)


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif", "bmp"])
def test_truncated_pictures_are_refused(tmp_path, suffix):
    noise = np.random.default_rng(0).integers(0, 256, (80, 80, 3), dtype=np.uint8)
    path = saved(tmp_path / f"cut.{suffix}", Image.fromarray(noise))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(PhotographError, match=r"cut\."):
        read_photograph(path)


def test_damaged_pictures_never_raise_anything_else(tmp_path):
    path = tmp_path / "damaged.png"
    chance = random.Random(0)
    whole = saved(path, Image.fromarray(scene())).read_bytes()
    for _ in range(60):
        content = bytearray(whole)
        for _ in range(4):
            content[chance.randrange(len(content))] = chance.randrange(256)
        path.write_bytes(bytes(content))
        try:
            read_photograph(path)
        except PhotographError as error:
            assert str(path) in str(error)


def test_sizes_beyond_use_are_refused(tmp_path):
    with pytest.raises(PhotographError, match="too small"):
        read_photograph(saved(tmp_path / "dot.png", Image.new("RGB", (31, 500))))
    for side in (11_000, 14_000):  # below and above the size at which Pillow itself raises
        with pytest.raises(PhotographError, match="too large"):
            read_photograph(saved(tmp_path / "vast.png", Image.new("1", (side, side))))


def test_crop_golden_values():
    """u = (x - cx) size / side + size / 2: by hand on an 8 x 8 picture whose red is 10 x column."""
    pixels = np.zeros((8, 8, 3), np.uint8)
    pixels[..., 0] = 10 * np.arange(8)
    # The whole picture at its own size is itself.
    np.testing.assert_array_equal(crop_square(pixels, (4, 4, 8), 8), pixels)
    # Half its size: the mean of pairs of columns.
    np.testing.assert_array_equal(crop_square(pixels, (4, 4, 8), 4)[0, :, 0], [5, 25, 45, 65])
    # Moved right by half a pixel: the mean of neighbours; the last sees half a pixel of black outside.
    np.testing.assert_array_equal(crop_square(pixels, (4.5, 4, 8), 8)[0, :, 0], [5, 15, 25, 35, 45, 55, 65, 35])
    # Columns 2 and 3 drawn twice as large: centres at 2.25, 2.75, 3.25, 3.75 of columns centred at + 0.5.
    # (values 17.5, 22.5, 27.5, 32.5, rounded half up)
    np.testing.assert_array_equal(crop_square(pixels, (3, 3, 2), 4)[0, :, 0], [18, 23, 28, 33])
    # Wholly outside: black.
    assert not crop_square(pixels, (100, 100, 8), 4).any()


@given(
    x=st.floats(10, 50),
    y=st.floats(10, 40),
    side=st.floats(4, 200),
    size=st.sampled_from([16, 33, 64]),
)
def test_crop_shows_each_point_where_the_equation_says(x, y, side, size):
    """A picture whose colours are linear in place is read back through the crop's own equation.

    Colours are rounded down (1), a mean over steps lies up to .086 px off their line (.47), it is rounded (.5).
    """
    crop = crop_square(scene(), (x, y, side), size).astype(float)
    centres = np.arange(size) + 0.5
    columns = x + (centres - size / 2) * side / size
    rows = y + (centres - size / 2) * side / size
    reach = max(1.0, side / size) / 2
    inside_x = (columns > reach) & (columns < 64 - reach)
    inside_y = (rows > reach) & (rows < 48 - reach)
    part = crop[np.ix_(inside_y, inside_x)]
    np.testing.assert_allclose(
        part[..., 0], np.broadcast_to((columns[inside_x] - 0.5) * 255 / 63, part.shape[:2]), atol=2.0
    )
    np.testing.assert_allclose(
        part[..., 1], np.broadcast_to(((rows[inside_y] - 0.5) * 255 / 47)[:, None], part.shape[:2]), atol=2.0
    )
    assert (part[..., 2] == 99).all()


@pytest.mark.parametrize("crop", [(1, 1, 0), (1, 1, -3), (math.nan, 1, 5), (1, math.inf, 5)])
def test_crop_that_is_no_square_is_refused(crop):
    for cut in (crop_square, crop_affine):
        with pytest.raises(ValueError, match="finite centre"):
            cut(scene(), crop, 8)


def test_affine_crop_golden_values():
    """By hand on an 8 x 8 picture whose red is 10 x column: pixel i shows index (i - 4) side / 8 + cx - 1/2."""
    pixels = np.zeros((8, 8, 3), np.uint8)
    pixels[..., 0] = 10 * np.arange(8)
    # cx = 4.5 is index 4: the picture itself.
    np.testing.assert_array_equal(crop_affine(pixels, (4.5, 4.5, 8), 8), pixels)
    # cx = 4 is index 3.5: half a pixel of black at the left, then means of neighbours.
    np.testing.assert_array_equal(crop_affine(pixels, (4, 4.5, 8), 8)[4, :, 0], [0, 5, 15, 25, 35, 45, 55, 65])
    # Half the size: indices 0, 2, 4, 6 and nothing of the columns between them.
    np.testing.assert_array_equal(crop_affine(pixels, (4.5, 4.5, 8), 4)[2, :, 0], [0, 20, 40, 60])
    # Twice the size about index 3: 2, 2.5, 3, 3.5.
    np.testing.assert_array_equal(crop_affine(pixels, (3.5, 3.5, 2), 4)[2, :, 0], [20, 25, 30, 35])
    # cx = 8.25 is index 7.75, so a quarter of 70, and 6.75 beside it: 17.5 and 67.5, rounded up.
    np.testing.assert_array_equal(crop_affine(pixels, (8.25, 4.5, 8), 8)[4, 3:5, 0], [68, 18])
    assert not crop_affine(pixels, (100, 100, 8), 4).any()


@given(column=st.integers(70, 130), row=st.integers(70, 130), power=st.integers(-1, 2), x=st.integers(80, 120))
def test_a_dot_lies_where_to_crop_says(column, row, power, x):
    """A white pixel comes back at index (u + 1) 128, for crops whose pixels fall onto the photograph's."""
    pixels = np.zeros((200, 200, 3), np.uint8)
    pixels[row, column] = 255
    crop = np.array([x + 0.5, 100.5, 256 * 2.0**-power], np.float32)
    centre = torch.tensor([[[column + 0.5, row + 0.5]]])
    u, v = ((to_crop(centre, torch.from_numpy(crop)[None])[0, 0] + 1) * 128).tolist()
    picture = crop_affine(pixels, crop)
    inside = 0 <= u < 256 and 0 <= v < 256 and u % 1 == 0 and v % 1 == 0
    bright = np.argwhere((picture == 255).all(2)).tolist()
    assert bright == ([[v, u]] if inside else [])


def test_between_pixels_a_dot_is_shared_by_its_place():
    """The brightness-weighted place of a dot is (u + 1) 128 also where it falls between the crop's pixels."""
    pixels = np.zeros((200, 200, 3), np.uint8)
    pixels[90, 110] = 255
    crop = np.array([103.3, 96.9, 180.0], np.float32)
    wanted = (to_crop(torch.tensor([[[110.5, 90.5]]]), torch.from_numpy(crop)[None])[0, 0] + 1) * 128
    seen = crop_affine(pixels, crop)[..., 0].astype(float)
    rows, columns = np.mgrid[:256, :256]
    place = [(seen * grid).sum() / seen.sum() for grid in (columns, rows)]
    np.testing.assert_allclose(place, wanted, atol=0.1)


def test_shrink_keeps_small_pictures_and_tells_the_factor():
    assert shrink(scene(), 64)[1] == 1.0
    small, factor = shrink(scene(), 32)
    assert small.shape == (24, 32, 3) and factor == 2.0
    np.testing.assert_array_equal(small, crop_square(scene(), (32, 32, 64), 32)[:24])


def test_default_camera_sees_53_degrees_from_corner_to_corner():
    np.testing.assert_allclose(default_camera(640, 480), [800, 800, 320, 240])
    np.testing.assert_allclose(default_camera(640, 480, 1000.0), [1000, 1000, 320, 240])
    assert math.degrees(2 * math.atan(400 / default_camera(640, 480)[0])) == pytest.approx(53.13, abs=0.01)


@pytest.mark.parametrize("content", [b"", b"no picture"])
def test_the_size_of_what_is_no_picture(tmp_path, content):
    (tmp_path / "a.jpg").write_bytes(content)
    for path in (tmp_path / "a.jpg", tmp_path / "absent.jpg"):
        with pytest.raises(PhotographError, match=str(path)):
            photograph_size(path)
