"""Stage 2: from people to groups of hypotheses, by one model."""

from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from storage.group_store import GroupStore
from tasks.groups.sampled_groups import body, draw_groups, groups_from, model, observe, sampler_settings
from tasks.run.retrying import may_pass
from tasks.run.settings import Sample

__all__ = ["body", "draw_groups", "groups_from", "model", "observe", "sample_groups", "sampler_settings"]


@task(retries=1, retry_condition_fn=may_pass, cache_policy=NO_CACHE, task_run_name="sample {gen} {shard}")
def sample_groups(
    shard: str,
    gen: str,
    store_root: Path,
    model_path: str,
    body_path: Path | None,
    sample: Sample,
    seed: int = 0,
) -> int:
    """Draw a group for each person of a shard and commit them; returns how many."""
    store = GroupStore(store_root)
    if shard in store.group_shards(gen):
        return len(store.read_groups(gen, shard))
    people = store.read_people(shard)
    groups = draw_groups(people, model(model_path), body(body_path), sample, seed=seed, draw=gen)
    store.write_groups(gen, shard, groups)
    return len(groups)
