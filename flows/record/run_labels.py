"""Names and tags of flow runs on the dashboard: stage, run, critic, split and round."""

from collections.abc import Callable, Mapping
from functools import partial
from inspect import signature
from typing import Any, TypedDict

from prefect import Flow, flow_engine
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun, State
from prefect.flows import FlowStateHook
from prefect.runtime import flow_run as current

from flows.cli.faults import is_ours
from flows.record.dead_runs import TAG, free_task_runs, tell_what_ended
from flows.record.run_log import keep_in_run_logs
from tasks.run.plan import Plan
from tasks.run.settings import Settings

_beat = getattr(flow_engine, "_send_heartbeats", None)  # Prefect's own; other versions may lack it
if _beat is not None and "join_on_exit" in signature(_beat).parameters:
    # Else each flow waits at its end, up to a second, for a thread that sleeps.
    flow_engine._send_heartbeats = partial(_beat, join_on_exit=False)  # type: ignore[assignment]

EVERY = "every"
"""Round number in the tag of flows that work on all rounds."""


class Labelled(TypedDict):
    """Arguments of `@flow` that `labelled` gives."""

    flow_run_name: Callable[[], str]
    on_running: list[FlowStateHook[..., Any]]
    on_crashed: list[FlowStateHook[..., Any]]


def labelled(stage: str, *, critic: bool = False) -> Labelled:
    """For `@flow(name=..., **labelled("score", critic=True))`: names and tags of its runs, and what each does at its
    start and when it is told to end.

    critic: whether the flow uses the run's critic.
    """

    def name() -> str:
        return run_name(stage, current.parameters, critic)

    def begin(flow: Flow[..., Any], flow_run: FlowRun, state: State) -> None:
        """Send our log lines to the run's log, tag the run, and clean up after killed ones."""
        keep_in_run_logs()
        given = flow.validate_parameters(flow_run.parameters)
        with get_client(sync_client=True) as client:
            client.update_flow_run(flow_run.id, tags={*flow_run.tags, TAG, *run_tags(stage, given, critic)})
            if flow_run.parent_task_run_id is None:
                free_task_runs(client)

    return Labelled(flow_run_name=name, on_running=[begin], on_crashed=[tell_what_ended])


def run_name(stage: str, parameters: Mapping[str, Any], critic: bool) -> str:
    """The name of a flow run, for example "score default: evidence@4, round 1"."""
    wording = details(parameters, critic)
    if (number := wording.get("round")) is not None:
        wording["round"] = "every round" if number == EVERY else f"round {number}"
    run = parameters["settings"].run.name
    return f"{stage} {run}: {', '.join(wording.values())}" if wording else f"{stage} {run}"


def run_tags(stage: str, parameters: Mapping[str, Any], critic: bool) -> list[str]:
    """The same as tags for filtering: "stage:score", "run:default", "critic:evidence@4", "round:1"."""
    wording = {"stage": stage, "run": parameters["settings"].run.name, **details(parameters, critic)}
    return [f"{what}:{value}" for what, value in wording.items()]


def details(parameters: Mapping[str, Any], critic: bool) -> dict[str, str]:
    """What distinguishes this run of a stage from others, by kind."""
    wording = {"critic": critic_of(parameters["settings"])} if critic else {}
    wording |= {key: str(parameters[key]) for key in ("which", "kind", "split") if parameters.get(key) is not None}
    if "round_number" in parameters:
        wording["round"] = str(parameters["round_number"])
    elif "gens" in parameters:
        wording["round"] = ", ".join(gen.removeprefix("round") for gen in parameters["gens"] or ()) or EVERY
    elif parameters.get("gen") is not None:
        wording["round"] = parameters["gen"].removeprefix("round")
    return wording


def critic_of(settings: Settings) -> str:
    """Name and version of the critic; only its name if the version cannot be found, which the flow itself will report.

    Raises errors that none of our folders defines.
    """
    try:
        return Plan(settings).critic_name
    except Exception as error:
        if not is_ours(error):
            raise
        return settings.critic.name
