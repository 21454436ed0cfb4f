"""When results count as done, and what changes them."""

import json
from pathlib import Path

import pytest

from storage.finished_file import UNFINISHED
from tasks.recovery.record import FILE, FORMAT, Job, is_done, records_in, recovery_sha256
from tasks.run.settings import Settings, SettingsError, load_settings


def write(folder: Path, photo: str = "/p/a.jpg", **given) -> None:
    folder.mkdir()
    (folder / "person0.npz").write_bytes(b"x")
    kept = {"format": FORMAT, "photo": photo, "inputs_sha256": "i", "settings_sha256": "s", "files": ["person0.npz"]}
    (folder / FILE).write_text(json.dumps({**kept, **given}))


def job(folder: Path, **given) -> Job:
    known = {"photograph": Path("/p/a.jpg"), "inputs_sha256": "i", "settings_sha256": "s"}
    return Job(**{**known, "folder": folder, "settings": Settings(), **given})


def test_done_is_whole_and_of_the_same_bytes_and_settings(tmp_path):
    folder = tmp_path / "a"
    assert not is_done(job(folder))
    write(folder)
    assert is_done(job(folder))
    for other in ({"inputs_sha256": "j"}, {"settings_sha256": "t"}, {"photograph": Path("/p/b.jpg")}):
        assert not is_done(job(folder, **other))
    (folder / "person0.npz").unlink()
    assert not is_done(job(folder)) and records_in(tmp_path) == {}


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '{"format": "another", "files": []}'])
def test_a_broken_record_is_none(tmp_path, text):
    write(tmp_path / "a")
    (tmp_path / "a" / FILE).write_text(text)
    assert records_in(tmp_path) == {}


def test_records_come_by_the_photographs_name(tmp_path):
    write(tmp_path / "z", "/p/a.jpg")
    write(tmp_path / "y", "/q/B.jpg")
    (tmp_path / "index.html").write_text("")
    assert list(records_in(tmp_path)) == ["z", "y"]
    assert records_in(tmp_path / "gone") == {}


def test_results_that_were_cut_short_are_not_done_and_it_is_told(tmp_path, caplog):
    write(tmp_path / "a", files={"person0.npz": 1})
    assert is_done(job(tmp_path / "a"))
    (tmp_path / "a" / "person0.npz").write_bytes(b"")
    assert not is_done(job(tmp_path / "a")) and records_in(tmp_path) == {}
    assert "person0.npz beside it is lost or cut short" in caplog.text


def test_unfinished_results_are_no_results(tmp_path):
    write(tmp_path / "a")
    write(tmp_path / f"{UNFINISHED}1-b")
    assert list(records_in(tmp_path)) == ["a"]


def test_the_digest_follows_what_changes_results_alone(tmp_path):
    def digest(**flags) -> str:
        return recovery_sha256(load_settings(None, flags))

    plain = digest()
    assert plain == digest(recover={"out": tmp_path, "name": "x", "processes": 3}, train={"steps": 5})
    changed = [
        digest(recover={"pick": "mean"}), digest(recover={"formats": ["glb"]}), digest(run={"seed": 1}),
        digest(base={"checkpoint": "lab"}), digest(photographs={"focal_px": 900.0}), digest(sample={"steps": 8}),
    ]  # fmt: skip
    assert len({plain, *changed}) == 7
    assert plain == digest(base={"checkpoint": "default"}, sample={"temperature": 2.0, "device": "cpu"})
    assert digest(recover={"formats": ["glb", "obj"]}) == digest(recover={"formats": ["obj", "npz", "glb"]})
    file = tmp_path / "model.safetensors"
    file.write_bytes(b"one")
    one = digest(base={"checkpoint": str(file)})
    file.write_bytes(b"two")
    assert digest(base={"checkpoint": str(file)}) != one
    with pytest.raises(SettingsError, match=r"--checkpoint or --body"):
        digest(base={"checkpoint": str(tmp_path / "gone")})
