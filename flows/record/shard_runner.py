"""Where the shards of a stage are processed: the task runner that `[run] runner` of a flow's settings names.

    @flow(name="sample-groups", task_runner=ShardRunner(), **labelled("sample"))
    def sample_groups(settings: Settings) -> int:
        futures = [sample_shard.submit(shard, ...) for shard in shards]

| runner | shards at a time | a shard's photographs |
|---|---|---|
| threads | one, in this process | divided among `processes` processes |
| processes | `processes`, each in a process of its own | one by one |
| dask, ray | `processes` workers here, or those of `cluster` | one by one |

A task's arguments are paths and settings, its results counts: its data goes through the store. So all runners give
the same results, bit for bit; on other machines the run's folder must be the same shared one. Workers are
started with the first shard, live until the outermost flow ends, and keep models loaded between stages.

A process that is told to end (SIGTERM, Ctrl-C) begins no further shard, and waits `PATIENCE` seconds for those in hand.
What takes longer is dropped as if the process were killed, which no store minds: nothing is ever half there.
"""

import logging
import math
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent import futures
from contextlib import ExitStack, suppress
from typing import Any, Self

from prefect.context import FlowRunContext
from prefect.task_runners import ProcessPoolTaskRunner, TaskRunner, ThreadPoolTaskRunner

from flows.record import shard_worker
from flows.record.console import send_logs
from hmr.processes import processes_kept
from tasks.run.settings import Run, Settings, SettingsError

PATIENCE = 5.0
"""Seconds that shards in hand get when the process is told to end: containers are killed ten seconds after."""

LOOK = 0.05  # seconds between two looks at them


class ShardRunner(TaskRunner[Any]):
    """Gives shards to the runner that the settings of the flow run name; flows inside a flow share its workers."""

    def duplicate(self) -> Self:
        """A new runner; all share the workers of this process."""
        return type(self)()

    def submit(
        self, task: Any, parameters: dict[str, Any], wait_for: Iterable[Any] | None = None,
        dependencies: dict[str, Any] | None = None,
    ) -> Any:  # fmt: skip
        """Submit a task to the workers of the current flow run's settings; returns its future."""
        future = _workers.of(_run_of_flow()).submit(task, parameters, wait_for, dependencies)
        _workers.note(future)
        return future

    def __enter__(self) -> Self:
        if not _workers.users:
            _workers.kept.enter_context(processes_kept())
        _workers.users += 1
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        _workers.users -= 1
        if not _workers.users:
            _workers.close(*error)
            if not _workers.dropped:  # else they are killed
                _workers.kept.close()


class Processes(ProcessPoolTaskRunner):
    """Prefect's process pool, for several flows: the original keeps the context of the first flow that it
    worked for.
    """

    def submit(self, *args: Any, **kwargs: Any) -> Any:
        """Submit a task with the context of the current flow; returns its future."""
        self._cached_context = None
        return super().submit(*args, **kwargs)


class _Workers:
    """The runner that is open in this process, if any."""

    def __init__(self) -> None:
        self.users = 0
        self.kept = ExitStack()  # processes that share the photographs of a shard, from one to the next
        self.runner: TaskRunner[Any] | None = None
        self.chosen: tuple[Any, ...] = ()
        self.unfinished: set[futures.Future[Any]] = set()
        self.dropped = False

    def of(self, run: Run) -> TaskRunner[Any]:
        chosen = (run.runner, run.processes, run.cluster)
        if self.chosen != chosen:
            self.close(None, None, None)
        if self.runner is None:
            self.runner, self.chosen = opened(run), chosen
        return self.runner

    def close(self, *error: Any) -> None:
        runner, self.runner, self.chosen = self.runner, None, ()
        if runner is not None and not self.dropped:  # it would wait for the work in hand
            runner.__exit__(*error)

    def note(self, future: Any) -> None:
        """Remember a shard until its work is done; those of clusters are the cluster's."""
        work = getattr(future, "wrapped_future", None)
        if isinstance(work, futures.Future):
            self.unfinished.add(work)
            work.add_done_callback(self.unfinished.discard)


_workers = _Workers()


def drained(seconds: float | None) -> bool:
    """Take back the shards that were not begun, and wait for those in hand, at most so many seconds.

    Returns whether none is left.
    """
    if _workers.dropped:
        return False
    in_hand = [work for work in _workers.unfinished.copy() if not work.cancel()]
    last = time.monotonic() + (math.inf if seconds is None else seconds)
    while any(not work.done() for work in in_hand):
        if time.monotonic() > last:
            return False
        time.sleep(LOOK)
    return True


def drop_work(told: BaseException) -> None:
    """Let this process end without its work in hand: once all else is done, where Python would wait for its threads.

    told: the exception by which it was told to end; it determines the exit code.
    """
    if not _workers.dropped:
        _workers.dropped = True
        code = 128 + (signal.SIGINT if isinstance(told, KeyboardInterrupt) else signal.SIGTERM)
        threading._register_atexit(_end, code)  # type: ignore[attr-defined]  # `atexit` comes after the waiting


def _end(code: int) -> None:
    with suppress(Exception):
        send_logs()
        sys.stdout.flush()
        sys.stderr.flush()
    for child in multiprocessing.active_children():
        child.kill()
    os._exit(code)


def opened(run: Run) -> TaskRunner[Any]:
    """A started runner. Raises SettingsError if its package is not installed."""
    return RUNNERS[run.runner](run).__enter__()


def _threads(run: Run) -> TaskRunner[Any]:
    return ThreadPoolTaskRunner(max_workers=1)


def _processes(run: Run) -> TaskRunner[Any]:
    return Processes(max_workers=run.processes, initializer=shard_worker.prepare)


def _dask(run: Run) -> TaskRunner[Any]:
    try:
        from prefect_dask.task_runners import DaskTaskRunner
    except ModuleNotFoundError:
        raise _lacking("dask") from None
    if run.cluster is not None:
        return DaskTaskRunner(address=run.cluster)
    logging.getLogger("distributed").setLevel(logging.ERROR)
    workers = {"n_workers": run.processes, "threads_per_worker": 1, "dashboard_address": None}
    return DaskTaskRunner(cluster_kwargs={**workers, "preload": shard_worker.__name__})


def _ray(run: Run) -> TaskRunner[Any]:
    try:
        from prefect_ray.task_runners import RayTaskRunner
    except ModuleNotFoundError:
        raise _lacking("ray") from None
    hook = {"worker_process_setup_hook": shard_worker.prepare}
    if run.cluster is not None:
        return RayTaskRunner(address=run.cluster, init_kwargs={"runtime_env": hook})
    here = {"num_cpus": run.processes, "include_dashboard": False, "logging_level": logging.ERROR}
    return RayTaskRunner(init_kwargs={**here, "runtime_env": hook})


RUNNERS: Mapping[str, Callable[[Run], TaskRunner[Any]]] = {
    "threads": _threads, "processes": _processes, "dask": _dask, "ray": _ray,
}  # fmt: skip


def _lacking(name: str) -> SettingsError:
    return SettingsError(f"[run] runner = '{name}' needs a package: pip install 'hmr-align[{name}]'")


def _run_of_flow() -> Run:
    """[run] of the settings with which the flow was called; SettingsError outside of a flow that has any."""
    context = FlowRunContext.get()
    given = (context.parameters or {}).get("settings") if context is not None else None
    if given is None:
        raise SettingsError("shards are submitted by a flow whose parameter `settings` says where they run")
    return (given if isinstance(given, Settings) else Settings.model_validate(given)).run
