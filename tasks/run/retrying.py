"""Which faults are tried again: temporary ones, never bad input or bad settings."""

from typing import Any

NEVER = (ValueError, TypeError, KeyError, AssertionError, PermissionError, FileNotFoundError)


def may_pass(task: Any, task_run: Any, state: Any) -> bool:
    """Prefect's retry condition: whether the failed task may succeed unchanged (a busy disk, a lost connection)."""
    try:
        state.result()
    except NEVER:
        return False
    except Exception:
        return True
    return False
