"""Stage 2: from people to groups of hypotheses, by one model."""

from pathlib import Path

from storage.group_store import GroupStore
from tasks.groups.sampled_groups import body, groups_from, model, observe, sample_hypotheses, sampler_settings
from tasks.run.settings import Sample
from tasks.run.shard_task import task

__all__ = ["body", "groups_from", "model", "observe", "sample_hypotheses", "sample_shard", "sampler_settings"]


@task(task_run_name="sample {gen} {shard}")
def sample_shard(
    shard: str,
    gen: str,
    store_root: Path,
    model_path: str,
    body_path: Path | None,
    sample: Sample,
    seed: int = 0,
) -> int:
    """Draw a group for each person of a shard and commit them; returns the number of groups."""
    store = GroupStore(store_root)
    if shard in store.group_shards(gen):
        return len(store.read_groups(gen, shard))
    people = store.read_people(shard)
    groups = sample_hypotheses(people, model(model_path), body(body_path), sample, seed=seed, draw=gen)
    store.write_groups(gen, shard, groups)
    return len(groups)
