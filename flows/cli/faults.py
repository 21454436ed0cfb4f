"""What the user is told when a command fails: one line; the traceback only with --debug."""

import os
import re
import sys

FOLDERS = ("flows", "tasks", "hmr", "critique", "storage")
"""Ours: an exception that one of them defines is meant for the user."""

DEBUG = "HMR_ALIGN_DEBUG"


def take_debug_flag(arguments: list[str]) -> None:
    """Take --debug out of the arguments, wherever it stands, and remember it for child processes too."""
    if "--debug" in arguments:
        arguments.remove("--debug")
        os.environ[DEBUG] = "1"


def debugging() -> bool:
    """Whether tracebacks are shown."""
    return bool(os.environ.get(DEBUG))


def is_ours(error: BaseException) -> bool:
    """Whether one of our folders defines the exception: then its message is meant for the user."""
    return type(error).__module__.split(".")[0] in FOLDERS


def one_line(error: BaseException) -> str:
    """What the user is told: our own message as it is, a foreign exception by its kind, with where to see more."""
    if is_ours(error):
        return str(error)
    kind = type(error).__name__
    said = _masked(" ".join(str(error).split()))
    more = "" if debugging() else " (The same command with --debug shows where it comes from.)"
    return f"{kind}: {said}{more}" if said else f"{kind}{more}"


def tell(error: BaseException) -> None:
    """Write it to standard error, after the traceback if that is asked for."""
    if debugging():
        sys.excepthook(type(error), error, error.__traceback__)
    sys.stderr.write(f"hmr-align: {one_line(error)}\n")


def _masked(text: str) -> str:
    """Without user and password of an address."""
    return re.sub(r"(?<=://)[^/@\s]*@", "", text)
