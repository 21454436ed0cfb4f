"""Logging during a run: a module's own logger. Its lines are in the run's log on the dashboard too.

    log = logging.getLogger(__name__)
    log.warning("skipped %s: %s", name, why)

So `hmr` and `critique`, which do not use Prefect, are logged as well. `console.py` decides what a terminal shows;
outside of a run it is plain logging.
"""

import logging

from prefect.context import FlowRunContext, TaskRunContext
from prefect.logging.handlers import APILogHandler

from flows.cli.faults import FOLDERS


class RunLog(APILogHandler):
    """Sends what is logged inside a flow run or task run to its log, and drops the rest."""

    def emit(self, record: logging.LogRecord) -> None:
        """Send one log record to the log of the current run, if there is one."""
        if FlowRunContext.get() is not None or TaskRunContext.get() is not None:
            super().emit(record)


def keep_in_run_logs() -> None:
    """Make our loggers write to the log of the run that they are called in; safe to repeat."""
    for folder in FOLDERS:
        logger = logging.getLogger(folder)
        if not any(isinstance(handler, RunLog) for handler in logger.handlers):
            logger.addHandler(RunLog())
        if logger.level == logging.NOTSET:
            logger.setLevel(logging.INFO)
