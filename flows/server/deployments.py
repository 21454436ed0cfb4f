"""Every flow as a Prefect deployment: which there are, in which pool, and when they start by themselves.

`deploy/prefect.yaml` says the same for Prefect's own tools; a test holds the two together. `set_up.py` makes them, and
also the pools, the limits and the automations. Deployments go by module path with an empty list of pull steps, so that
a worker on any host that has the package can run them. Runs start in a temporary folder: the pool sets the folder for
results.
"""

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from prefect import Flow

POOL = "hmr-align"
GPU_POOL = "hmr-align-gpu"
"""Where sampling and training go by themselves once a worker serves it, see `flows.record.gpu_pool`."""
ON_DEMAND, ON_GPU = "on-demand", "gpu"


@dataclass(frozen=True)
class Deployment:
    """One deployment of a flow."""

    entrypoint: str  # module path of the flow, with dots
    name: str = ON_DEMAND
    cron: str | None = None  # in UTC
    slug: str | None = None  # of the schedule
    concurrency_limit: int | None = None
    pool: str = POOL
    active: bool = True  # whether the schedule starts runs
    trigger: str | None = None  # its schedule is active if [deploy] triggers has this word

    def flow(self) -> "Flow[..., Any]":
        """The flow, imported from its module path."""
        module, _, name = self.entrypoint.rpartition(".")
        return getattr(importlib.import_module(module), name)


DEPLOYMENTS = (
    Deployment("flows.align.align"),
    Deployment("flows.stages.find_people.find_people"),
    Deployment("flows.stages.sample_groups.sample_groups"),
    Deployment("flows.stages.render_overlays.render_overlays"),
    Deployment("flows.stages.score_groups.score_groups"),
    Deployment("flows.distill_judge.distill_judge"),
    Deployment("flows.rescore.rescore"),
    Deployment("flows.stages.train_policy.train_policy"),
    Deployment("flows.stages.write_report.write_report"),
    Deployment("flows.stages.save_pictures.save_pictures"),
    Deployment("flows.probe_headroom.probe_headroom"),
    Deployment("flows.stages.run_benchmark.run_benchmark"),
    Deployment("flows.critic_benchmark.critic_benchmark"),
    Deployment("flows.plant_controls.plant_controls"),
    Deployment("flows.reflect.reflect"),
    Deployment("flows.pretrain.pretrain"),
    Deployment("flows.watch_photographs.watch_photographs"),
    Deployment("flows.experiments.alignment.alignment"),
    Deployment("flows.experiments.alignment.sampler"),
    Deployment("flows.experiments.distill.distill"),
    Deployment("flows.experiments.rounds.rounds"),
    Deployment("flows.experiments.rounds.rounds_parts"),
    Deployment("flows.experiments.table2.table2"),
    Deployment("flows.experiments.table2_curves.table2_curves"),
    Deployment("flows.experiments.table2_photographs.table2_photographs"),
    Deployment("flows.experiments.coverage.spread_coverage"),
    Deployment("flows.experiments.detector.detector"),
    Deployment("flows.experiments.people.people_found"),
    Deployment("flows.experiments.photographs.photographs"),
    Deployment("flows.experiments.refine.refine"),
    Deployment("flows.stages.sample_groups.sample_groups", ON_GPU, pool=GPU_POOL),
    Deployment("flows.stages.train_policy.train_policy", ON_GPU, pool=GPU_POOL),
    Deployment("flows.pretrain.pretrain", ON_GPU, pool=GPU_POOL),
    Deployment("flows.probe_headroom.probe_headroom", ON_GPU, pool=GPU_POOL),
    Deployment("flows.rescore.rescore", "nightly", "0 3 * * *", "nightly", concurrency_limit=1),
    Deployment(
        "flows.watch_photographs.watch_photographs", "watch", "*/5 * * * *", "every-5-minutes", concurrency_limit=1,
        active=False, trigger="photographs",
    ),
)  # fmt: skip
"""Every flow; parameters other than the settings are given when a run is started."""
