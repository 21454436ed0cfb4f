"""`critique` as a user runs it, with servers that fail: exit codes, tables, states, and what the next call asks."""

import json

import pytest

from critique.endpoint.loopback import LoopbackVlm, error, good
from tests.factories import store_in_one_photograph
from tests.integration.programs import Programs

pytestmark = pytest.mark.slow


def test_a_server_that_dies_and_comes_back(programs, tmp_path):
    store = store_in_one_photograph(tmp_path / "mine", 3)
    mine = Programs(programs.environment | {"OPENAI_API_KEY": "a-word-of-our-own"}, programs.tiny)
    state = {"well": 0}

    def script(number, body):
        state["well"] -= 1
        return (good([9, 8, 7, 6]) if state["well"] >= 0 else error(503, "model is being loaded"))(body)

    with LoopbackVlm(script) as server:
        own = f'model = "loopback", base_url = "{server.base_url}", retries = 0, second_chances = 0, max_in_flight = 1'
        settings = tmp_path / "mine.toml"
        settings.write_text(
            f"""
            run = {{ name = "mine", out = "{tmp_path}" }}
            overlay = {{ size = 64 }}
            critic = {{ name = "vlm", vlm = {{ {own} }} }}
            """
        )
        dead = mine.run("critique", "--settings", settings, code=2)
        assert "could judge nothing" in dead.stderr and "12 hypotheses of 3 groups: server_error" in dead.stderr
        assert "model is being loaded" in dead.stderr and "Traceback" not in dead.stderr
        state["well"] = 1
        half = mine.run("critique", "--settings", settings, "--json", tmp_path / "half.json", code=3)
        assert "8 hypotheses of 2 groups: server_error" in half.stdout
        details = {row["metric"]: row["value"] for row in json.loads((tmp_path / "half.json").read_text())["results"]}
        assert (details["critique.scored"], details["critique.pending"], details["critique.failed_groups"]) == (4, 8, 2)
        state["well"], before = 9, len(server.calls)
        whole = mine.run("critique", "--settings", settings)
        assert "on a scale of 0-10" in " ".join((whole.stdout + whole.stderr).split())
        assert len(server.calls) == before + 2
        (name,) = store.critics("round0")
        details = mine.run("critique", "--settings", settings, "--explain", f"vlm@{name.partition('@')[2]}").stdout
        assert "model: loopback" in details and "12 ok" in details and "a-word-of-our-own" not in details
        lost = mine.run("critique", "--settings", settings, "--name", "nobody", code=2)
        assert "there is no run with groups to judge" in lost.stderr
