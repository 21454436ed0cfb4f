"""A process that works on shards: what it sets before the first one. Dask imports this module for it (`--preload`)."""

import signal
from typing import Any

from flows.record.run_log import keep_in_run_logs


def prepare() -> None:
    """One thread, our log lines in the logs of the runs, and Ctrl-C left to the process that handed the shards out."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    import torch

    torch.set_num_threads(1)  # the cores are shared out already; it changes no bit
    keep_in_run_logs()


def dask_setup(worker: Any) -> None:
    """Called by Dask in each worker process."""
    prepare()
