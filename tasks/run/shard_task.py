"""Prefect's `@task` with our common options; outside of a flow run it is a plain function.

Why no task uses Prefect's result cache: a task's results are in the run's folder, and the task looks there
first. A cache would be a second record of what is done. It would not notice a shard that was lost or damaged,
that another machine has written, or whose photographs have changed; and it would store meshes twice.

Temporary faults are retried `retries` times, after waits that double and differ by chance: workers that a server or a
disk has failed together do not come back together.
"""

from collections.abc import Callable, Sequence
from typing import Any, Generic, ParamSpec, TypeVar

from prefect import Task
from prefect.cache_policies import NO_CACHE
from prefect.context import FlowRunContext, TagsContext, TaskRunContext
from prefect.tasks import exponential_backoff

from tasks.run.retrying import may_pass

FIRST_WAIT, JITTER = 2.0, 0.5
"""Seconds before the first retry; share by which each wait may be longer."""

P = ParamSpec("P")
R = TypeVar("R")


class Later(Generic[R]):
    """The result of `submit` outside of a flow run: the work is done when its result is asked for."""

    def __init__(self, work: Callable[[], R]) -> None:
        self._work = work

    def result(self) -> R:
        """Do the work and return its result; raises the errors of the work."""
        return self._work()


class ShardTask(Task[P, R]):
    """A task that can be called without a server: then nothing is recorded, and nothing is retried."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:  # type: ignore[override]
        if not in_a_run():
            return self.fn(*args, **kwargs)
        with _untagged():
            return super().__call__(*args, **kwargs)  # type: ignore[return-value]

    def submit(self, *args: Any, **kwargs: Any) -> Any:
        """Give the call to the flow's task runner; `.result()` of the returned object waits for it."""
        if not in_a_run():
            return Later(lambda: self.fn(*args, **kwargs))
        with _untagged():
            return super().submit(*args, **kwargs)


def _untagged() -> TagsContext:
    """No tags for task runs: Prefect asks its server about a concurrency limit for each, which takes half a second."""
    return TagsContext(current_tags=set())


def task(
    *, task_run_name: str, retries: int = 1, retry_delay_seconds: Sequence[float] = ()
) -> Callable[[Callable[P, R]], ShardTask[P, R]]:
    """Decorate a stage's work on one shard. `task_run_name` may hold its arguments: "sample {gen} {shard}"."""

    def decorate(work: Callable[P, R]) -> ShardTask[P, R]:
        waits = [*retry_delay_seconds] or exponential_backoff(FIRST_WAIT)
        return ShardTask(
            work, task_run_name=task_run_name, retries=retries, retry_delay_seconds=waits, retry_jitter_factor=JITTER,
            retry_condition_fn=may_pass, cache_policy=NO_CACHE,
        )  # fmt: skip

    return decorate


def in_a_run() -> bool:
    """Whether this is called inside a flow run or task run of Prefect."""
    return FlowRunContext.get() is not None or TaskRunContext.get() is not None
