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
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Self

from prefect.context import FlowRunContext
from prefect.task_runners import ProcessPoolTaskRunner, TaskRunner, ThreadPoolTaskRunner

from flows.record import shard_worker
from tasks.run.settings import Run, Settings, SettingsError


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
        return _workers.of(_run_of_flow()).submit(task, parameters, wait_for, dependencies)

    def __enter__(self) -> Self:
        _workers.users += 1
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        _workers.users -= 1
        if not _workers.users:
            _workers.close(*error)


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
        self.runner: TaskRunner[Any] | None = None
        self.chosen: tuple[Any, ...] = ()

    def of(self, run: Run) -> TaskRunner[Any]:
        chosen = (run.runner, run.processes, run.cluster)
        if self.chosen != chosen:
            self.close(None, None, None)
        if self.runner is None:
            self.runner, self.chosen = opened(run), chosen
        return self.runner

    def close(self, *error: Any) -> None:
        runner, self.runner, self.chosen = self.runner, None, ()
        if runner is not None:
            runner.__exit__(*error)


_workers = _Workers()


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
