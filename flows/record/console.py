"""Which log lines are printed on the terminal: our own, and an error of the user once; the dashboard has all."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console

from flows.cli.faults import FOLDERS

NOT_SAID = ("Finished in state Failed", "Crash detected!", "Concurrency limits [")
"""How those lines of Prefect's begin that the command line says itself, or that only say that `deploy` set no limit."""


class Terminal(logging.Handler):
    """Prints the log lines of our modules above the progress bars."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print one log record."""
        try:
            Console(highlight=False).print(self.format(record), markup=False, soft_wrap=True)
        except Exception:
            self.handleError(record)


@contextmanager
def terminal(debug: bool) -> Iterator[None]:
    """Context in which our log lines are printed plain, and of Prefect's only warnings (or as PREFECT_LOGGING_LEVEL
    says).

    Tracebacks and states of failed tasks are left out unless `debug`: the flow raises the exception again, and the
    command line prints its message.
    """
    from prefect.logging.configuration import setup_logging
    from prefect.logging.handlers import PrefectConsoleHandler

    least = logging.NOTSET if "PREFECT_LOGGING_LEVEL" in os.environ else logging.WARNING

    def wanted(record: logging.LogRecord) -> bool:
        if is_our_log(record) or record.levelno < least:
            return False
        return debug or not (record.exc_info or record.getMessage().startswith(NOT_SAID))

    setup_logging()
    root, ours = logging.getLogger(), Terminal()
    ours.addFilter(is_our_log)
    theirs = [one for one in root.handlers if isinstance(one, PrefectConsoleHandler)]  # prefect adds its handler there
    for handler in theirs:
        handler.addFilter(wanted)
    root.addHandler(ours)
    try:
        yield
    finally:
        root.removeHandler(ours)
        for handler in theirs:
            handler.removeFilter(wanted)


def is_our_log(record: logging.LogRecord) -> bool:
    """Whether one of our modules wrote the log record."""
    return record.name.split(".")[0] in FOLDERS


def send_logs() -> None:
    """Wait until the server has all logs, because it is about to be stopped."""
    from prefect.logging.handlers import APILogHandler

    for reference in list(logging._handlerList):  # type: ignore[attr-defined]
        handler = reference()
        if isinstance(handler, APILogHandler):
            handler.flush()
            return
