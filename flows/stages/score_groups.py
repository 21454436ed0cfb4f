"""Groups -> verdicts: only groups without a verdict of this critic and version are judged."""

import logging
from typing import Any

from prefect import flow
from prefect.states import Completed

from flows.distill_judge import teach
from flows.record.progress import collected, stage
from flows.record.run_folder import alone_in_its_folder
from flows.record.run_labels import labelled
from flows.record.shard_runner import ShardRunner
from tasks.critics.monitoring import describe, drift, watch
from tasks.critics.pending import NotJudged, Unjudged, reasons_text, unjudged
from tasks.critics.remembering import older_memory
from tasks.run.artifacts import leave_counts, leave_table
from tasks.run.plan import Plan
from tasks.run.settings import Settings
from tasks.scoring import COUNTS, score_shard

log = logging.getLogger(__name__)

PARTLY = "Partly judged"
"""Name of the state of a flow whose critic could not judge every group: Completed, with a warning."""


@flow(name="score-groups", task_runner=ShardRunner(), **labelled("score", critic=True))
@alone_in_its_folder
def score_groups(settings: Settings, gens: list[str] | None = None, retry_abstained: bool = False) -> Any:
    """Have the groups of some generations judged, of all by default; as a nightly deployment it is called `rescore`.

    Returns how many hypotheses were scored, abstained on and are pending, and how many groups failed. If only some
    groups could not be judged it ends in the state "Partly judged", with a table of the reasons. Raises NotJudged if
    nothing could be judged, SettingsError if the run has no groups.
    """
    plan = Plan(settings)
    totals, faults = [], []
    wanted = plan.gens(gens)
    for gen in in_order(plan, wanted):
        try:
            totals.append(score(plan, gen, retry_abstained))
        except NotJudged as error:
            faults.append(error)
            totals.append(error.counts)
    if faults and not sum(total["scored"] for total in totals):
        raise faults[0]
    rows = tell_not_judged(plan, wanted)
    counts = {name: sum(total[name] for total in totals) for name in COUNTS}
    if counts["failed_groups"]:
        return Completed(name=PARTLY, message=reasons_text(rows), data=counts)
    return counts


def in_order(plan: Plan, gens: list[str]) -> list[str]:
    """The order in which generations are judged: with a cascade the newest policy first, which then has what is left of
    the teacher's budget.
    """
    return gens[::-1] if plan.settings.critic.name == "cascade" else gens


def score(plan: Plan, gen: str, retry_abstained: bool = False) -> dict[str, int]:
    """Have every group of a generation judged, by the monitor too; returns counts.

    Raises NotJudged if there are groups and no hypothesis could be scored.
    """
    settings = plan.settings
    if settings.critic.monitor is not None:
        own, monitor = (plan.judged_by(name) for name in (settings.critic.name, settings.critic.monitor))
        counts = score(own, gen, retry_abstained)
        try:
            score(monitor, gen, retry_abstained)
        except NotJudged as error:  # the monitor only watches
            log.warning("monitor: %s", error)
        watched = watch(plan.store, gen, own.critic_of(gen), monitor.critic_of(gen), plan.folder)
        leave_table("monitor", watched, f"what {monitor.critic_of(gen)} says of what {own.critic_of(gen)} rewards")
        log.log(logging.INFO if drift(watched) is None else logging.WARNING, "%s", describe(watched))
        return counts
    if settings.critic.name == "cascade":
        teach(plan, gen)
    name = plan.critic_of(gen)
    if settings.critic.asks_server and plan.memory and (older := older_memory(plan.folder, plan.memory)):
        log.warning("%s", older)
    with stage(plan, f"score {gen}") as progress:
        futures = [
            score_shard.submit(
                shard, gen, settings.run.name, plan.store_root, plan.body_path, settings.critic, settings.overlay,
                settings.run.seed, plan.truth, retry_abstained, settings.run.processes_of_shard,
            )
            for shard in plan.store.group_shards(gen)
        ]  # fmt: skip
        counts = collected(futures, f"score {gen}")
        total = {name: sum(c[name] for c in counts) for name in COUNTS}
        progress.items = total["scored"] + total["abstained"]
    about = f"hypotheses of {gen} that {name} judged, and groups that it could not judge"
    leave_counts(f"verdicts {gen} {name}", total, about)
    if total["failed_groups"] and not total["scored"]:
        rows = unjudged(plan.store, plan.folder, name, [gen])
        raise NotJudged(
            f"{name} could judge nothing:\n{reasons_text(rows)}\nSee to the cause, then run critique again",
            total,
        )
    return total


def tell_not_judged(plan: Plan, gens: list[str]) -> list[Unjudged]:
    """Why hypotheses of some generations have no score; reported in the log and as a table on the dashboard."""
    name = plan.settings.critic.name
    rows = [row for gen in gens for row in unjudged(plan.store, plan.folder, plan.critic_of(gen), [gen])]
    if rows:
        log.warning("%s did not judge all:\n%s", name, reasons_text(rows))
        table = [{**row._asdict(), "next": row.next} for row in rows]
        leave_table("not judged", table, f"hypotheses that {name} did not score")
    return rows
