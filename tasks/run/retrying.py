"""Which faults are tried again: temporary ones, never bad input or bad settings."""

import errno
from typing import Any

NEVER = (ValueError, TypeError, KeyError, AssertionError, PermissionError, FileNotFoundError)


FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
"""A disk that is full or cannot be written is so a minute later, too."""


def may_pass(task: Any, task_run: Any, state: Any) -> bool:
    """Prefect's retry condition: whether the failed task may succeed unchanged (a busy disk, a lost connection)."""
    try:
        state.result()
    except NEVER:
        return False
    except OSError as error:
        return error.errno not in FULL
    except Exception:
        return True
    return False
