"""What of Prefect's logs reaches the terminal: the command line says a user's fault once; the dashboard has all."""

import logging
from collections.abc import Sequence


def keep_faults_to_one_line(folders: Sequence[str]) -> None:
    """Leave tracebacks of exceptions that one of our `folders` defines, and states of failed tasks, off the terminal.

    The flow raises them again, and the command line prints their message. Other exceptions keep their traceback.
    """
    from prefect.logging.configuration import setup_logging
    from prefect.logging.handlers import PrefectConsoleHandler

    def wanted(record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if error is not None:
            return type(error).__module__.split(".")[0] not in folders
        return not record.getMessage().startswith("Finished in state Failed")

    setup_logging()
    for handler in logging.getLogger().handlers:  # prefect puts its one console handler at the root
        if isinstance(handler, PrefectConsoleHandler):
            handler.addFilter(wanted)


def send_logs() -> None:
    """Wait until the server has all logs: it is about to be stopped."""
    from prefect.logging.handlers import APILogHandler

    for reference in list(logging._handlerList):  # type: ignore[attr-defined]
        handler = reference()
        if isinstance(handler, APILogHandler):
            handler.flush()
            return
