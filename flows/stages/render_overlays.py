"""Groups -> pictures of each hypothesis over its photograph, stored for all critics that look at them."""

import logging

from prefect import flow

from critique.critic import Sight
from flows.record.progress import collected, stage
from flows.record.run_folder import alone_in_its_folder
from flows.record.run_labels import labelled
from flows.record.shard_runner import ShardRunner
from tasks.rendering import render_shard
from tasks.run.artifacts import leave_counts
from tasks.run.plan import Plan
from tasks.run.settings import Settings

log = logging.getLogger(__name__)


@flow(name="render-overlays", task_runner=ShardRunner(), **labelled("render", critic=True))
@alone_in_its_folder
def render_overlays(settings: Settings, gens: list[str] | None = None) -> int:
    """Draw the groups of some generations (of all by default) that the run's critics look at and have not judged.

    Returns how many groups have pictures now: 0 for a critic that looks at no pictures.
    """
    plan = Plan(settings)
    wanted = {gen: critics_with_eyes(plan) for gen in plan.gens(gens, "draw")}
    drawn = 0
    for gen, critics in wanted.items():
        for sight, names in alike(critics).items():
            with stage(plan, f"render {gen}") as progress:
                futures = [
                    render_shard.submit(
                        shard, gen, plan.store_root, plan.body_path, settings.overlay, sight, names,
                        settings.run.processes_of_shard,
                    )
                    for shard in plan.store.group_shards(gen)
                ]  # fmt: skip
                progress.items = sum(collected(futures, f"render {gen}"))
            drawn += progress.items
    if not any(wanted.values()):
        log.info("%s looks at no pictures: none are drawn", plan.critic_name)
    leave_counts("overlays", {"groups": drawn, "folder": plan.store_root / "pictures"}, f"pictures of {plan.folder}")
    return drawn


def alike(critics: dict[str, Sight]) -> dict[Sight, list[str]]:
    """Which critics see the same: their pictures are drawn together."""
    return {sight: [name for name, own in critics.items() if own == sight] for sight in critics.values()}


def critics_with_eyes(plan: Plan) -> dict[str, Sight]:
    """Critic and monitor of the run if they look at pictures: name of their verdicts -> what their pictures show."""
    names = [name for name in (plan.settings.critic.name, plan.settings.critic.monitor) if name is not None]
    plans = [plan.judged_by(name) for name in names]
    return {one.critic_name: sight for one in plans if (sight := one.sight) is not None}
