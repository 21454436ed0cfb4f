"""The whole loop: photographs -> people -> rounds of groups, verdicts and training -> benchmark -> report."""

import json
from pathlib import Path
from typing import Any, NamedTuple

from prefect import flow
from prefect.states import Completed

from flows.record.progress import stage
from flows.record.run_folder import alone_in_its_folder
from flows.record.run_labels import labelled
from flows.run_benchmark import benchmark
from flows.sample_groups import find, sample
from flows.score_groups import COUNTS, PARTLY, not_judged, score
from flows.train_policy import train
from hmr.pretraining.headroom_record import measured_headroom
from storage.finished_file import write_text
from tasks.benchmarking import (
    benchmark_sampler,
    compare,
    extras,
    lifting_rows,
    look_at,
    quality,
    table,
    uncertainty,
)
from tasks.critics.monitoring import watched
from tasks.finding import Found
from tasks.photograph_people import (
    MOST_SHOWN,
    Measured,
    measure_photographs,
    pairs,
    photograph_summary,
    report_order,
    show_bodies,
)
from tasks.report.report import (
    PhotographPerson,
    RoundRecord,
    ShownPerson,
    benchmark_rows,
    summary_table_markdown,
    write_report,
)
from tasks.run.artifacts import leave_page, leave_table
from tasks.run.plan import Plan
from tasks.run.settings import Sample, Settings, differences, settings_sha256
from tasks.sampling import body, model
from tasks.showing import Shown, show_groups
from tasks.training import Trained, train_settings


@flow(name="align", **labelled("align", critic=True))
@alone_in_its_folder
def align(settings: Settings) -> Any:
    """Align a base model to photographs; returns the path of the run's `summary.json`.

    What an earlier run with the same settings finished is not done again. Where some groups could not be judged, it
    ends in the state "Partly judged".
    """
    plan = Plan(settings)
    plan.check()
    plan.claim()
    found = find(plan)
    with stage(plan, "look at val") as progress:
        progress.items = look_at(plan.people("val"))
    before = benchmark(plan, "before", plan.base)
    done = improve(plan)
    after = benchmark(plan, "after", plan.policy(settings.align.rounds))
    measured = measure(plan)
    shown = show(plan, measured)
    pictured = show_photographs(plan, measured, shown)
    summary = summarise(plan, found, done, before, after) | {"photographs": photograph_summary(*measured)}
    path = publish(plan, summary, shown, done.rounds, found, pictured)
    if failed := done.verdicts["failed_groups"]:
        return Completed(name=PARTLY, message=f"{failed} groups could not be judged", data=path)
    return path


class Improved(NamedTuple):
    """What the rounds of a run did."""

    rounds: list[Trained]
    groups: int
    verdicts: dict[str, int]  # hypotheses scored, abstained on and pending, and groups that failed


def improve(plan: Plan) -> Improved:
    """All rounds of sampling, judging and training on the people in the store."""
    done = Improved([], 0, dict.fromkeys(COUNTS, 0))
    for number in range(1, plan.settings.align.rounds + 1):
        groups = sample(plan, number - 1)
        found = score(plan, plan.gen(number - 1))
        if found["failed_groups"]:
            not_judged(plan, [plan.gen(number - 1)])
        verdicts = {name: count + found[name] for name, count in done.verdicts.items()}
        done = Improved([*done.rounds, train(plan, number)], done.groups + groups, verdicts)
    return done


class OnPhotographs(NamedTuple):
    """The people of a run's real photographs, measured with the base and with the aligned policy."""

    before: list[Measured]
    after: list[Measured]


def measure(plan: Plan) -> OnPhotographs:
    """Measure base and aligned policy, from the same noise, on all people of the run's real photographs."""
    with stage(plan, "measure photographs") as progress:
        found = OnPhotographs(*(
            measure_photographs(
                name, plan.photographed(), plan.store_root, model_path, plan.body_path, as_it_is(plan),
                plan.settings.run.seed, plan.folder / "photographs_measured",
            )
            for name, model_path in models(plan).items()
        ))  # fmt: skip
        progress.items = len(found.after)
    return found


def show(plan: Plan, measured: OnPhotographs) -> list[ShownPerson]:
    """Draw the people of the report with the base and with the aligned policy, from the same noise."""
    settings = plan.settings
    chosen = shown_groups(plan, report_order(*measured))
    with stage(plan, "draw overlays") as progress:
        drawn: list[list[Shown]] = [
            show_groups(
                name, chosen, plan.store_root, model_path, plan.body_path, as_it_is(plan), settings.critic,
                settings.overlay, train_settings(settings.train, settings.run.seed), plan.folder / "overlays" / name,
                settings.run.seed, plan.truth, settings.run.processes,
            )
            for name, model_path in models(plan).items()
        ]  # fmt: skip
        progress.items = sum(len(s.group.hypotheses) for part in drawn for s in part)
    return [ShownPerson(b.group_id, b.photo, b.group, a.group) for b, a in zip(*drawn)]


