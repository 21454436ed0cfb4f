"""What lies in a folder, by its contents: every file is found or named with its reason, whatever it is called."""

import os

import pytest

from hmr.detection.photograph import PhotographError
from tasks.groups.image_search import Source, search


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "my photos (2024)"
    folder.mkdir()
    return folder


def short_names(source: Source) -> list[str]:
    return [short for _, short in search(source).found.values()]


@pytest.mark.parametrize(
    "name, prefix",
    [("my photos (2024)", "my-photos-2024"), ("übung", "ubung"), ("_under", "under"), ("写真", "photograph")],
)
def test_shards_have_names_that_every_reader_takes(tmp_path, name, prefix):
    assert Source(tmp_path / name).prefix == prefix


def test_names_are_data(folder):
    names = ["wild-boar.jpg", "ü b.jpg", f"{'x' * 245}.jpg", "写真.jpg"]
    for k, name in enumerate(names):
        (folder / name).write_bytes(bytes([k]))
    assert short_names(Source(folder)) == ["wild-boar", "x" * 40, "u-b", "photograph"]


def test_one_bad_name_costs_one_picture(folder):
    (folder / "good.jpg").write_bytes(b"1")
    with open(os.path.join(os.fsencode(folder), b"b\xe4d.jpg"), "wb") as file:
        file.write(b"2")
    found = search(Source(folder))
    assert [path.name for path, _ in found.found.values()] == ["good.jpg"]
    assert found.skipped == [("b\ufffdd.jpg", "its name is not UTF-8 text, which no table can keep. Rename it")]


def test_the_same_picture_twice_is_looked_at_once(folder):
    (folder / "a.jpeg").write_bytes(b"1")
    (folder / "a.jpg").write_bytes(b"1")
    found = search(Source(folder))
    assert len(found.found) == 1 and found.skipped == [("a.jpg", "the same picture as a.jpeg, which is taken")]


def test_keypoints_are_part_of_what_a_photograph_is(folder):
    for name in ("a.jpg", "b.jpg"):
        (folder / name).write_bytes(b"1")
    (folder / "b.json").write_text("{}")
    assert short_names(Source(folder)) == ["a", "b"]


def test_folders_and_broken_links_are_told(folder):
    (folder / "a.jpg").write_bytes(b"1")
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / "deep" / "er" / "b.jpg").write_bytes(b"2")
    (folder / "deep" / ".hidden").write_bytes(b"3")
    (folder / "gone.jpg").symlink_to("nowhere")
    (folder / "round").symlink_to(folder)
    plain = search(Source(folder))
    assert len(plain.found) == 1 and dict(plain.skipped) == {
        "gone.jpg": "a link to nothing. Mend or remove it",
        "deep/": "a folder: set [photographs] nested = true to search it",
        "round/": "a folder: set [photographs] nested = true to search it",
    }
    nested = search(Source(folder, nested=True))
    assert [path.relative_to(folder).as_posix() for path, _ in nested.found.values()] == ["a.jpg", "deep/er/b.jpg"]
    assert dict(nested.skipped)["round/"] == "a link to a folder, not searched"


def test_no_folder_is_an_error(tmp_path):
    with pytest.raises(PhotographError, match="give --images a folder"):
        search(Source(tmp_path / "none"))
