"""A folder that is looked at again and again: what counts as changed, and what is still being copied."""

import os
import time

from tasks.groups.folder_watch import STILL, look, note, noted

LONG_AGO = 1_000_000_000.0


def put(path, content: bytes = b"x", when: float = LONG_AGO) -> None:
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_bytes(content)
    os.utime(path, (when, when))


def test_what_is_seen(tmp_path):
    put(tmp_path / "a.jpg")
    put(tmp_path / "inner" / "b.jpg")
    put(tmp_path / ".hidden")
    (tmp_path / "broken.jpg").symlink_to(tmp_path / "nowhere")
    (tmp_path / os.fsdecode(b"odd\xff.jpg")).write_bytes(b"x")
    assert sorted(look(tmp_path).files) == ["a.jpg", "odd\\xff.jpg"]
    assert "inner/b.jpg" in look(tmp_path, nested=True).files


def test_a_folder_is_busy_while_something_is_copied(tmp_path):
    put(tmp_path / "a.jpg", when=LONG_AGO)
    assert look(tmp_path, now=LONG_AGO + STILL - 1).busy and not look(tmp_path, now=LONG_AGO + STILL + 1).busy


def test_a_clock_that_goes_wrong_keeps_nothing_busy_for_ever(tmp_path):
    """Files from the future: of a camera, or of a machine whose clock is ahead."""
    put(tmp_path / "a.jpg", when=time.time() + 1e6)
    assert not look(tmp_path).busy and "a.jpg" in look(tmp_path).files


def test_the_note_says_what_has_changed(tmp_path):
    put(tmp_path / "in" / "a.jpg")
    run = tmp_path / "run"
    assert noted(run) == {}
    note(run, look(tmp_path / "in").files)
    assert noted(run) == look(tmp_path / "in").files
    put(tmp_path / "in" / "a.jpg", b"other", LONG_AGO)  # as long ago, but of another size
    assert noted(run) != look(tmp_path / "in").files
    (run / "watched.json").write_text("damaged")
    assert noted(run) == {}  # all count as new, which only costs a look
