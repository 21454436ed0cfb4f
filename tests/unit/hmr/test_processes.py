"""Jobs in several processes: order, faults, and a process that dies."""

import os

import pytest

from hmr.processes import ProcessDiedError, in_processes


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
