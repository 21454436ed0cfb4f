from storage.group_store import GroupStore
from tasks.benchmarks.scale_benchmark import GEN, OLDER, SHARD_SIZE, make_store, measure_scale


def test_the_made_up_store_is_whole_and_judged_once(tmp_path):
    make_store(tmp_path, 2)
    store = GroupStore(tmp_path)
    assert store.verify() == [] and store.lacking(GEN, OLDER) == []
    assert len({key for shard in store.group_shards(GEN) for key in store.hypotheses_of(GEN, shard)}) == 2 * SHARD_SIZE


def test_it_is_measured(tmp_path):
    rows = {row["metric"]: row for row in measure_scale(images=1000, share=1.0, folder=tmp_path)}
    assert list(rows) == [
        *["scale.open_s", "scale.list_done_s", "scale.plan_s", "scale.plan_100_groups_s", "scale.plan_uncertain_s"],
        *["scale.plan_by_name_s", "scale.store_100_verdicts_s"],
        "scale.made_up_gb",
    ]
    assert rows["scale.made_up_gb"]["value"] > 0 and not list(tmp_path.iterdir())
