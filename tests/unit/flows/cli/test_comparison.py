"""Measurements held against older ones: only ratios count, and a fall beyond the tolerance is reported."""

import json

import pytest
from typer.testing import CliRunner

from flows.cli.bench import bench
from flows.cli.comparison import ComparisonError, compared


def written(path, **ratios):
    rows = [{"metric": name, "value": 2.0, "unit": "s", "baseline": "b", "ratio": r} for name, r in ratios.items()]
    path.write_text(json.dumps({"device": "d", "commit": "c", "results": rows}))
    return path


def test_a_ratio_that_fell_counts_and_one_that_rose_does_not(tmp_path):
    old = written(tmp_path / "old.json", falls=10.0, wobbles=10.0, rises=1.0, alone=None, gone=3.0)
    new = written(tmp_path / "new.json", falls=7.9, wobbles=8.1, rises=2.0, alone=None, new=1.0)
    rows = {row.metric: row for row in compared(old, new)}
    assert [name for name, row in rows.items() if row.worse] == ["falls"]
    assert rows["rises"].change == 1.0 and rows["alone"].change is None
    assert rows["gone"].after == rows["new"].before == "not measured"
    assert rows["falls"].before == "2 s, 10x" and list(rows)[:3] == ["falls", "wobbles", "rises"]
    called = CliRunner().invoke(bench, ["compare", str(old), str(new)])
    assert called.exit_code == 3 and called.output.count("worse") == 1
    assert CliRunner().invoke(bench, ["compare", str(old), str(new), "--tolerance", "0.5"]).exit_code == 0


@pytest.mark.parametrize("content", [None, "no json", "{}", '{"results": [{"metric": 1}]}', '{"results": 5}'])
def test_what_is_no_file_of_measurements_is_refused_with_its_name(tmp_path, content):
    path = tmp_path / "bad.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ComparisonError, match=r"bad\.json.*bench \.\.\. --json"):
        compared(path, written(tmp_path / "new.json", a=1.0))
