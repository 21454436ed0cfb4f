"""`hmr-align deploy`: pools, limits, deployments and automations on a server, as the settings say; safe to repeat.

`wanted` says what there should be, as plain data; `found` what the server has, in the same form. Both are compared by
`differences`, which `--diff` prints, and `deploy` changes only what differs. What an earlier version left under names
of ours is removed. A pool of ours that somebody made with another type (docker, kubernetes) is left as it is.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from flows.record.dead_runs import SILENCE, TAG
from flows.server.deployments import DEPLOYMENTS, GPU_POOL, POOL, Deployment
from flows.server.server_environment import CLIENT_ENVIRONMENT
from tasks.run.events import PREFIX
from tasks.run.settings import Settings
from tasks.run.slots import VLM

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.events.schemas.automations import AutomationCore

ZOMBIES = "hmr-align-zombies"
TRIGGERED = "hmr-align-when-"
"""Automations of triggers begin with it."""


class Trigger(NamedTuple):
    """An event of ours that starts a deployment."""

    event: str
    deployment: str  # flow/name
    parameters: Mapping[str, Any] = {}
    about: str = ""


_ROUND = {"__prefect_kind": "jinja", "template": "{{ event.payload['round'] }}"}
TRIGGERS = {
    "photographs": Trigger(
        "photographs-changed", "sample-groups/on-demand", about="new photographs: find people, sample groups"
    ),
    "memory": Trigger("memory-changed", "rescore/on-demand", about="a new version of the memory: judge again"),
    "round": Trigger(
        "round-trained",
        "run-benchmark/on-demand",
        {"round_number": {"__prefect_kind": "json", "value": _ROUND}},
        "a round of training has ended: measure the model",
    ),
}
"""Words of `[deploy] triggers`."""

Things = dict[str, dict[str, Any]]
"""What a server should have or has: "deployment align/on-demand" -> its content as plain data."""


def deploy(settings: Settings, deployments: Iterable[Deployment] = DEPLOYMENTS) -> list[str]:
    """Set up the configured server; returns what was changed, as `differences` says it.

    Every run gets these settings, and workers write into their results folder.
    """
    from prefect.client.orchestration import get_client

    deployments = list(deployments)
    with get_client(sync_client=True) as client:
        before = found(client)
        target = keeping_pools(before, wanted(settings, deployments))
        changes = differences(before, target)
        touched = {line.split(":")[0][2:] for line in changes}
        for kind, make in (("pool", _make_pool), ("limit", _make_limit), ("deployment", _make_deployment)):
            for name, content in target.items():
                if name in touched and name.startswith(f"{kind} "):
                    make(client, name.partition(" ")[2], content)
        _make_automations(client, settings, touched)
        for line in changes:
            if line.startswith("- "):
                _remove(client, *line[2:].split(" ", 1))
    return changes


def planned(settings: Settings, deployments: Iterable[Deployment] = DEPLOYMENTS) -> list[str]:
    """What `deploy` would change on the configured server."""
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        before = found(client)
    return differences(before, keeping_pools(before, wanted(settings, list(deployments))))


def keeping_pools(before: Things, after: Things) -> Things:
    """What there should be, with pools of other types as they are."""
    return after | {name: content for name, content in before.items() if content.get("type", "process") != "process"}


def differences(before: Things, after: Things) -> list[str]:
    """One line for each thing: "+ name" is made, "- name" removed, "~ name: keys" changed."""
    lines = [f"+ {name}" for name in after if name not in before]
    lines += [
        f"~ {name}: {', '.join(keys)}"
        for name, content in after.items()
        if name in before and (keys := [key for key in content if content[key] != before[name].get(key)])
    ]
    return lines + [f"- {name}" for name in before if name not in after]


def wanted(settings: Settings, deployments: Iterable[Deployment] = DEPLOYMENTS) -> Things:
    """What the server should have."""
    how, runs = settings.deploy, settings.run.out
    things: Things = {
        f"pool {POOL}": {"environment": _environment(runs), "limit": None},
        f"pool {GPU_POOL}": {"environment": _environment(runs), "limit": how.gpus},
        f"limit {VLM}": {"limit": how.vlm_slots},
    }
    for one in deployments:
        things[f"deployment {one.flow().name}/{one.name}"] = _content(one, settings)
    things[f"automation {ZOMBIES}"] = _automation_content(zombie_automation())
    for word in how.triggers:
        things[f"automation {TRIGGERED}{word}"] = {
            "event": f"{PREFIX}{TRIGGERS[word].event}",
            "deployment": TRIGGERS[word].deployment,
            "parameters": dict(TRIGGERS[word].parameters),
        }
    return things


def found(client: "SyncPrefectClient") -> Things:
    """What the server has, of ours."""
    things: Things = {}
    for pool in client.read_work_pools():
        if pool.name in (POOL, GPU_POOL):
            if pool.type != "process":
                things[f"pool {pool.name}"] = {"type": pool.type}
                continue
            variables = pool.base_job_template.get("variables", {}).get("properties", {})
            things[f"pool {pool.name}"] = {
                "environment": variables.get("env", {}).get("default"),
                "limit": pool.concurrency_limit,
            }
    for limit in client.read_global_concurrency_limits(limit=200):
        if limit.name == VLM:
            things[f"limit {VLM}"] = {"limit": limit.limit}
    names = {flow.id: flow.name for flow in _all(client.read_flows)}
    known: dict[Any, str] = {}
    for one in _all(client.read_deployments):
        if TAG not in (one.tags or ()):
            continue
        known[one.id] = name = f"{names[one.flow_id]}/{one.name}"
        kept = one.model_dump(mode="json", include=set(_KEPT))
        things[f"deployment {name}"] = kept | {
            "schedules": [_schedule(s.slug, s.active, s.schedule) for s in one.schedules],
            "limit": one.global_concurrency_limit and one.global_concurrency_limit.limit,
        }
    for automation in _all(client.read_automations):
        if automation.name == ZOMBIES:
            things[f"automation {ZOMBIES}"] = _automation_content(automation)
        elif automation.name.startswith(TRIGGERED):
            (action,), (event,) = automation.actions, automation.trigger.expect  # type: ignore[union-attr]
            things[f"automation {automation.name}"] = {
                "event": event,
                "deployment": known.get(getattr(action, "deployment_id", None)),
                "parameters": {k: v for k, v in (getattr(action, "parameters", None) or {}).items()},
            }
    return things


def _all(read: Callable[..., list[Any]], page: int = 200) -> Iterator[Any]:
    """All that a reading method of the client finds, page by page."""
    start = 0
    while found := read(limit=page, offset=start):
        yield from found
        start += page


_KEPT = (
    "entrypoint", "pull_steps", "work_pool_name", "tags", "description", "parameters", "parameter_openapi_schema",
    "path",
)  # fmt: skip


def _content(wanted: Deployment, settings: Settings) -> dict[str, Any]:
    """A deployment as plain data."""
    from prefect.client.schemas.schedules import CronSchedule
    from prefect.utilities.callables import parameter_schema

    flow, active = wanted.flow(), wanted.active or wanted.trigger in settings.deploy.triggers
    clock = wanted.cron and CronSchedule(cron=wanted.cron, timezone="UTC")
    return {
        "entrypoint": wanted.entrypoint,
        "pull_steps": [],
        "work_pool_name": wanted.pool,
        "tags": [TAG],
        "description": flow.description,
        "parameters": {"settings": _parameters(settings)},
        "parameter_openapi_schema": parameter_schema(flow).model_dump_for_openapi(),
        "path": None,
        "schedules": [_schedule(wanted.slug, active, clock)] if clock else [],
        "limit": wanted.concurrency_limit,
    }


def _parameters(settings: Settings) -> dict[str, Any]:
    """Settings that are not at their defaults. The folder for results is left out: the pool's environment says it."""
    values = settings.model_dump(mode="json", exclude_defaults=True, exclude={"run": {"out"}, "deploy": True})
    return {section: keys for section, keys in values.items() if keys}


