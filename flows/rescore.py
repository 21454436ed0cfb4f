"""Stored groups -> verdicts of another critic, or of a new version of one -> what that changes.

Only groups that lack a verdict of this version are judged, the newest or the most uncertain ones first, within a
budget. Meshes are never drawn again. What it costs is said before; somebody may have to agree. What it changed is said
after: a page in the run's folder, a table and a page on the dashboard, an event that automations can act on.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from prefect import flow
from prefect.states import Completed

from critique.endpoint.cache import read_ledger
from critique.endpoint.stream import BudgetSpent
from flows.plant_controls import plant_controls
from flows.record.approval import approved
from flows.record.progress import collected, stage
from flows.record.report_page import page_link
from flows.record.run_folder import alone_in_its_folder
from flows.record.run_labels import labelled
from flows.record.shard_runner import ShardRunner
from flows.stages.run_benchmark import SPLITS
from flows.stages.score_groups import PARTLY, tell_not_judged
from tasks.benchmarking import benchmark_model, compare, look_at, table
from tasks.critics.pending import NotJudged, reasons_text, unjudged
from tasks.critics.remembering import newest_memory
from tasks.report.report_tables import estimate_names
from tasks.rescoring.chosen_groups import Choice, Portion, choose, lacking_in
from tasks.rescoring.drift_report import (
    PAGE,
    DriftReport,
    compare_versions,
    draw_disagreements,
    drift_rows,
    folder_of,
    sentence,
    write_report,
)
from tasks.run.artifacts import leave_page, leave_table
from tasks.run.events import tell_event
from tasks.run.plan import Plan
from tasks.run.settings import Settings
from tasks.scoring import COUNTS, score_shard
from tasks.training import train_round

log = logging.getLogger(__name__)

NOT_APPROVED = "Not approved"
"""Name of the state of a run that nobody agreed to, or somebody refused: Completed, and nothing was spent."""


@flow(name="rescore", task_runner=ShardRunner(), **labelled("rescore", critic=True))
@alone_in_its_folder
def rescore(
    settings: Settings, critic: str | None = None, where: str | None = None, budget: float | None = None
) -> Any:
    """Have a run's stored groups judged that lack a verdict of the critic, and report what that changes.

    The newest version of the critic's memory is used, and the run keeps to it from then on.

    critic, where and budget take the place of `[critic] name`, `[rescore] where` and `budget`. Returns the counts of
    `score_groups`, `money` spent, and, if another version has judged before, the `correlation` with it and the share
    of groups with another first choice (`changed`). Ends in the state "Not approved" if nobody agreed, in "Partly
    judged" if some groups could not be judged. Raises NotJudged if none could, SettingsError if the run has no groups.
    """
    settings = changed(settings, critic, where, budget)
    plan = Plan(settings)
    plan.gens(None)
    with newest_memory(plan.folder, plan.memory if settings.critic.asks_server else None) as keep:
        return judge_and_tell(Plan(settings), keep)


def judge_and_tell(plan: Plan, agreed: Callable[[], None]) -> Any:
    """What `rescore` does, with the memory's newest version; `agreed` is called before anything is judged."""
    settings = plan.settings
    choice = choose(settings, plan.critic_name, plan.store)
    leave_table("rescore plan", choice.rows(), f"what judging again by {choice.critic} takes; nothing is sent yet")
    for row in choice.rows():
        log.info("%s: %s", row["what"], row["value"])
    if (question := must_be_asked(choice, settings)) and not approved(
        question, settings.rescore.approval_minutes, settings.rescore.unanswered
    ):
        return Completed(name=NOT_APPROVED, message=question, data=dict.fromkeys(COUNTS, 0) | {"money": 0.0})
    agreed()
    counts = judge(plan, choice)
    found: dict[str, Any] = dict(counts)
    known = (folder_of(plan.folder, choice.critic) / PAGE).exists()
    if choice.against is not None and (found["scored"] or settings.rescore.against or not known):
        found |= tell_drift(plan, choice, found["money"])
    rows = tell_not_judged(plan, sorted({portion.gen for portion in choice.portions})) if choice.portions else []
    if found["failed_groups"]:
        return Completed(name=PARTLY, message=reasons_text(rows), data=found)
    return found


def changed(settings: Settings, critic: str | None, where: str | None, budget: float | None) -> Settings:
    """The settings with what a caller gave instead of them."""
    values = settings.model_dump()
    values["critic"] |= {} if critic is None else {"name": critic}
    values["rescore"] |= {key: value for key, value in (("where", where), ("budget", budget)) if value is not None}
    return Settings.model_validate(values)


def must_be_asked(choice: Choice, settings: Settings) -> str | None:
    """What somebody must agree to before groups are judged; None if nothing."""
    how, reasons = settings.rescore, []
    if not choice.portions:
        return None
    if how.approve_above is not None and choice.money > how.approve_above:
        reasons.append(f"spend about {choice.money:,.2f} on {choice.groups:,} groups")
    if how.approve_rules and choice.new_rules:
        reasons.append("use these rules for the first time: " + " / ".join(choice.new_rules))
    return f"May {choice.critic} {' and '.join(reasons)}?" if reasons else None


