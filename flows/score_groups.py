"""Groups -> verdicts: judges only what lacks a verdict of the named critic and version."""

from prefect import flow

from flows.progress import say, stage, tracked
from tasks.judging import judge_groups
from tasks.monitoring import told, watch
from tasks.plan import Plan
from tasks.remembering import older_memory
from tasks.settings import Settings


def score(plan: Plan, gen: str) -> dict[str, int]:
    """Have every group of a generation judged, by the monitor too; returns the hypotheses scored and abstained on."""
    settings = plan.settings
    if settings.critic.monitor is not None:
        own, monitor = (plan.judged_by(name) for name in (settings.critic.name, settings.critic.monitor))
        counts = score(own, gen)
        score(monitor, gen)
        say(told(watch(plan.store, gen, own.critic_name, monitor.critic_name, plan.folder)))
        return counts
    if settings.critic.asks_server and plan.memory and (older := older_memory(plan.folder, plan.memory)):
        say(older)
    with stage(plan, f"judge {gen}") as progress:
        counts = [
            judge_groups(
                shard, gen, settings.run.name, plan.store_root, plan.body_path, settings.critic, settings.overlay,
                settings.run.seed, plan.truth,
            )
            for shard in tracked(plan.store.group_shards(gen), f"judge {gen}")
        ]  # fmt: skip
        total = {name: sum(c[name] for c in counts) for name in ("scored", "abstained")}
        progress.items = sum(total.values())
    return total


@flow(name="score-groups", flow_run_name="{settings.run.name}")
def score_groups(settings: Settings, gens: list[str] | None = None) -> dict[str, int]:
    """Judge the groups of some generations, of all by default; run nightly it is `rescore`."""
    plan = Plan(settings)
    totals = [score(plan, gen) for gen in (plan.store.gens() if gens is None else gens)]
    return {name: sum(t[name] for t in totals) for name in ("scored", "abstained")}