def _schedule(slug: str | None, active: bool, clock: Any) -> dict[str, Any]:
    return {"slug": slug, "active": active, "cron": clock.cron, "timezone": clock.timezone}


def _environment(runs: Path) -> dict[str, str]:
    return {**CLIENT_ENVIRONMENT, "HMR_ALIGN_RUNS": str(runs)}


def _make_pool(client: "SyncPrefectClient", name: str, content: dict[str, Any]) -> None:
    from prefect.client.schemas.actions import WorkPoolCreate
    from prefect.workers.process import ProcessWorker

    template = ProcessWorker.get_default_base_job_template()
    template["variables"]["properties"]["env"]["default"] = content["environment"]
    made = WorkPoolCreate(
        name=name, type="process", base_job_template=template, concurrency_limit=content["limit"]
    )  # fmt: skip
    client.create_work_pool(made, overwrite=True)


def _make_limit(client: "SyncPrefectClient", name: str, content: dict[str, Any]) -> None:
    client.upsert_global_concurrency_limit_by_name(name, content["limit"])


def _make_deployment(client: "SyncPrefectClient", name: str, content: dict[str, Any]) -> None:
    """Create or replace one deployment (the server updates one of equal flow and name)."""
    from prefect.client.schemas.actions import DeploymentScheduleCreate
    from prefect.client.schemas.schedules import CronSchedule

    flow, _, own = name.partition("/")
    client.create_deployment(
        flow_id=client.create_flow_from_name(flow),
        name=own,
        entrypoint=content["entrypoint"],
        pull_steps=[],
        work_pool_name=content["work_pool_name"],
        tags=content["tags"],
        description=content["description"],
        parameters=content["parameters"],
        parameter_openapi_schema=content["parameter_openapi_schema"],
        enforce_parameter_schema=True,
        schedules=[
            DeploymentScheduleCreate(
                schedule=CronSchedule(cron=one["cron"], timezone=one["timezone"]), active=one["active"],
                slug=one["slug"],
            )
            for one in content["schedules"]
        ],
        concurrency_limit=content["limit"],
    )  # fmt: skip


