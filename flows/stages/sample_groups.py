"""People -> groups of hypotheses, into the store."""

from prefect import flow

from flows.record.progress import collected, stage
from flows.record.run_folder import alone_in_its_folder
from flows.record.run_labels import labelled
from flows.record.shard_runner import ShardRunner
from flows.stages.find_people import find_people
from tasks.run.artifacts import leave_counts
from tasks.run.plan import Plan
from tasks.run.settings import Settings
from tasks.sampling import sample_shard


@flow(name="sample-groups", task_runner=ShardRunner(), **labelled("sample"))
@alone_in_its_folder
def sample_groups(settings: Settings, round_number: int = 0, find: bool = True) -> int:
    """Sample a group for each person with the policy after `round_number` rounds (0 = the base); returns how many.

    find: first find people in new photographs; else only those in the store are sampled.
    """
    plan = Plan(settings)
    plan.check_sampling()
    plan.claim()
    if find:
        find_people(settings)
    gen, model_path = plan.gen(round_number), plan.policy(round_number)
    chosen = settings.sample.model_copy(update={"temperature": plan.temperature(round_number)})
    with stage(plan, f"sample {gen}") as progress:
        futures = [
            sample_shard.submit(shard, gen, plan.store_root, model_path, plan.body_path, chosen, settings.run.seed)
            for shard in plan.store.people_shards()
        ]
        progress.items = groups = sum(collected(futures, f"sample {gen}"))
    counts = {
        "groups": groups,
        "hypotheses": groups * settings.sample.hypotheses,
        "temperature": chosen.temperature,
        "model": model_path,
    }
    leave_counts(f"sample {gen}", counts, f"groups of {gen} in {plan.folder}")
    return groups
