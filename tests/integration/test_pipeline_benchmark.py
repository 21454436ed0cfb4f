"""`bench pipeline` and `bench growth` on a few photographs: all runs, and the numbers hang together."""

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


def test_growth_is_told_for_every_count(programs, tmp_path):
    file = tmp_path / "growth.json"
    programs.run("bench", "growth", "--rounds", 1, "--most", 4, "--hypotheses", 6, "--json", file)
    rows = {row["metric"]: row["value"] for row in json.loads(file.read_text())["results"]}
    assert {"growth.photographs_2", "growth.photographs_4", "growth.hypotheses_3", "growth.hypotheses_6"} <= rows.keys()
    assert rows["growth.critic_evidence_ms"] > 0 and rows["growth.critic_scorer_ms"] > 0