def _make_automations(client: "SyncPrefectClient", settings: Settings, touched: set[str]) -> None:
    if f"automation {ZOMBIES}" in touched:
        set_up_automation(client)
    for word in settings.deploy.triggers:
        name = f"{TRIGGERED}{word}"
        if f"automation {name}" in touched:
            deployment = client.read_deployment_by_name(TRIGGERS[word].deployment)
            _put_automation(client, name, _triggered(name, TRIGGERS[word], deployment.id))


def _remove(client: "SyncPrefectClient", kind: str, name: str) -> None:
    if kind == "deployment":
        client.delete_deployment(client.read_deployment_by_name(name).id)
    elif kind == "automation":
        for one in client.read_automations_by_name(name):
            client.delete_automation(one.id)


def _triggered(name: str, trigger: Trigger, deployment: Any) -> "AutomationCore":
    from prefect.events.actions import RunDeployment
    from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture

    return AutomationCore(
        name=name,
        description=trigger.about,
        trigger=EventTrigger(
            expect={f"{PREFIX}{trigger.event}"}, for_each={"prefect.resource.id"}, posture=Posture.Reactive, threshold=1
        ),
        actions=[
            RunDeployment(
                source="selected",
                deployment_id=deployment,
                parameters=dict(trigger.parameters) or None,
                job_variables=None,
            )
        ],
    )


def set_up_automation(client: "SyncPrefectClient") -> None:
    """Have the server mark runs Crashed whose process was killed; safe to repeat."""
    _put_automation(client, ZOMBIES, zombie_automation())


def _put_automation(client: "SyncPrefectClient", name: str, wanted: "AutomationCore") -> None:
    """Make an automation, or replace the one with its name."""
    known = [one for one in client.read_automations_by_name(name) if one.name == name]
    for surplus in known[1:]:
        client.delete_automation(surplus.id)
    if known:
        client.update_automation(known[0].id, wanted)
    else:
        client.create_automation(wanted)


def _automation_content(automation: Any) -> dict[str, Any]:
    kept = automation.model_dump(mode="json", include={"trigger", "actions", "enabled"})
    trigger = kept["trigger"]
    return {
        "enabled": kept["enabled"],
        "within": trigger["within"],
        "expect": sorted(trigger["expect"]),
        "actions": [one["type"] for one in kept["actions"]],
    }


def zombie_automation() -> "AutomationCore":
    """A run of ours that has sent a heartbeat and then none for `SILENCE`, without an end, becomes Crashed.

    Prefect itself leaves a run Running forever when its process is killed, and its concurrency slot taken. Only runs
    with our tag are watched: others on a shared server may send heartbeats less often than every 30 s.
    """
    from prefect.client.schemas.objects import StateType
    from prefect.events.actions import ChangeFlowRunState
    from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture

    ends = ("Completed", "Failed", "Cancelled", "Crashed")
    return AutomationCore(
        name=ZOMBIES,
        description="Frees runs whose process died without a word.",
        trigger=EventTrigger(
            match={"prefect.resource.id": "prefect.flow-run.*"},  # type: ignore[arg-type]
            match_related={"prefect.resource.role": "tag", "prefect.resource.id": f"prefect.tag.{TAG}"},  # type: ignore[arg-type]
            after={"prefect.flow-run.heartbeat"},
            expect={f"prefect.flow-run.{event}" for event in ("heartbeat", *ends)},
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=SILENCE,
        ),
        actions=[
            ChangeFlowRunState(state=StateType.CRASHED, name="Crashed", message="no heartbeat for 75 s", force=False)
        ],
    )
