"""The whole job: photographs -> people -> rounds of groups, pictures, verdicts and training -> benchmark -> report.

Each stage is a flow of its own, which can be run and deployed alone. Its results for the next stage are in the run's
folder: people, groups, pictures and verdicts in the store, policies under `training/`.
"""

from typing import Any

from prefect import flow
from prefect.states import Completed

from flows.find_people import find_people
from flows.record.gpu_pool import on_gpu
from flows.record.run_folder import alone_in_its_folder
from flows.record.run_labels import labelled
from flows.record.shard_runner import ShardRunner
from flows.render_overlays import render_overlays
from flows.run_benchmark import run_benchmark
from flows.sample_groups import sample_groups
from flows.score_groups import PARTLY, score_groups
from flows.train_policy import train_policy
from flows.write_report import write_report
from tasks.run.plan import Plan
from tasks.run.settings import Settings


@flow(name="align", task_runner=ShardRunner(), **labelled("align", critic=True))
@alone_in_its_folder
def align(settings: Settings) -> Any:
    """Align a base model to photographs; returns the path of the run's `summary.json`.

    What an earlier run with the same settings finished is not done again. If some groups could not be judged, the flow
    ends in the state "Partly judged".
    """
    plan = Plan(settings)
    plan.check()
    plan.claim()
    find_people(settings)
    run_benchmark(settings, 0, keep_as="before")
    failed = improve(settings)
    run_benchmark(settings, settings.align.rounds, keep_as="after")
    path = write_report(settings)
    if failed:
        return Completed(name=PARTLY, message=f"{failed} groups could not be judged", data=path)
    return path


def improve(settings: Settings) -> int:
    """All rounds on the people in the store; returns how many groups could not be judged."""
    failed = 0
    for number in range(1, settings.align.rounds + 1):
        gen = Plan(settings).gen(number - 1)
        on_gpu(sample_groups, settings, round_number=number - 1, find=False)
        render_overlays(settings, [gen])
        failed += score_groups(settings, [gen])["failed_groups"]
        on_gpu(train_policy, settings, round_number=number)
    return failed
