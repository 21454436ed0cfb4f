"""Pictures as files: names by content, a bound on the bytes, animations."""

import io

import numpy as np
import pytest
from PIL import Image

from storage.picture_file import FilmError, animated, encoded, filmed

NOISE = np.random.default_rng(0).integers(0, 256, (160, 240, 3), np.uint8)
RAMP = np.broadcast_to(np.arange(240, dtype=np.uint8)[None, :, None], (160, 240, 3)).copy()


@pytest.mark.parametrize("encoding", ["webp", "png", "jpeg"])
def test_equal_pixels_are_equal_bytes_under_one_name(encoding):
    one, two, other = encoded(RAMP, encoding), encoded(RAMP.copy(), encoding), encoded(NOISE, encoding)
    assert one == two and one.name() == two.name() != other.name()
    stem, suffix = one.name("side_03").rsplit(".", 1)
    assert stem == f"side_03.{one.digest}" and suffix == {"jpeg": "jpg"}.get(encoding, encoding)
    shown = np.asarray(Image.open(io.BytesIO(one.data)).convert("RGB")).astype(int)
    assert shown.shape == RAMP.shape and np.abs(shown - RAMP).mean() < (1e-9 if encoding == "png" else 4)


@pytest.mark.parametrize("encoding", ["webp", "png", "jpeg"])
@pytest.mark.parametrize("most", [30_000, 6_000])
def test_bound_on_bytes_is_kept(encoding, most):
    found = encoded(NOISE, encoding, most_bytes=most)
    assert len(found.data) <= most
    assert Image.open(io.BytesIO(found.data)).size == (found.width, found.height)
    assert found.width / found.height == pytest.approx(1.5, abs=0.05)
    assert len(encoded(RAMP, "webp", most_bytes=30_000).data) == len(encoded(RAMP, "webp").data)


def test_bound_that_nothing_fits_says_so():
    with pytest.raises(ValueError, match="240 x 160 px does not fit into 50 bytes as webp; allow more bytes"):
        encoded(NOISE, most_bytes=50)


def test_animation_shows_every_frame_again_and_again():
    frames = [np.full((20, 30, 3), value, np.uint8) for value in (0, 90, 180)]
    picture = Image.open(io.BytesIO(animated(frames, frames_per_second=10.0)))
    assert picture.n_frames == 3 and picture.info["duration"] == 100 and picture.info["loop"] == 0
    for k, frame in enumerate(frames):
        picture.seek(k)
        assert np.abs(np.asarray(picture.convert("RGB")).astype(int) - frame).max() <= 8
    with pytest.raises(ValueError, match="at least one frame"):
        animated([])


def test_film_shows_every_frame_and_is_the_same_again():
    av = pytest.importorskip("av", reason="PyAV makes MP4 files: pip install 'hmr-align[video]'")
    frames = [np.full((33, 48, 3), value, np.uint8) for value in (20, 120, 220)]
    content = filmed(frames)
    with av.open(io.BytesIO(content)) as film:
        stream = film.streams.video[0]
        shown = [frame.to_ndarray(format="rgb24").mean() for frame in film.decode(stream)]
        assert stream.codec_context.name == "h264" and float(stream.average_rate) == 12
    assert np.abs(np.array(shown) - (20, 120, 220)).max() < 4 and filmed(frames) == content
    with pytest.raises(ValueError, match="at least one frame"):
        filmed([])


def test_film_without_its_package_says_what_to_install(monkeypatch):
    monkeypatch.setattr("storage.picture_file.find_spec", lambda name: None)
    with pytest.raises(FilmError, match=r"pip install 'hmr-align\[video\]'"):
        filmed([])
