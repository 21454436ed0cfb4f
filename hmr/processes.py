"""One way to work in several processes: the results of jobs, in their order, with any number of processes.

for result in in_processes(work, jobs, 4): ...
with processes_kept():          # what is in it starts them once
    for shard in shards:
        list(in_processes(work, shard, 4))
"""

import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from typing import TypeVar

Job = TypeVar("Job")
Result = TypeVar("Result")

AHEAD = 2
"""Jobs that each process gets before their results are needed: finished results wait in memory."""


class ProcessDiedError(RuntimeError):
    """A process ended without a result; the message says what to do."""


def in_processes(work: Callable[[Job], Result], jobs: Sequence[Job], processes: int) -> Iterator[Result]:
    """Yield `work(job)` of each job, in the order of the jobs; in this process if there is one process or one job.

    Processes are spawned: torch and OpenGL do not survive a fork. `work` is a function of a module; it, the jobs and
    the results are pickled. Each process has one thread, which changes no bit of what we compute. Raises
    ProcessDiedError if a process ends without a result; what `work` raises is passed on.
    """
    count = min(processes, len(jobs))
    if count <= 1:
        yield from map(work, jobs)
        return
    pool = _pools.of(processes)
    running: deque[Future[Result]] = deque()
    try:
        for job in jobs:
            if len(running) == AHEAD * count:
                yield running.popleft().result()
            running.append(pool.submit(work, job))
        while running:
            yield running.popleft().result()
    except BrokenProcessPool:
        _pools.forget(pool)
        raise ProcessDiedError(
            "a process ended before its work was done, probably for want of memory. "
            "What was done is kept: run again with fewer processes ([run] or [recover] processes)"
        ) from None
    finally:
        wait([future for future in running if not future.cancel()])
        if not _pools.holds(pool):
            pool.shutdown(wait=True)


@contextmanager
def processes_kept() -> Iterator[None]:
    """Context in which the processes of `in_processes` wait for further jobs, with what they have imported and loaded.

    Their start takes some seconds. They end with the outermost such context.
    """
    _pools.keepers += 1
    try:
        yield
    finally:
        _pools.keepers -= 1
        if not _pools.keepers:
            _pools.close()


class _Pools:
    """The processes of this process that are kept, by their number."""

    def __init__(self) -> None:
        self.keepers = 0
        self._kept: dict[int, ProcessPoolExecutor] = {}

    def of(self, processes: int) -> ProcessPoolExecutor:
        """A pool that starts so many processes, as jobs for them come."""
        pool = self._kept.get(processes)
        if pool is None:
            pool = _pool(processes)
            if self.keepers:
                self._kept[processes] = pool
        return pool

    def holds(self, pool: ProcessPoolExecutor) -> bool:
        return pool in self._kept.values()

    def forget(self, pool: ProcessPoolExecutor) -> None:
        self._kept = {count: one for count, one in self._kept.items() if one is not pool}

    def close(self) -> None:
        while self._kept:
            self._kept.popitem()[1].shutdown(wait=True, cancel_futures=True)


_pools = _Pools()


def apart(work: Callable[[Job], Result], job: Job) -> Result:
    """`work(job)`, done in a process of its own, as by `in_processes`.

    Raises ProcessDiedError if that process ends without a result; what `work` raises is passed on.
    """
    with _pool(1) as pool:
        try:
            return pool.submit(work, job).result()
        except BrokenProcessPool:
            raise ProcessDiedError("the process of this one job ended before it was done") from None


def _pool(count: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(count, mp_context=get_context("spawn"), initializer=_prepare)


def end_with_parent() -> None:
    """Let this process end when the one that started it does, however that ends: else it would wait for work forever,
    and finish what it has in a folder that nobody holds any more.
    """
    parent = parent_process()
    if parent is not None:

        def watch() -> None:
            parent.join()
            os._exit(1)

        threading.Thread(target=watch, daemon=True).start()


def _prepare() -> None:
    """The parent handles Ctrl-C, and the cores are divided among the processes already."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent()
    import torch  # here, so that a parent which has nothing to do need not load it

    torch.set_num_threads(1)
