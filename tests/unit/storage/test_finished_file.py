"""Finished files: whole under their final name or not there; strays of dead writers go, those of living ones stay."""

import logging
import os
import signal
import stat
import time

import pytest

from storage.finished_file import (
    UNFINISHED,
    finished_file,
    finished_folder,
    read_again,
    remove_strays,
    write_bytes,
    write_text,
)


def killed(work) -> None:
    """Run `work` in a forked child that is killed by itself at the end of it."""
    if (child := os.fork()) == 0:
        try:
            work()
        finally:
            os.kill(os.getpid(), signal.SIGKILL)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL


def test_a_file_is_replaced_when_the_block_ends(tmp_path):
    path = tmp_path / "new" / "folder" / "a.txt"
    write_text(path, "one, größer\n")
    assert path.read_bytes() == "one, größer\n".encode()
    with finished_file(path) as unfinished:
        unfinished.write_text("two")
        assert (path.read_text(encoding="utf-8")[:3], unfinished.suffix) == ("one", ".txt")
        assert (unfinished.parent, unfinished.name.startswith(UNFINISHED)) == (path.parent, True)
    assert path.read_text() == "two"
    assert os.listdir(path.parent) == ["a.txt"]


def test_it_has_the_permissions_of_any_new_file(tmp_path):
    (tmp_path / "plain").write_text("")
    write_bytes(tmp_path / "ours", b"")
    plain, ours = (stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("plain", "ours"))
    assert plain == ours


def test_after_an_exception_the_old_file_is_there_and_nothing_else(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with pytest.raises(RuntimeError, match="half-way"), finished_file(path) as unfinished:
        unfinished.write_text("ne")
        raise RuntimeError("half-way")
    assert (path.read_text(), os.listdir(tmp_path)) == ("old", ["a.txt"])


def test_a_name_as_long_as_names_may_be(tmp_path):
    path = tmp_path / f"{'n' * 251}.txt"
    write_text(path, "x")
    assert path.read_text() == "x"


def test_a_folder_replaces_another(tmp_path):
    for text in ("one", "two"):
        with finished_folder(tmp_path / "results") as unfinished:
            (unfinished / "inner").mkdir()
            (unfinished / "inner" / f"{text}.txt").write_text(text)
    assert [path.name for path in tmp_path.rglob("*")] == ["results", "inner", "two.txt"]


def test_after_an_exception_the_old_folder_is_there(tmp_path, monkeypatch):
    with finished_folder(tmp_path / "results") as unfinished:
        (unfinished / "a").write_text("one")
    with pytest.raises(RuntimeError), finished_folder(tmp_path / "results") as unfinished:
        raise RuntimeError
    rename = os.rename

    def refuse(source, target):
        if str(target).endswith("results") and not str(source).endswith(".old"):
            raise OSError(28, "No space left on device")
        rename(source, target)

    monkeypatch.setattr(os, "rename", refuse)
    with pytest.raises(OSError, match="No space"), finished_folder(tmp_path / "results") as unfinished:
        (unfinished / "a").write_text("two")
    assert [path.name for path in tmp_path.rglob("*")] == ["results", "a"]
    assert (tmp_path / "results" / "a").read_text() == "one"


def test_strays_of_the_killed_go(tmp_path):
    def die_writing_a_file():
        with finished_file(tmp_path / "deep" / "a.txt") as unfinished:
            unfinished.write_text("half")
            os.kill(os.getpid(), signal.SIGKILL)

    def die_writing_a_folder():
        with finished_folder(tmp_path / "b") as unfinished:
            (unfinished / "c").write_text("half")
            os.kill(os.getpid(), signal.SIGKILL)

    killed(die_writing_a_file)
    killed(die_writing_a_folder)
    assert len(list(tmp_path.rglob(f"{UNFINISHED}*"))) == 3  # a file, a folder and its lock
    assert len(remove_strays(tmp_path)) == 3
    assert list(tmp_path.iterdir()) == [tmp_path / "deep"]
    assert remove_strays(tmp_path) == []


def test_what_a_living_writer_holds_stays(tmp_path):
    with finished_file(tmp_path / "a.txt") as file, finished_folder(tmp_path / "b") as folder:
        (folder / "c").write_text("c")
        file.write_text("a")
        assert remove_strays(tmp_path) == []
    assert (tmp_path / "a.txt").read_text() + (tmp_path / "b" / "c").read_text() == "ac"
    if (child := os.fork()) == 0:  # another process
        with finished_file(tmp_path / "d.txt") as file:
            file.write_text("d")
            while not (tmp_path / "go").exists():
                time.sleep(0.005)
        os._exit(0)
    try:
        while not list(tmp_path.glob(f"{UNFINISHED}*")):
            time.sleep(0.005)
        time.sleep(0.01)
        assert remove_strays(tmp_path) == []
    finally:
        (tmp_path / "go").write_text("")
    assert os.waitpid(child, 0)[1] == 0
    assert (tmp_path / "d.txt").read_text() == "d"


def test_a_file_that_was_swept_before_it_was_locked_is_made_again(tmp_path, monkeypatch):
    """Between making a file and locking it a sweep may take it for a stray."""
    plain, swept = os.open, []

    def open_and_sweep(path, *arguments):
        handle = plain(path, *arguments)
        if not swept and str(path).endswith(".txt"):
            swept.append("now")
            swept.extend(remove_strays(tmp_path))
        return handle

    monkeypatch.setattr(os, "open", open_and_sweep)
    write_text(tmp_path / "a.txt", "there")
    assert len(swept) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_damage_is_told_and_absence_is_not(tmp_path, caplog):
    path = tmp_path / "a.json"
    with caplog.at_level(logging.WARNING):
        assert read_again(path, lambda file: int(file.read_text())) is None
        assert not caplog.records
        path.write_text("7")
        assert read_again(path, lambda file: int(file.read_text())) == 7
        path.write_text("7 and a ha")
        assert read_again(path, lambda file: int(file.read_text())) is None
    assert "a.json: damaged (ValueError" in caplog.text and "made again" in caplog.text


def test_a_file_that_may_not_be_read_is_not_damaged(tmp_path):
    def read(path):
        raise PermissionError(13, "Permission denied")

    with pytest.raises(PermissionError):
        read_again(tmp_path / "a", read)
