"""A run's stored results -> `report.html` and `summary.json`, with people drawn before and after alignment."""

import json

from prefect import flow

from flows.record.progress import stage
from flows.record.report_page import first_row, page_link
from flows.record.run_folder import alone_in_its_folder
from flows.record.run_labels import labelled
from storage.finished_file import write_text
from tasks.photograph_people import (
    MOST_SHOWN,
    OnPhotographs,
    as_it_is,
    compared_models,
    measure_photographs,
    pairs,
    photograph_summary,
    report_order,
    show_bodies,
    shown_groups,
)
from tasks.report.paper_plots import PLOTS, write_plots
from tasks.report.report import PhotographPerson, RoundRecord, ShownPerson
from tasks.report.report import write_report as write_page
from tasks.report.report_tables import benchmark_rows, summary_table_markdown
from tasks.report.summary import Done, done_by, summarise
from tasks.report.thumbnails import FOLDER
from tasks.report_groups import NamedGroup, show_groups
from tasks.run.artifacts import leave_page, leave_table
from tasks.run.plan import Plan
from tasks.run.settings import Settings, SettingsError
from tasks.training import train_settings


@flow(name="write-report", **labelled("report", critic=True))
@alone_in_its_folder
def write_report(settings: Settings) -> str:
    """Measure and draw the people of the report, and write it; returns the path of `summary.json`.

    What was measured and drawn for an earlier report is kept. Raises SettingsError if the run is not finished.
    """
    plan = Plan(settings)
    if not plan.benchmark("after").exists():
        raise SettingsError(f"{plan.folder} holds no finished run: `hmr-align align` resumes it and writes the report")
    done = done_by(plan)
    measured = measure(plan)
    shown = show(plan, measured)
    pictured = show_photographs(plan, measured, shown)
    summary = summarise(plan, done) | {"photographs": photograph_summary(*measured)}
    results = {when: plan.benchmark(when) for when in ("before", "after")}
    write_plots(plan.folder / FOLDER / "plots", results)
    page = write_page(plan.folder, summary, shown, curves(plan, done), done.skipped, pictured, PLOTS)
    path = plan.folder / "summary.json"
    write_text(path, json.dumps(summary, indent=1))
    leave_table("benchmark", benchmark_rows(summary), "before and after alignment, test split")
    text = "\n\n".join([page_link(page), first_row(shown), summary_table_markdown(summary)])
    leave_page("summary", text, f"what run {plan.settings.run.name} gained")
    return str(path)


def measure(plan: Plan) -> OnPhotographs:
    """Measure base and aligned policy, from the same noise, on all people of the run's real photographs."""
    with stage(plan, "measure photographs") as progress:
        found = OnPhotographs(*(
            measure_photographs(
                name, plan.photographed(), plan.store_root, model_path, plan.body_path, as_it_is(plan),
                plan.settings.run.seed, plan.folder / "photographs_measured",
            )
            for name, model_path in compared_models(plan).items()
        ))  # fmt: skip
        progress.items = len(found.after)
    return found


def show(plan: Plan, measured: OnPhotographs) -> list[ShownPerson]:
    """Draw the people of the report with the base and with the aligned policy, from the same noise."""
    settings = plan.settings
    chosen = shown_groups(plan, report_order(*measured))
    with stage(plan, "draw overlays") as progress:
        drawn: list[list[NamedGroup]] = [
            show_groups(
                name, chosen, plan.store_root, model_path, plan.body_path, as_it_is(plan), settings.critic,
                settings.overlay, train_settings(settings.train, settings.run.seed), plan.folder / "overlays" / name,
                settings.run.seed, plan.truth, settings.run.processes,
            )
            for name, model_path in compared_models(plan).items()
        ]  # fmt: skip
        progress.items = sum(len(s.group.hypotheses) for part in drawn for s in part)
    return [ShownPerson(b.group_id, b.photo, b.group, a.group) for b, a in zip(*drawn)]


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
            for name, model_path in compared_models(plan).items()
        }  # fmt: skip
        progress.items = 2 * len(order)
    groups = {"before": [(p.group_id, p.before) for p in shown], "after": [(p.group_id, p.after) for p in shown]}
    judged = {
        when: {key: one for key, group in found if group for one in group.hypotheses if one.zero_start}
        for when, found in groups.items()
    }
    return pairs(*measured, bodies, judged)


def curves(plan: Plan, done: Done) -> list[RoundRecord]:
    """The files with the curves of each round, and how it ended."""
    return [
        RoundRecord(
            number=number,
            curves=plan.round_folder(number) / "curves.parquet",
            evaluations=plan.round_folder(number) / "evaluations.parquet",
            best_step=trained.best_step,
            reason=trained.reason,
        )
        for number, trained in enumerate(done.rounds, 1)
    ]
