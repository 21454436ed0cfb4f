import pytest

from hmr.alignment.train_benchmark import measure_reference, measure_step


def test_each_rate_is_told_with_its_baseline():
    rows = measure_reference(rounds=1, groups=2)
    assert rows[0]["metric"] == "train.skip_reference"
    for row in rows:
        assert row["value"] > 0 and 1 < row["ratio"] < 3 and "reference" in row["baseline"]


def test_a_step_is_the_sum_of_its_parts():
    rows = {row["metric"].removeprefix("train."): row["value"] for row in measure_step(rounds=1, groups=2)}
    assert rows["share_reference"] + rows["share_policy"] + rows["share_rest"] == pytest.approx(100)
    assert rows["step_ms"] > 0 and 0 < rows["matrix_share"] < 100
