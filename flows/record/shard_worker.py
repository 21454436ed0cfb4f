"""A process that works on shards: its setup before the first one. Dask imports this module for it (`--preload`)."""

import signal
from contextlib import ExitStack
from typing import Any

from flows.cli.faults import debugging
from flows.record.console import terminal
from flows.record.run_log import keep_in_run_logs
from hmr.processes import end_with_parent

_terminal = ExitStack()  # as long as the process lives


def prepare() -> None:
    """One thread, log lines as in the main process, and Ctrl-C left to the main process, with which this one ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent()
    import torch

    torch.set_num_threads(1)  # all cores are in use already; results stay the same
    keep_in_run_logs()
    _terminal.enter_context(terminal(debugging()))


def dask_setup(worker: Any) -> None:
    """Called by Dask in each worker process."""
    prepare()
