"""A flow that works in a run's folder: alone there, and with the memory that the run began with."""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

from tasks.run.plan import Plan
from tasks.run.settings import Settings

Work = TypeVar("Work", bound=Callable[..., Any])


def alone_in_its_folder(work: Work) -> Work:
    """Decorator: hold the folder of the run while `work(settings, ...)` runs. RunInUse is raised if another process
    holds it.

    Put it under `@flow`. A flow that calls another one on the same run holds the folder once.
    """

    @wraps(work)
    def held(settings: Settings, *args: Any, **kwargs: Any) -> Any:  # Prefect passes all arguments by name
        with Plan(settings).held():
            return work(settings, *args, **kwargs)

    return cast(Work, held)
