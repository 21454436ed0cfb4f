"""`bench pipeline` on a few photographs: every way runs, and the numbers hang together."""

import json

import pytest

pytestmark = pytest.mark.long


def test_all_ways_are_measured(programs, tmp_path):
    file = tmp_path / "pipeline.json"
    programs.run("bench", "pipeline", "--photographs", 4, "--rounds", 1, "--json", file)
    rows = {row["metric"]: row for row in json.loads(file.read_text())["results"]}
    assert rows["pipeline.photos_per_second"]["value"] > 0 and rows["pipeline.memory_mb"]["value"] > 100
    shares = [row["value"] for name, row in rows.items() if name.startswith("pipeline.share_")]
    assert len(shares) == 3 and sum(shares) == pytest.approx(100)
    assert rows["pipeline.scaling"]["ratio"] == rows["pipeline.scaling"]["value"]
