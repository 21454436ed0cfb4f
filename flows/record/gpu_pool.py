"""Sampling and training go to the GPU pool by themselves, where a worker serves it and this process has no GPU.

    on_gpu(train_policy, settings, round_number=2)

is `train_policy(settings, round_number=2)`, here or as a run of the deployment `train-policy/gpu`. The calling flow
must be a deployed one itself: a command in a terminal works where it was called. The run's folder must be on a disk
that both machines share; it is lent to the other process meanwhile.
"""

import logging
from typing import Any

import torch
from prefect import Flow
from prefect.client.orchestration import get_client
from prefect.deployments import run_deployment
from prefect.exceptions import ObjectNotFound
from prefect.runtime import deployment as current

from flows.server.deployments import GPU_POOL, ON_GPU
from tasks.run.plan import Plan
from tasks.run.run_lock import lent
from tasks.run.settings import Settings

log = logging.getLogger(__name__)


def on_gpu(flow: Flow[..., Any], settings: Settings, **parameters: Any) -> Any:
    """Run a flow in the GPU pool if that serves, else here; returns its result, None for a run in the pool.

    Raises the error of the flow: of a run in the pool, what its state says.
    """
    if not current.id or torch.cuda.is_available() or not gpu_workers():
        return flow(settings, **parameters)
    name = f"{flow.name}/{ON_GPU}"
    log.info("%s runs in the work pool %s", name, GPU_POOL)
    given = {"settings": settings.model_dump(mode="json"), **parameters}
    with lent(Plan(settings).folder):
        run = run_deployment(name, parameters=given, poll_interval=2)
    if run.state is None or not run.state.is_completed():  # type: ignore[union-attr]
        state = run.state  # type: ignore[union-attr]
        raise RuntimeError(f"{name} ended as {state and state.name}: {state and state.message}; see its log")
    return None


def gpu_workers() -> int:
    """How many workers serve the GPU pool now."""
    with get_client(sync_client=True) as client:
        try:
            found = client.read_workers_for_work_pool(GPU_POOL)
        except ObjectNotFound:
            return 0
    return sum(worker.status == "ONLINE" for worker in found)
