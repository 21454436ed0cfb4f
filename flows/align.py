"""The whole job: photographs -> people -> rounds of groups, pictures, verdicts and training -> benchmark -> report.

Each stage is a flow of its own, which can be run and deployed alone. Its results for the next stage are in the run's
folder: people, groups, pictures and verdicts in the store, policies under `training/`.
"""

from collections.abc import Callable
from typing import Any

from prefect import Flow, flow
from prefect.states import Completed

from flows.record.gpu_pool import on_gpu
from flows.record.run_folder import alone_in_its_folder
from flows.record.run_labels import labelled
from flows.record.shard_runner import ShardRunner
from flows.stages.find_people import find_people
from flows.stages.render_overlays import render_overlays
from flows.stages.run_benchmark import run_benchmark
from flows.stages.sample_groups import sample_groups
from flows.stages.score_groups import PARTLY, score_groups
from flows.stages.train_policy import train_policy
from flows.stages.write_report import write_report
from tasks.run.plan import Plan
from tasks.run.settings import Settings

Stage = Flow[..., Any]
Run = Callable[..., Any]
"""A way to run a stage: called with its flow, the settings and its parameters."""


@flow(name="align", task_runner=ShardRunner(), **labelled("align", critic=True))
@alone_in_its_folder
def align(settings: Settings) -> Any:
    """Align a base model to photographs; returns the path of the run's `summary.json`.

    What an earlier run with the same settings finished is not done again. If some groups could not be judged, the flow
    ends in the state "Partly judged".
    """
    path, failed = walk(settings, as_flow, on_gpu)
    if failed:
        return Completed(name=PARTLY, message=f"{failed} groups could not be judged", data=path)
    return path


def as_flow(stage: Stage, settings: Settings, **parameters: Any) -> Any:
    """Run a stage as the flow that it is."""
    return stage(settings, **parameters)


def walk(settings: Settings, run: Run, on_gpu: Run) -> tuple[str, int]:
    """All stages in their order; returns the path of the summary, and how many groups could not be judged.

    run, on_gpu: how a stage is run, and one that a GPU helps.
    """
    plan = Plan(settings)
    plan.check()
    plan.claim()
    run(find_people, settings)
    run(run_benchmark, settings, round_number=0, keep_as="before")
    failed = improve(settings, run, on_gpu)
    run(run_benchmark, settings, round_number=settings.align.rounds, keep_as="after")
    return run(write_report, settings), failed


def improve(settings: Settings, run: Run = as_flow, on_gpu: Run = on_gpu) -> int:
    """All rounds on the people in the store; returns how many groups could not be judged."""
    failed = 0
    for number in range(1, settings.align.rounds + 1):
        gen = Plan(settings).gen(number - 1)
        on_gpu(sample_groups, settings, round_number=number - 1, find=False)
        run(render_overlays, settings, gens=[gen])
        failed += run(score_groups, settings, gens=[gen])["failed_groups"]
        on_gpu(train_policy, settings, round_number=number)
    return failed
