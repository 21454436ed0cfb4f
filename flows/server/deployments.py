"""Every flow as a Prefect deployment: work pool, deployments, and the automation that marks dead runs Crashed.

`deploy` is safe to repeat. It makes what `deploy/prefect.yaml` makes, and also the pool and the automation.
Deployments go by module path with an empty list of pull steps, so that a worker on any host that has the
package can run them. Runs start in a temporary folder: the pool sets the folder for results.
"""

import importlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.record.dead_runs import SILENCE, TAG
from flows.server.server_environment import CLIENT_ENVIRONMENT
from tasks.run.settings import Settings

if TYPE_CHECKING:
    from prefect import Flow
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.events.schemas.automations import AutomationCore

POOL = "hmr-align"
ZOMBIES = "hmr-align-zombies"


@dataclass(frozen=True)
class Deployment:
    """One deployment of a flow."""

    entrypoint: str  # module path of the flow, with dots
    name: str = "on-demand"
    cron: str | None = None  # in UTC
    slug: str | None = None  # of the schedule
    concurrency_limit: int | None = None

    def flow(self) -> "Flow[..., Any]":
        """The flow, imported from its module path."""
        module, _, name = self.entrypoint.rpartition(".")
        return getattr(importlib.import_module(module), name)


DEPLOYMENTS = (
    Deployment("flows.align.align"),
    Deployment("flows.find_people.find_people"),
    Deployment("flows.sample_groups.sample_groups"),
    Deployment("flows.render_overlays.render_overlays"),
    Deployment("flows.score_groups.score_groups"),
    Deployment("flows.distill_judge.distill_judge"),
    Deployment("flows.train_policy.train_policy"),
    Deployment("flows.write_report.write_report"),
    Deployment("flows.save_pictures.save_pictures"),
    Deployment("flows.probe_headroom.probe_headroom"),
    Deployment("flows.run_benchmark.run_benchmark"),
    Deployment("flows.critic_benchmark.critic_benchmark"),
    Deployment("flows.plant_controls.plant_controls"),
    Deployment("flows.reflect.reflect"),
    Deployment("flows.pretrain.pretrain"),
    Deployment("flows.experiments.alignment.alignment"),
    Deployment("flows.experiments.alignment.sampler"),
    Deployment("flows.experiments.distill.distill"),
    Deployment("flows.experiments.rounds.rounds"),
    Deployment("flows.experiments.rounds.rounds_parts"),
    Deployment("flows.experiments.table2.table2"),
    Deployment("flows.experiments.coverage.spread_coverage"),
    Deployment("flows.experiments.detector.detector"),
    Deployment("flows.experiments.people.people_found"),
    Deployment("flows.experiments.photographs.photographs"),
    Deployment("flows.experiments.refine.refine"),
    Deployment("flows.score_groups.score_groups", "rescore", "0 3 * * *", "nightly", concurrency_limit=1),
)
"""Every flow; parameters other than the settings are given when a run is started."""


def deploy(settings: Settings, deployments: Iterable[Deployment] = DEPLOYMENTS) -> list[str]:
    """Set up pool, deployments and automation on the configured server; returns "flow/deployment" names.

    Every run gets these settings, and workers write into their results folder.
    """
    from prefect.client.orchestration import get_client

    # A worker's own default folder is replaced by the pool's, so settings at their defaults may be left out.
    parameters = {"settings": settings.model_dump(mode="json", exclude_defaults=True, exclude={"run": {"out"}})}
    parameters["settings"] = {section: keys for section, keys in parameters["settings"].items() if keys}
    with get_client(sync_client=True) as client:
        _set_up_pool(client, settings.run.out)
        names = [_set_up_deployment(client, deployment, parameters) for deployment in deployments]
        set_up_automation(client)
    return names


def _set_up_pool(client: "SyncPrefectClient", runs: Path) -> None:
    from prefect.client.schemas.actions import WorkPoolCreate
    from prefect.workers.process import ProcessWorker

    template = ProcessWorker.get_default_base_job_template()
    template["variables"]["properties"]["env"]["default"] = {
        **CLIENT_ENVIRONMENT,
        "HMR_ALIGN_RUNS": str(runs),
    }
    client.create_work_pool(WorkPoolCreate(name=POOL, type="process", base_job_template=template), overwrite=True)


def _set_up_deployment(client: "SyncPrefectClient", wanted: Deployment, parameters: dict[str, Any]) -> str:
    """Create or replace one deployment (the server updates one of equal flow and name)."""
    from prefect.client.schemas.actions import DeploymentScheduleCreate
    from prefect.client.schemas.schedules import CronSchedule
    from prefect.utilities.callables import parameter_schema

    flow = wanted.flow()
    schedules = []
    if wanted.cron:
        clock = CronSchedule(cron=wanted.cron, timezone="UTC")
        schedules = [DeploymentScheduleCreate(schedule=clock, active=True, slug=wanted.slug)]
    client.create_deployment(
        flow_id=client.create_flow_from_name(flow.name),
        name=wanted.name,
        entrypoint=wanted.entrypoint,
        pull_steps=[],
        work_pool_name=POOL,
        tags=[TAG],
        version=flow.version,
        description=flow.description,
        parameters=parameters,
        parameter_openapi_schema=parameter_schema(flow).model_dump_for_openapi(),
        enforce_parameter_schema=True,
        schedules=schedules,
        concurrency_limit=wanted.concurrency_limit,
    )
    return f"{flow.name}/{wanted.name}"


def set_up_automation(client: "SyncPrefectClient") -> None:
    """Have the server mark runs Crashed whose process was killed; safe to repeat."""
    wanted = zombie_automation()
    found = [one for one in client.read_automations_by_name(ZOMBIES) if one.name == ZOMBIES]
    for surplus in found[1:]:
        client.delete_automation(surplus.id)
    if found:
        client.update_automation(found[0].id, wanted)
    else:
        client.create_automation(wanted)


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
