"""Runs whose process was killed: found by missing heartbeats, and marked Crashed with their task runs. Of those whose
process was told to end, the reason.

Prefect leaves both Running forever. The automation of `deployments.py` marks the flow run Crashed, but Prefect has
no action on task runs: every run of ours marks them when it starts, and `hmr-align` when it ends.
"""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from flows.record.clock import seconds_ahead

if TYPE_CHECKING:
    from prefect import Flow
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import FlowRun, State

TAG = "hmr-align"
"""Tag of all our runs; other people's runs are left alone: on a shared server their heartbeats may be rarer."""
SILENCE = timedelta(seconds=75)
"""Time without a heartbeat after which a run counts as dead; heartbeats come every 30 s."""
RECORDED = timedelta(seconds=20)
"""Time after which the server has recorded all states of a flow run's tasks, which do not wait for it."""

_LOOKED_AT = timedelta(days=2)
"""How far back and ahead signs of life are looked for."""

SIGNALS = {"termination signal": "SIGTERM", "interrupt signal": "Ctrl-C"}
"""What ended a process, by Prefect's words for it."""


def tell_what_ended(flow: "Flow[..., Any]", flow_run: "FlowRun", state: "State") -> None:
    """Hook of a crashed flow run: if its process was told to end, its state says so, and what to do."""
    from prefect.client.orchestration import get_client
    from prefect.states import Crashed

    for words, name in SIGNALS.items():
        if words in (state.message or ""):
            reason = f"ended by {name}; start it again, finished shards are kept"
            with get_client(sync_client=True) as client:
                client.set_flow_run_state(flow_run.id, Crashed(message=reason), force=True)


def silent_runs(client: "SyncPrefectClient") -> dict[UUID, str]:
    """Our flow runs in the state Running whose last heartbeat is too long ago: id -> name."""
    from prefect.client.schemas.filters import FlowRunFilter

    running = FlowRunFilter.model_validate({"state": {"type": {"any_": ["RUNNING"]}}, "tags": {"all_": [TAG]}})
    before = datetime.now(UTC) - timedelta(seconds=seconds_ahead(client)) - SILENCE  # by the server's clock
    return {
        run.id: run.name
        for run in client.read_flow_runs(flow_run_filter=running)
        if (_last_heard(client, run.id) or run.start_time or before) <= before
    }


def free_flow_runs(client: "SyncPrefectClient") -> dict[UUID, str]:
    """Mark silent runs and their tasks Crashed, so that their concurrency slots are free and they can be run again.

    Returns the runs: id -> name.
    """
    from prefect.states import Crashed

    dead = silent_runs(client)
    for run in dead:
        client.set_flow_run_state(run, Crashed(message="no heartbeat; freed by hmr-align doctor"), force=True)
    if dead:
        _free(client, {"id": {"any_": list(dead)}})
    return dead


def free_task_runs(client: "SyncPrefectClient") -> list[str]:
    """Mark task runs Crashed that are still Running in one of our flow runs that is Crashed; returns their names."""
    long_ago = {"before_": datetime.now(UTC) - RECORDED}
    return _free(client, {"state": {"type": {"any_": ["CRASHED"]}}, "tags": {"all_": [TAG]}, "end_time": long_ago})


def _free(client: "SyncPrefectClient", flow_runs: dict[str, Any]) -> list[str]:
    from prefect.client.schemas.filters import FlowRunFilter, TaskRunFilter
    from prefect.states import Crashed

    left = client.read_task_runs(
        flow_run_filter=FlowRunFilter.model_validate(flow_runs),
        task_run_filter=TaskRunFilter.model_validate({"state": {"type": {"any_": ["PENDING", "RUNNING"]}}}),
    )
    for task_run in left:
        client.set_task_run_state(task_run.id, Crashed(message="its flow run crashed"), force=True)
    return [task_run.name for task_run in left]


def _last_heard(client: "SyncPrefectClient", run: UUID) -> datetime | None:
    """When the server received the last sign of life of a run; None if it has none.

    By the server's clock: the times in events are those of the run's machine, which may be an hour off.
    """
    from prefect.events.filters import EventFilter

    signs = EventFilter.model_validate(
        {
            "event": {"name": ["prefect.flow-run.heartbeat", "prefect.flow-run.Running"]},
            "resource": {"id": [f"prefect.flow-run.{run}"]},
            "occurred": {"since": datetime.now(UTC) - _LOOKED_AT, "until": datetime.now(UTC) + _LOOKED_AT},
            "order": "DESC",
        }
    )
    return max((event.received for event in client.read_events(filter=signs, limit=10).events), default=None)
