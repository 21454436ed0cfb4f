"""A flow that works in a run's folder: alone there, and with the memory that the run began with."""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

from tasks.run.plan import Plan
from tasks.run.settings import Settings

Work = TypeVar("Work", bound=Callable[..., Any])


def alone_in_its_folder(work: Work) -> Work:
    """Hold the folder of the run while `work(settings, ...)` is done; RunInUse at once if another process holds it.

    Stands under `@flow`. A flow that calls another one on the same run holds it once.
    """

    @wraps(work)
    def held(settings: Settings, *args: Any, **kwargs: Any) -> Any:  # Prefect gives all by name
        with Plan(settings).held():
            return work(settings, *args, **kwargs)

    return cast(Work, held)
