from hmr.alignment.train_benchmark import measure_reference


def test_each_rate_is_told_with_its_baseline():
    rows = measure_reference(rounds=1, groups=2)
    assert rows[0]["metric"] == "train.skip_reference"
    for row in rows:
        assert row["value"] > 0 and row["ratio"] > 0 and "reference" in row["baseline"]
