"""What the user is told of an exception: one line, and the traceback only for --debug."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from flows.cli.faults import is_ours, one_line, take_debug_flag
from tasks.run.settings import SettingsError

ROOT = Path(__file__).parents[4]


def test_ours_is_told_as_it_is_and_a_foreign_one_by_its_kind(monkeypatch):
    monkeypatch.delenv("HMR_ALIGN_DEBUG", raising=False)
    assert is_ours(SettingsError("say\nthis")) and one_line(SettingsError("say this")) == "say this"
    assert one_line(KeyError("x")).startswith("KeyError: 'x' (The same command with --debug")
    assert one_line(ValueError("two\n  lines: http://anna:pw@h/x")).startswith("ValueError: two lines: http://h/x (")
    assert one_line(MemoryError()).startswith("MemoryError (")


def test_a_full_disk_is_told_with_what_to_do(monkeypatch):
    monkeypatch.delenv("HMR_ALIGN_DEBUG", raising=False)
    told = one_line(OSError(errno.ENOSPC, "No space left on device", "runs/x"))
    assert "runs/x" in told and "make room on it, then give the same command again: what was done is kept" in told


@pytest.mark.parametrize("arguments", [["hmr-align", "--debug", "align"], ["hmr-align", "align", "--debug"]])
def test_debug_may_stand_anywhere(arguments, monkeypatch):
    monkeypatch.setenv("HMR_ALIGN_DEBUG", "")
    take_debug_flag(arguments)
    assert arguments == ["hmr-align", "align"] and os.environ["HMR_ALIGN_DEBUG"] == "1"


@pytest.mark.parametrize("debug", [False, True])
def test_a_foreign_exception_is_a_line_and_with_debug_a_traceback(debug, tmp_path):
    (tmp_path / "default" / "settings.json").mkdir(parents=True)
    program = [sys.executable, "-m", "flows.cli.command_line", "critique", "--plan", "--out", str(tmp_path)]
    done = subprocess.run([*program, *["--debug"] * debug], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1 and "hmr-align: IsADirectoryError: " in done.stderr
    assert ("Traceback" in done.stderr) == debug and (done.stderr.count("\n") == 1) != debug
