"""A worker of a pool that drains: told to end (SIGTERM, Ctrl-C), it lets the runs in hand end first.

It is Prefect's own worker in a process of its own. That one kills its runs at once when it is told to end: they stay
Running until their missing heartbeats are noticed.
"""

import logging
import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress

import psutil

from flows.record.clock import seconds_ahead, warning_of
from flows.server.server import Server, client_environment, recording_into

log = logging.getLogger(__name__)

GRACE = 20.0
"""Seconds that a run gets to drain its shards, see `flows.record.shard_runner.PATIENCE`, and to report its end."""
LAST = 10.0  # seconds for the worker itself


def serve_pool(server: Server, pool: str, gpu: str | None = None, limit: int | None = None) -> int:
    """Run a worker until it ends, and return its exit code; what interrupts this is raised once its runs have ended.

    gpu: the CUDA device that its runs see. limit: runs at a time.
    """
    tell_of_the_clock(server)
    environment = {**os.environ, **client_environment(server)}
    if gpu is not None:
        environment["CUDA_VISIBLE_DEVICES"] = gpu
    words = [sys.executable, "-m", "prefect", "worker", "start", "--pool", pool]
    words += [] if limit is None else ["--limit", str(limit)]
    worker = subprocess.Popen(words, env=environment, start_new_session=True)  # signals of the terminal come here alone
    try:
        return worker.wait()
    finally:
        _drain(worker)


def tell_of_the_clock(server: Server) -> None:
    """Warn if this machine's clock and the server's are apart."""
    from prefect.client.orchestration import get_client

    with recording_into(server), get_client(sync_client=True) as client:
        if words := warning_of(seconds_ahead(client)):
            log.warning("%s", words)


def _drain(worker: subprocess.Popen[bytes]) -> None:
    """End a worker's runs, then the worker."""
    with suppress(psutil.NoSuchProcess):
        _end(psutil.Process(worker.pid).children(), GRACE)
        _end([psutil.Process(worker.pid)], LAST)
    worker.wait()


def _end(processes: Sequence[psutil.Process], seconds: float) -> None:
    """Tell processes to end, and kill those that have not after so many seconds."""
    for one in processes:
        with suppress(psutil.NoSuchProcess):
            one.terminate()
    for late in psutil.wait_procs(processes, seconds)[1]:
        with suppress(psutil.NoSuchProcess):
            late.kill()
