"""All stages of a run on a few studio people, as plain calls of the tasks' functions: no server, no console."""

import json
from collections.abc import Iterator
from pathlib import Path

from storage.finished_file import write_text
from tasks.benchmarking import benchmark_model, compare, look_at, table
from tasks.critics.monitoring import watch
from tasks.finding import find_shard, list_photographs
from tasks.groups.image_search import Source
from tasks.photograph_people import measure_photographs, show_bodies
from tasks.photographs import studio_photographs
from tasks.report_groups import show_groups
from tasks.rounds.train_worker import RoundSpec, Trained, finished, refuse_other, train
from tasks.run.plan import Plan
from tasks.run.settings import Sample, Settings
from tasks.sampling import sample_shard
from tasks.scoring import score_shard
from tasks.training import train_settings

PEOPLE = 4


def smoke_settings(out: Path) -> Settings:
    """As small as every stage allows; two shards of photographs."""
    return Settings.model_validate(
        {
            "run": {"name": "run", "out": out, "shard_size": 2},
            "sample": {"hypotheses": 6},
            "critic": {"name": "evidence", "monitor": "physics"},
            "overlay": {"size": 64, "groups_shown": 1},
            "train": {
                "steps": 2,
                "evaluate_every": 1,
                "groups_per_step": 2,
                "overrides": {"advantage": {"min_std": 0.1}},
            },
            "benchmark": {"hypotheses": 2, "bootstrap": 10},
            "studio": {"wild": PEOPLE, "val": 2, "test": 2},
        }
    )


def stages(settings: Settings) -> Iterator[str]:
    """Do the run, stage by stage; the name of each when it is done."""
    plan = Plan(settings)
    with plan.held():
        plan.claim()
        yield from _stages(plan)


def _stages(plan: Plan) -> Iterator[str]:
    settings = plan.settings
    store, seed, how = plan.store_root, settings.run.seed, settings.photographs
    calm = Sample(**{**settings.sample.model_dump(), "temperature": 1.0})
    monitor = plan.judged_by("physics")
    wild = studio_photographs.fn("wild", settings.studio.wild, plan.folder / "photographs" / "wild")
    yield "photographs"
    found = [
        find_shard.fn(shard, store, how.focal_px, how.crop_margin, how.only_described)
        for shard in list_photographs.fn([Source(wild, thorough=False)], wild.parent, store, 2).shards
    ]
    yield "people"
    look_at.fn(plan.people("val"))
    look_at.fn(plan.people("test"))
    yield "look"
    results = [_benchmark(plan, "before", plan.base)]
    yield "benchmark"
    for shard in plan.store.people_shards():
        sample_shard.fn(shard, "round0", store, plan.base, plan.body_path, settings.sample, seed)
    yield "groups"
    for one in (plan, monitor):
        for shard in plan.store.group_shards("round0"):
            score_shard.fn(
                shard, "round0", "run", store, plan.body_path, one.settings.critic, settings.overlay, seed, plan.truth
            )
    watch(plan.store, "round0", plan.critic_name, monitor.critic_name, plan.folder)
    yield "verdicts"
    trained = _train(plan)
    yield "training"
    results.append(_benchmark(plan, "after", str(trained.checkpoint)))
    models = {"before": plan.base, "after": str(trained.checkpoint)}
    shards = tuple(plan.store.people_shards())
    measured = [
        measure_photographs.fn(
            name, shards, store, path, plan.body_path, calm, seed, plan.folder / "photographs_measured"
        )
        for name, path in models.items()
    ]
    yield "measured"
    chosen = tuple(one.group_id for one in measured[0][:1])
    for name, path in models.items():
        show_groups.fn(
            name, chosen, store, path, plan.body_path, calm, settings.critic, settings.overlay,
            train_settings(settings.train, seed), plan.folder / "overlays" / name, seed,
        )  # fmt: skip
        show_bodies.fn(
            name, chosen, store, path, plan.body_path, calm, settings.critic, settings.overlay, seed,
            plan.folder / "bodies" / name,
        )  # fmt: skip
    yield "pictures"
    summary = {
        "people": sum(one.people for one in found),
        "benchmark": {"before": table(results[0]), "after": table(results[1])},
        "improvement_percent": compare(*results, settings.benchmark.bootstrap),
    }
    write_text(plan.folder / "summary.json", json.dumps(summary, indent=1))
    yield "summary"


def _benchmark(plan: Plan, name: str, model_path: str) -> Path:
    settings = plan.settings
    return benchmark_model.fn(
        name, model_path, plan.body_path, plan.people("test"), settings.benchmark, settings.sample, settings.critic,
        settings.overlay, plan.folder / "benchmark" / f"{name}.npz",
    )  # fmt: skip


def _train(plan: Plan) -> Trained:
    spec = RoundSpec(
        gen="round0", critic=plan.critic_name, store_root=plan.store_root, model_path=plan.base,
        body_path=plan.body_path, folder=plan.round_folder(1), train=plan.training(1), sample=plan.settings.sample,
        judge=plan.settings.critic, val=plan.people("val"), seed=plan.settings.run.seed,
    )  # fmt: skip
    if (done := finished(spec.folder)) is not None:
        refuse_other(spec)
        return done
    return train(spec, lambda message: None)