def judge(plan: Plan, choice: Choice) -> dict[str, Any]:
    """Have the chosen groups judged; returns counts and the money spent. A spent budget ends it early.

    Raises NotJudged if no hypothesis could be scored.
    """
    settings = capped(plan)
    before = spent(plan)
    with stage(plan, f"rescore {choice.critic}") as progress:
        futures = [
            score_shard.submit(
                portion.shard, portion.gen, settings.run.name, plan.store_root, plan.body_path, settings.critic,
                settings.overlay, settings.run.seed, plan.truth, False, settings.run.processes_of_shard,
                None if portion.places is None else tuple(portion.places.tolist()),
            )
            for portion in choice.portions
        ]  # fmt: skip
        try:
            counted = collected(futures, f"rescore {choice.critic}")
        except BudgetSpent as error:
            log.warning("%s", error)
            tell_event("budget-spent", settings.run.name, critic=choice.critic, message=str(error))
            counted = [judged_of(plan, choice)]
        total = {name: sum(counts[name] for counts in counted) for name in COUNTS}
        progress.items = total["scored"] + total["abstained"]
    if total["failed_groups"] and not total["scored"]:
        gens = sorted({portion.gen for portion in choice.portions})
        reasons = reasons_text(unjudged(plan.store, plan.folder, choice.critic, gens))
        raise NotJudged(f"{choice.critic} could judge nothing:\n{reasons}\nSee to the cause, then rescore again", total)
    return {**total, "money": spent(plan) - before}


def judged_of(plan: Plan, choice: Choice) -> dict[str, int]:
    """The counts of the chosen groups from the store, after the judging ended early."""
    left: dict[tuple[str, str], Portion] = {}
    for gen in {portion.gen for portion in choice.portions}:
        left |= {(gen, one.shard): one for one in lacking_in(plan.store, gen, choice.critic)}
    waiting, hypotheses = [], 0
    for portion in choice.portions:
        hypotheses += int(portion.sizes.sum())
        if (lacking := left.get((portion.gen, portion.shard))) is not None:
            still = np.isin(portion.all_places, lacking.all_places)
            waiting += portion.sizes[still].tolist()
    pending = sum(waiting)
    return {"scored": hypotheses - pending, "abstained": 0, "pending": pending, "failed_groups": len(waiting)}


def capped(plan: Plan) -> Settings:
    """The settings with `[rescore] budget` as the limit of what this run may send, beyond what was spent before."""
    settings, budget = plan.settings, plan.settings.rescore.budget
    if budget is None or not settings.critic.asks_server:
        return settings
    limit = spent(plan) + budget
    own = settings.critic.vlm.get("budget")
    table_ = settings.critic.vlm | {"budget": limit if own is None else min(limit, own)}
    return settings.model_copy(update={"critic": settings.critic.model_copy(update={"vlm": table_})})


def spent(plan: Plan) -> float:
    """Money that remote critics took in this run's folder so far."""
    return sum(line.money for line in read_ledger(plan.folder))


def tell_drift(plan: Plan, choice: Choice, money: float) -> dict[str, float]:
    """Report what the critic's version changes; returns the rank correlation and the share of other first choices."""
    settings, how = plan.settings, plan.settings.rescore
    assert choice.against is not None
    report = compare_versions(plan.store, choice.critic, choice.against, how.worst)
    if report is None:
        log.info("no group was judged by both %s and %s: nothing to compare", choice.critic, choice.against)
        return {}
    folder = folder_of(plan.folder, choice.critic)
    pictures = draw_disagreements(
        choice.critic, report.worst, plan.store_root, plan.body_path, settings.overlay, folder / "pictures"
    )
    worst = tuple(replace(one, pictures=drawn) for one, drawn in zip(report.worst, pictures))
    controls = plant_controls(settings, how.controls) if how.controls else {}
    report = replace(report, worst=worst, controls=controls, retrained=retrain(plan, report) if how.retrain else {})
    page = write_report(folder, report)
    rows = drift_rows(report)
    leave_table("drift", rows, sentence(report))
    leave_page("drift report", f"{sentence(report)}\n\n{page_link(page)}", "what the new version changes")
    log.info("%s Report: %s", sentence(report), page)
    found = {"correlation": report.whole.correlation, "changed": report.whole.changed}
    told: Mapping[str, Any] = {"critic": choice.critic, "against": choice.against, "groups": choice.groups} | found
    tell_event("rescored", settings.run.name, **told, money=money)
    if report.whole.correlation < how.warn_below:
        log.warning("the versions agree less than [rescore] warn_below = %g", how.warn_below)
        tell_event("drift", settings.run.name, **told)
    return found


def retrain(plan: Plan, report: DriftReport) -> dict[str, Any]:
    """Train round 1 on the newest generation's verdicts of both versions, and compare the two models on `val`."""
    settings, gen = plan.settings, max(report.gens, key=plan.store.gens().index)
    number, split = plan.store.gens().index(gen), SPLITS[1]
    people, section = plan.people("val"), plan.training(1).model_copy(update={"unjudged": "skip"})
    look_at(people)
    found = {}
    for which, critic in (("older", report.against), ("newer", report.critic)):
        folder = folder_of(plan.folder, report.critic) / f"trained_{which}"
        trained = train_round(
            gen, critic, plan.store_root, plan.policy(number), plan.body_path, folder, section, settings.sample,
            people, settings.run.seed,
        )  # fmt: skip
        found[which] = benchmark_model(
            f"{which} verdicts", str(trained.checkpoint), plan.body_path, people, settings.benchmark, settings.sample,
            settings.critic, settings.overlay, folder / "benchmark.npz",
        )  # fmt: skip
    better = compare(found["older"], found["newer"], settings.benchmark.bootstrap)
    older, newer = (table(found[which]) for which in ("older", "newer"))
    rows = [
        {
            "estimate": name,
            "older": older[key]["mpjpe_mm"],
            "newer": newer[key]["mpjpe_mm"],
            "low": None,
            "high": None,
            **better[key]["mpjpe_mm"],
        }
        for key, name in estimate_names(settings.critic.name).items()
        if key in better
    ]
    leave_table("retrained", rows, f"MPJPE on {split} after training on {gen} with both versions' verdicts")
    return {"gen": gen, "split": split, "rows": rows}
