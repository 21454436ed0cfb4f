"""A flow that works in a run's folder: alone there as long as any work is in hand."""

from collections.abc import Callable
from contextlib import ExitStack
from functools import wraps
from typing import Any, TypeVar, cast

from flows.record.shard_runner import PATIENCE, drained, drop_work
from tasks.run.plan import Plan
from tasks.run.run_lock import held
from tasks.run.settings import Settings

Work = TypeVar("Work", bound=Callable[..., Any])

_until_the_end = ExitStack()
"""Folders in which dropped work may still be in hand: held until the process ends."""


def alone_in_its_folder(work: Work) -> Work:
    """Decorator: hold the folder of the run while `work(settings, ...)` runs. RunInUse is raised if another process
    holds it.

    Put it under `@flow`. A flow that calls another one on the same run holds the folder once. If the work ends early,
    shards not begun are left, and those in hand are waited for: for some seconds if the process was told to end.
    """

    @wraps(work)
    def alone(settings: Settings, *args: Any, **kwargs: Any) -> Any:  # Prefect passes all arguments by name
        with Plan(settings).held():
            try:
                return work(settings, *args, **kwargs)
            except BaseException as error:
                _wait_for_work(settings, error)
                raise

    return cast(Work, alone)


def _wait_for_work(settings: Settings, error: BaseException) -> None:
    """Until no work is in hand; for some seconds only if `error` is no fault but SIGTERM or Ctrl-C."""
    try:
        ended = drained(None if isinstance(error, Exception) else PATIENCE)
    except BaseException as told:  # it has been told again
        ended, error = False, told
    if not ended:
        drop_work(error)
        _until_the_end.enter_context(held(settings.run.folder))
