"""A flow that works in a run's folder: alone there, and with the memory that the run began with."""

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar

from tasks.run.plan import Plan
from tasks.run.settings import Settings

P, R = ParamSpec("P"), TypeVar("R")


def alone_in_its_folder(work: Callable[Concatenate[Settings, P], R]) -> Callable[Concatenate[Settings, P], R]:
    """Hold the folder of the run while `work` is done; it raises RunInUse at once if another process holds it.

    Stands under `@flow`. A flow that calls another one on the same run holds it once.
    """

    @wraps(work)
    def held(settings: Settings, *args: P.args, **kwargs: P.kwargs) -> R:  # Prefect gives all by name
        with Plan(settings).held():
            return work(settings, *args, **kwargs)

    return held  # type: ignore[return-value]
