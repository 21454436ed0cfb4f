"""What of Prefect's logs reaches the terminal: the command line says a user's fault once; the dashboard has all."""

import logging


def keep_faults_to_one_line(debug: bool) -> None:
    """Leave tracebacks, and states of failed tasks, off the terminal unless it is to debug.

    The flow raises the exception again, and the command line prints its message.
    """
    from prefect.logging.configuration import setup_logging
    from prefect.logging.handlers import PrefectConsoleHandler

    def wanted(record: logging.LogRecord) -> bool:
        return not record.exc_info and not record.getMessage().startswith("Finished in state Failed")

    setup_logging()
    if debug:
        return
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
