"""What the user types, as files; names of files, as names of folders."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hmr.detection.photograph import PhotographError
from tasks.groups.photograph_list import (
    LONGEST,
    UNREADABLE_NAME,
    folder_names,
    inputs_sha256,
    name_of,
    photographs_of,
    short_form,
)


def touch(folder: Path, *names: str) -> list[Path]:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    return [folder / name for name in names]


def test_a_folder_a_file_and_a_pattern_each_file_once(tmp_path):
    touch(tmp_path, "b.jpg", "a.png", ".hidden.jpg", "inner/c.jpg", "b_keypoints.json", "notes.txt")
    files, faults = photographs_of([str(tmp_path), str(tmp_path / "b.jpg"), str(tmp_path / "*/*.jpg")])
    assert [path.relative_to(tmp_path).as_posix() for path in files] == ["a.png", "b.jpg", "notes.txt", "inner/c.jpg"]
    assert faults == []


def test_what_names_nothing_is_told_with_the_reason(tmp_path):
    (tmp_path / "empty").mkdir()
    details = dict(photographs_of([str(tmp_path / name) for name in ("empty", "gone.jpg", "*.jpg", "x" * 300)])[1])
    reasons = [why.split(".")[0] for why in details.values()]
    gone = "there is no such file or folder"
    assert reasons == ["no files in this folder", gone, "matches no file", gone]


def test_a_file_that_looks_like_a_pattern_is_a_file(tmp_path):
    (file,) = touch(tmp_path, "me [1].jpg")
    assert photographs_of([str(file)]) == ([file], [])


def test_results_are_named_after_the_argument(tmp_path, monkeypatch):
    touch(tmp_path, "Ferien in Köln/a b.jpg")
    monkeypatch.chdir(tmp_path / "Ferien in Köln")
    assert [name_of(x) for x in (".", "a b.jpg", "*.jpg")] == ["Ferien-in-Koln", "a-b", "Ferien-in-Koln"]
    assert name_of(str(tmp_path / "Fer*" / "*.jpg")) == short_form(tmp_path.name)


def test_a_plain_stem_names_its_folder_and_odd_ones_get_a_digest():
    names = folder_names([Path("/p/dog.jpg"), Path("/p/ein Käse [2].png"), Path(f"/p/{'x' * 200}.jpg")], {})
    assert names[0] == "dog"
    assert names[1].startswith("ein-Kase-2-") and len(names[1]) == len("ein-Kase-2-") + 8
    assert len(names[2]) == LONGEST + 9


def test_equal_stems_are_told_apart_and_a_folder_keeps_its_photograph(tmp_path):
    one, two, three = touch(tmp_path, "a/x.jpg", "b/x.png", "c/X.jpg")
    names = folder_names([one, two, three], {})
    assert len(set(names)) == 3 and all(len(name) == 10 for name in names)
    assert folder_names([two, one], {"x": one})[1] == "x"
    assert folder_names([two], {"x": one})[0] != "x"
    one.unlink()
    assert folder_names([two], {"x": one}) == ["x"]  # whoever had it is gone


def test_no_folder_is_named_as_a_file_beside_it():
    assert folder_names([Path("/p/Index.html.jpg"), Path("/p/results.parquet.png")], {}) != ["Index.html"]
    assert all(len(name.rpartition("-")[2]) == 8 for name in folder_names([Path("/p/index.html.jpg")], {}))


@given(st.lists(st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1), min_size=1))
def test_names_are_safe_and_differ(stems):
    paths = [Path("/p") / f"{stem}.jpg" for stem in dict.fromkeys(stems) if stem.strip(".")]
    names = folder_names(paths, {})
    assert len({name.lower() for name in names}) == len(paths)
    assert all(name.isascii() and name[0].isalnum() and not set(name) & set(' /\\:*?"<>|[]#%&') for name in names)


def test_the_digest_covers_brought_keypoints(tmp_path):
    (photo,) = touch(tmp_path, "a.jpg")
    before = inputs_sha256(photo)
    touch(tmp_path, "a.json")
    assert inputs_sha256(photo) != before
    with pytest.raises(PhotographError, match=r"gone\.jpg: cannot be read"):
        inputs_sha256(tmp_path / "gone.jpg")


def test_names_that_are_no_text_are_told(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"1")
    with open(os.path.join(os.fsencode(tmp_path), b"b\xe4d.jpg"), "wb") as file:
        file.write(b"2")
    files, faults = photographs_of([str(tmp_path)])
    assert [path.name for path in files] == ["a.jpg"]
    assert faults == [(f"{tmp_path}/b\ufffdd.jpg", UNREADABLE_NAME)]
