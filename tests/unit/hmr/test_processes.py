"""Jobs in several processes: order, faults, a process that dies, and one whose parent does."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from hmr.processes import ProcessDiedError, in_processes, processes_kept

ROOT = Path(__file__).parents[3]


def work(job: int) -> tuple[int, int]:
    if job == 13:
        raise ValueError("thirteen")
    if job == 99:
        os._exit(1)
    return job * job, os.getpid()


@pytest.mark.parametrize(("jobs", "processes"), [([1, 2, 3], 1), ([4], 8), ([], 3)])
def test_what_one_process_can_do_is_done_here(jobs, processes):
    assert list(in_processes(work, jobs, processes)) == [(job * job, os.getpid()) for job in jobs]


def test_results_come_in_the_order_of_jobs():
    found = list(in_processes(work, range(9), 2))
    assert [square for square, _ in found] == [0, 1, 4, 9, 16, 25, 36, 49, 64]
    assert os.getpid() not in {process for _, process in found}


def test_a_fault_comes_out_as_it_is_and_a_dead_process_with_what_to_do():
    with pytest.raises(ValueError, match="thirteen"):
        list(in_processes(work, [1, 13], 2))
    with pytest.raises(ProcessDiedError, match="fewer processes"):
        list(in_processes(work, [1, 99, 2], 2))


def test_processes_are_kept_for_the_next_jobs_unless_one_died():
    with processes_kept():
        first = {process for _, process in in_processes(work, range(9), 2)}
        with processes_kept():
            assert {process for _, process in in_processes(work, range(9), 2)} <= first
        with pytest.raises(ValueError, match="thirteen"):
            list(in_processes(work, [13, 1, 2, 3, 4, 5], 2))
        assert {process for _, process in in_processes(work, range(9), 2)} <= first
        with pytest.raises(ProcessDiedError):
            list(in_processes(work, [1, 99, 2], 2))
        assert not first & {process for _, process in in_processes(work, range(9), 2)}
    assert psutil.wait_procs([psutil.Process(one) for one in first if psutil.pid_exists(one)], timeout=30)[1] == []


def say_and_stay(folder: Path) -> None:
    (folder / str(os.getpid())).touch()
    time.sleep(600)


def test_processes_end_with_the_one_that_started_them(tmp_path):
    """However that ends: they would work on in a folder that nobody holds any more."""
    program = (
        "from pathlib import Path; from hmr.processes import in_processes; from unit_test import say_and_stay\n"
        "if __name__ == '__main__': list(in_processes(say_and_stay, [Path('.')] * 2, 2))"
    )
    shutil.copy(__file__, tmp_path / "unit_test.py")
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"}
    (tmp_path / "main.py").write_text(program)
    (tmp_path / "work").mkdir()
    started = subprocess.Popen([sys.executable, tmp_path / "main.py"], cwd=tmp_path / "work", env=environment)
    while len(children := [int(path.name) for path in (tmp_path / "work").iterdir()]) < 2:
        assert started.poll() is None
        time.sleep(0.1)
    started.kill()
    started.wait()
    assert psutil.wait_procs([psutil.Process(one) for one in children if psutil.pid_exists(one)], timeout=30)[1] == []
