"""One process at a time in a run's folder: refused at once with the other's name, and free when it dies."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager

import pytest

from tasks.run.run_lock import FILE, RunInUse, held, lent

HOLD = "import sys, time\nfrom pathlib import Path\nfrom tasks.run.run_lock import held\n" \
       "with held(Path(sys.argv[1])):\n    print('in', flush=True)\n    time.sleep(60)"  # fmt: skip


@contextmanager
def holder(folder):
    """Another process that holds the folder, until it is killed."""
    with subprocess.Popen([sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None and other.stdout.readline() == b"in\n"
        yield other
        other.send_signal(signal.SIGKILL)


def test_a_second_process_is_refused_until_the_first_is_killed(tmp_path):
    folder = tmp_path / "run"
    with holder(folder) as other:
        with pytest.raises(RunInUse) as details, held(folder):
            pass
        assert f"is in use by process {other.pid} on {socket.gethostname()} since 20" in str(details.value)
        assert "choose another --name" in str(details.value)
        for ahead in (3600, -3600):  # as a worker with another clock writes it
            os.utime(folder / FILE, (time.time() + ahead,) * 2)
            with pytest.raises(RunInUse), held(folder):
                pass
    with held(folder):
        assert json.loads((folder / FILE).read_text())["pid"] == os.getpid()


def test_a_folder_in_which_nothing_was_done_does_not_stay(tmp_path):
    with held(tmp_path / "typo"):
        pass
    assert list(tmp_path.iterdir()) == []
    with held(tmp_path / "run"):
        (tmp_path / "run" / "kept").touch()
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["kept", FILE]


def test_blocks_in_one_process_may_be_nested(tmp_path):
    with held(tmp_path), held(tmp_path / "."):
        pass
    with pytest.raises(KeyError), held(tmp_path):
        raise KeyError
    with holder(tmp_path):  # it was let go
        pass


def test_a_folder_is_lent_to_another_process_and_taken_back(tmp_path):
    folder = tmp_path / "run"
    with held(folder):
        (folder / "kept").touch()
        with held(folder), lent(folder), holder(folder):
            pass
        with pytest.raises(RunInUse), lent(folder), ExitStack() as others:
            others.enter_context(holder(folder))
            taken = others.pop_all()  # it stays longer than it should
        taken.close()
    with lent(folder), holder(folder):  # nobody here holds it: nothing to lend
        pass
