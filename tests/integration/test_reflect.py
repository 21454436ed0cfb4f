"""Reflection as a user runs it, with a server that overlooks feet; then the memory is read, written and brought in."""

import json

import pytest

from critique.endpoint.loopback import JudgingStyle, LoopbackVlm, agreement
from critique.endpoint.loopback_auditor import Auditing, overlooking_feet
from tests.integration.programs import Programs

pytestmark = pytest.mark.slow


def test_reflect_then_show_export_and_import(programs, tmp_path):
    with LoopbackVlm(Auditing(JudgingStyle(look=overlooking_feet(agreement)))) as server:
        settings = tmp_path / "mine.toml"
        settings.write_text(
            f"""
            run = {{ name = "reflection", out = "{tmp_path}" }}
            sample = {{ hypotheses = 5 }}
            overlay = {{ size = 96 }}
            critic = {{ vlm = {{ model = "loopback", base_url = "{server.base_url}" }} }}
            reflect = {{ split = "easy_val", explore = 5, gate = 6, check = 3, resamples = 100, tau = 1.0 }}
            """
        )
        mine = Programs(programs.environment | {"OPENAI_API_KEY": "a-word-of-our-own"}, programs.tiny)
        numbers = tmp_path / "numbers.json"
        details = mine.run("reflect", "--settings", settings, "--json", numbers, watched=True)
        assert "OUTSIDE" not in details.stderr and "WILD LABELS READ" not in details.stderr
        assert f"Pictures go to {server.base_url}" in " ".join(details.stdout.split())
    memory = tmp_path / "memory"
    found = {row["metric"]: row["value"] for row in json.loads(numbers.read_text())["results"]}
    assert -1 <= found["reflection.explore_srcc"] <= 1 and found["reflection.check_groups"] == 3
    session = json.loads((tmp_path / "reflection" / "reflection" / "session-1.json").read_text())
    assert session["version"] == "1"
    assert "a-word-of-our-own" not in details.stdout + details.stderr + json.dumps(session)
    shown = mine.run("memory", "show", memory, "--ledger").stdout
    assert "prototypes, placed by pose@1" in shown
    mine.run("memory", "export", memory, tmp_path / "written")
    brought = mine.run("memory", "import", tmp_path / "written" / "memory.toml", tmp_path / "other").stdout
    assert "version 1" in brought and "prototypes came in" in brought
