from tasks.benchmarks.train_benchmark import measure_streaming


def test_a_store_is_made_streamed_and_measured():
    rows = {row["metric"]: row for row in measure_streaming(shards=4, groups=3, window=1, steps=3)}
    assert 0 < rows["train.loading_percent"]["value"] < 100
    assert rows["train.memory_growth_percent"]["unit"] == "% over a store of 4 times what is held"
