"""The seconds of a start: every command is run once to warm up and then once a round, and medians are reported."""

import flows.cli.measuring.startup_benchmark as startup
from flows.cli.measuring.startup_benchmark import PARTS, measure_startup


def test_the_first_round_only_warms_up_and_medians_count(monkeypatch):
    calls: list[list[str]] = []

    def seconds(command: list[str]) -> float:
        calls.append(command)
        return 100.0 if len(calls) <= 10 else 8.0 if "--record" in command else 2.0

    monkeypatch.setattr(startup, "_seconds", seconds)
    rows = {row["metric"]: row for row in measure_startup(rounds=3)}
    assert len(calls) == 4 * 10 and {f"startup.{name}" for name in PARTS} < set(rows)
    assert rows["startup.sample"]["value"] == 2.0 and rows["startup.sample"]["ratio"] == 4.0
    assert [row["ratio"] for name, row in rows.items() if name != "startup.sample"] == [None] * 9


def test_a_command_that_fails_is_no_measurement():
    try:
        startup._seconds(["false"])
    except RuntimeError as error:
        assert "ended with 1" in str(error)
    else:
        raise AssertionError("a failed command was timed")
