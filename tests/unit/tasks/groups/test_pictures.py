"""People's pictures are cut anew from the very photographs in which they were found, or refused."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import tasks.groups.pictures
from hmr.body.body import load_body
from hmr.detection.photograph import PhotographError, crop_affine
from hmr.studio.studio import SIZE, photographs
from storage.records import Person
from tasks.groups.pictures import pictures
from tests.factories import make_person

RNG = np.random.default_rng(0)


def on_disk(folder: Path, name: str) -> tuple[str, str, np.ndarray]:
    """A photograph of noise: path, sha256 and pixels."""
    pixels = RNG.integers(0, 256, (90, 120, 3), dtype=np.uint8)
    path = folder / f"{name}.png"
    Image.fromarray(pixels).save(path)
    return str(path), hashlib.sha256(path.read_bytes()).hexdigest(), pixels


def person(photo: str, sha256: str, **given) -> Person:
    crop = np.float32([*RNG.uniform(30, 80, 2), RNG.uniform(40, 90)])
    return make_person(RNG, photo=photo, photo_sha256=sha256, crop=crop, **given)


def test_the_stored_crop_serves_where_its_side_is_wanted():
    people = [make_person(RNG) for _ in range(2)]
    np.testing.assert_array_equal(pictures(people, 128), np.stack([p.picture for p in people]))


def test_each_photograph_is_read_once_and_cut_for_each_of_its_people(tmp_path, monkeypatch):
    found = {name: on_disk(tmp_path, name) for name in "ab"}
    people = [person(*found[name][:2]) for name in "abab"]
    read: list[Path] = []
    real = tasks.groups.pictures.read_photograph
    monkeypatch.setattr(tasks.groups.pictures, "read_photograph", lambda path: (read.append(path), real(path))[1])
    cut = pictures(people, 256)
    assert cut.shape == (4, 256, 256, 3) and cut.dtype == np.uint8
    for one, picture, name in zip(people, cut, "abab"):
        np.testing.assert_array_equal(picture, crop_affine(found[name][2], one.crop, 256))
    assert [path.stem for path in read] == ["a", "b"]


def test_one_error_names_every_photograph_that_is_gone_or_changed(tmp_path):
    (a, sha_a, _), (b, sha_b, _), (c, sha_c, _) = (on_disk(tmp_path, name) for name in "abc")
    people = [person(a, sha_a), person(b, sha_b), person(c, sha_c)]
    Path(a).unlink()
    Image.fromarray(np.zeros((90, 120, 3), np.uint8)).save(b)
    with pytest.raises(PhotographError) as caught:
        pictures(people, 256)
    text = str(caught.value)
    assert f"{a} is gone" in text and f"{b} has changed since its people were found" in text
    assert c not in text and "another --name" in text


def test_people_of_the_benchmark_have_their_scenes_drawn_again():
    scenes = [("val", 3), ("easy_val", 3), ("val", 0), ("val", 7)]
    people = [person("", "", group_id=f"{split}-{scene:06d}", width=SIZE, height=SIZE) for split, scene in scenes]
    cut = pictures(people, 256)
    for (split, scene), one, picture in zip(scenes, people, cut):
        (pixels,) = photographs(load_body(), split, [scene])
        np.testing.assert_array_equal(picture, crop_affine(pixels, one.crop, 256))
