"""What is said of a command that failed or was told to end: one line; the traceback only with --debug."""

import errno
import os
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

FOLDERS = ("flows", "tasks", "hmr", "critique", "storage")
"""Our folders: the message of an exception that one of them defines is meant for the user."""

DEBUG = "HMR_ALIGN_DEBUG"

FULL = {
    errno.ENOSPC: "The disk is full: make room on it",
    errno.EDQUOT: "Your share of the disk is used up: make room on it",
    errno.EROFS: "The disk cannot be written: mount it for writing, or choose another --out",
}


def take_debug_flag(arguments: list[str]) -> None:
    """Remove --debug from the arguments, at any position, and remember it, also for child processes."""
    if "--debug" in arguments:
        arguments.remove("--debug")
        os.environ[DEBUG] = "1"


def debugging() -> bool:
    """Whether tracebacks are shown."""
    return bool(os.environ.get(DEBUG))


def is_ours(error: BaseException) -> bool:
    """Whether one of our folders defines the exception, so that its message is meant for the user."""
    return type(error).__module__.split(".")[0] in FOLDERS


def one_line(error: BaseException) -> str:
    """The message for the user: our own message unchanged; for other exceptions their type, and where to see more."""
    if is_ours(error):
        return str(error)
    kind = type(error).__name__
    said = _masked(" ".join(str(error).split()))
    if isinstance(error, OSError) and error.errno in FULL:
        said += f". {FULL[error.errno]}, then give the same command again: what was done is kept"
    more = "" if debugging() else " (The same command with --debug shows where it comes from.)"
    return f"{kind}: {said}{more}" if said else f"{kind}{more}"


def tell(error: BaseException) -> None:
    """Print the message to standard error, after the traceback if that is asked for."""
    if debugging():
        sys.excepthook(type(error), error, error.__traceback__)
    sys.stderr.write(f"hmr-align: {one_line(error)}\n")


def _masked(text: str) -> str:
    """The text without user and password of addresses in it."""
    return re.sub(r"(?<=://)[^/@\s]*@", "", text)


@contextmanager
def told_to_end() -> Iterator[None]:
    """Context that says one line when SIGTERM or Ctrl-C ends it."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit) as told:
        name = "Ctrl-C" if isinstance(told, KeyboardInterrupt) else "SIGTERM"
        if isinstance(told, KeyboardInterrupt) or told.code == 128 + signal.SIGTERM:
            sys.stderr.write(f"hmr-align: ended by {name}. Give the same command again: finished shards are kept.\n")
        raise