def shown_groups(plan: Plan, order: list[str]) -> tuple[str, ...]:
    """Ids of the groups in the report: people of photographs in `order`, and beside the studio's as many of those."""
    most = plan.settings.overlay.groups_shown
    if not plan.on_studio:
        return tuple(order[:most])
    store = plan.store
    real_shards = plan.photographed()
    wild = [p.group_id for shard in store.people_shards() if shard not in real_shards for p in store.read_people(shard)]
    if plan.truth is not None:  # the free photographs have no ground truth
        return tuple(wild[:most])
    real = order[: most - min(len(wild), most // 2)]
    return (*real, *wild[: most - len(real)])


def show_photographs(plan: Plan, measured: OnPhotographs, shown: list[ShownPerson]) -> list[PhotographPerson]:
    """Draw the zero-noise body on the people of photographs, before and after, in the report's order."""
    settings, order = plan.settings, tuple(report_order(*measured)[:MOST_SHOWN])
    with stage(plan, "draw photographs") as progress:
        bodies = {
            name: show_bodies(
                name, order, plan.store_root, model_path, plan.body_path, as_it_is(plan), settings.critic,
                settings.overlay, settings.run.seed, plan.folder / "overlays" / f"photographs_{name}",
                settings.run.processes,
            )
            for name, model_path in models(plan).items()
        }  # fmt: skip
        progress.items = 2 * len(order)
    groups = {"before": [(p.group_id, p.before) for p in shown], "after": [(p.group_id, p.after) for p in shown]}
    judged = {
        when: {key: one for key, group in found if group for one in group.hypotheses if one.zero_start}
        for when, found in groups.items()
    }
    return pairs(*measured, bodies, judged)


def models(plan: Plan) -> dict[str, str]:
    """The models that are compared."""
    return {"before": plan.base, "after": plan.policy(plan.settings.align.rounds)}


def as_it_is(plan: Plan) -> Sample:
    """[sample] at the model's own spread."""
    return Sample(**{**plan.settings.sample.model_dump(), "temperature": 1.0})


def summarise(plan: Plan, found: list[Found], done: Improved, before: Path, after: Path) -> dict[str, Any]:
    """Everything the run measured, as `summary.json` and the report have it."""
    settings, monitor = plan.settings, plan.settings.critic.monitor
    frame = body(plan.body_path)
    improvement = compare(before, after, settings.benchmark.bootstrap)
    base = model(plan.base)
    # The probe measured at the defaults: its gain is no share of what another sampler or protocol gains.
    as_probed = settings.benchmark.protocol == "fit" and benchmark_sampler(settings.sample, base) == base.sampler
    headroom = measured_headroom(base.digest(), settings.studio.wild) if as_probed else None
    share = headroom and {
        e: improvement[e]["mpjpe_mm"]["value"] / headroom[e]["value"] for e in ("zero_noise", "best_of_g")
    }
    skipped = sum(len(one.skipped) for one in found)
    stages = json.loads((plan.folder / "stages.json").read_text())
    return {
        "run": settings.run.name,
        "settings_sha256": settings_sha256(settings),
        "differences": list(differences(settings)),
        "images": stages["find people"]["items"],
        "skipped": skipped,
        "people": sum(one.people for one in found),
        "groups": done.groups,
        "hypotheses": done.groups * settings.sample.hypotheses,
        "critic": plan.critic_name,
        "verdicts": done.verdicts,
        "rounds": [{"best_step": t.best_step, "reason": t.reason} for t in done.rounds],
        "stages": stages,
        "split": "test",
        "benchmark": {"before": table(before), "after": table(after)},
        "protocol": settings.benchmark.protocol,
        "benchmark_extras": {"before": extras(before), "after": extras(after)},
        "uncertainty": {"before": uncertainty(before), "after": uncertainty(after)},
        "improvement_percent": improvement,
        "critic_quality": quality(before),
        "monitor": watched(plan.folder, plan.critic_name, plan.judged_by(monitor).critic_name) if monitor else [],
        "lifting": lifting_rows(
            plan.base if plan.base in ("lab", "default") else "default", frame, plan.people("test")
        ),
        "headroom": headroom,
        "share_of_headroom": share,
        "body": frame.name,
        "base": plan.base,
        "checkpoint": plan.policy(settings.align.rounds),
    }


def publish(
    plan: Plan,
    summary: dict[str, Any],
    shown: list[ShownPerson],
    rounds: list[Trained],
    found: list[Found],
    pictured: list[PhotographPerson],
) -> str:
    """Write summary and report, and the dashboard's artifacts; returns the path of the summary."""
    records = [
        RoundRecord(
            number=k,
            curves=plan.round_folder(k) / "curves.parquet",
            evaluations=plan.round_folder(k) / "evaluations.parquet",
            best_step=trained.best_step,
            reason=trained.reason,
        )
        for k, trained in enumerate(rounds, 1)
    ]
    skipped = [row for one in found for row in one.skipped]
    write_report(plan.folder, summary, shown, records, skipped, pictured)
    path = plan.folder / "summary.json"
    write_text(path, json.dumps(summary, indent=1))
    leave_table("benchmark", benchmark_rows(summary), "before and after alignment, test split")
    leave_page("summary", summary_table_markdown(summary), f"what run {plan.settings.run.name} gained")
    return str(path)
