"""Pictures that are kept come back bit for bit, and what is damaged counts as not there."""

import io
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from storage.picture_store import Pictures, PictureStore, digest_of


def pictures(seed: int, count: int = 3, side: int = 8, sides: bool = True) -> Pictures:
    rng = np.random.default_rng(seed)

    def noise() -> np.ndarray:
        return rng.integers(0, 256, (side, side, 3), np.uint8)

    photograph = noise()
    overlays = tuple(np.where(rng.random((side, side, 1)) < 0.5, noise(), photograph) for _ in range(count))
    return Pictures(photograph, overlays, tuple(noise() for _ in range(count)) if sides else ())


def equal(one: Pictures, two: Pictures) -> bool:
    return all(
        len(a) == len(b) and all(map(np.array_equal, a, b))
        for a, b in ((one.overlays, two.overlays), (one.sides, two.sides), ((one.photograph,), (two.photograph,)))
    )


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 12), st.booleans())
def test_pictures_come_back_bit_for_bit(tmp_path_factory, seed, count, sides):
    store, drawn = PictureStore(tmp_path_factory.mktemp("kept")), pictures(seed, count, sides=sides)
    store.write("ab12", drawn)
    found = store.read("ab12")
    assert found is not None and equal(found, drawn)


def test_a_file_is_pictures_with_the_photograph_left_out_of_overlays(tmp_path):
    store, drawn = PictureStore(tmp_path), pictures(0, 1)
    store.write("abcd", drawn)
    assert store.file("abcd") == tmp_path / "ab" / "abcd.zip"
    with zipfile.ZipFile(store.file("abcd")) as archive:
        assert archive.namelist() == ["photograph.webp", "overlay_00.webp", "side_00.webp"]
        overlay = np.asarray(Image.open(io.BytesIO(archive.read("overlay_00.webp"))))
    changed = (drawn.overlays[0] != drawn.photograph).any(-1)
    assert (overlay[..., 3] == 255 * changed).all() and not overlay[~changed].any()


def test_files_of_older_stores_are_read(tmp_path):
    store, drawn = PictureStore(tmp_path), pictures(0, 1)
    store.write("abcd", drawn)
    with zipfile.ZipFile(store.file("abcd")) as archive:
        files = {name.replace("webp", "png"): Image.open(io.BytesIO(archive.read(name))) for name in archive.namelist()}
    with zipfile.ZipFile(store.file("abcd"), "w") as archive:
        for name, picture in files.items():
            with archive.open(name, "w") as file:
                picture.save(file, "png")
    found = store.read("abcd")
    assert store.holds("abcd") and found is not None and equal(found, drawn)


def test_an_overlay_may_differ_everywhere_or_nowhere(tmp_path):
    photograph = np.zeros((8, 8, 3), np.uint8)
    drawn = Pictures(photograph, (photograph + np.uint8(1), photograph), ())
    store = PictureStore(tmp_path)
    store.write("abcd", drawn)
    found = store.read("abcd")
    assert found is not None and equal(found, drawn)


def test_equal_pictures_are_equal_files(tmp_path):
    for name in "ab":
        PictureStore(tmp_path / name).write("0" * 64, pictures(1))
    one, two = (PictureStore(tmp_path / name).file("0" * 64).read_bytes() for name in "ab")
    assert one == two


@pytest.mark.parametrize("damage", [b"", b"no zip", None])
def test_what_is_damaged_or_lacking_is_not_there(tmp_path, damage, caplog):
    store = PictureStore(tmp_path)
    assert store.read("abcd") is None and not caplog.records
    store.write("abcd", pictures(2))
    content = store.file("abcd").read_bytes()
    middle = len(content) // 2
    flipped = content[:middle] + bytes([content[middle] ^ 255]) + content[middle + 1 :]
    store.file("abcd").write_bytes(flipped if damage is None else damage)
    assert store.read("abcd") is None and "it is made again" in caplog.text and not store.holds("abcd")


def test_a_digest_tells_parts_types_and_shapes_apart():
    array = np.zeros((2, 3), np.float32)
    details = [["ab", "c"], ["a", "bc"], [array], [array.T.copy()], [array.astype(np.int32)], [array.tobytes()], []]
    assert len({digest_of(parts) for parts in details}) == len(details)
    assert digest_of([array, "x"]) == digest_of([array.copy(order="F"), "x"])
