"""All benchmarks in one: the parts are commands with flags of theirs; what fails is told, and the rest is measured."""

from typer.main import get_command

from flows.cli.bench import bench
from flows.cli.measuring.all_benchmarks import PARTS, measure_all


def test_parts_are_all_benchmarks_and_their_flags_are_known():
    commands = get_command(bench).commands  # type: ignore[attr-defined]  # a group of commands
    assert PARTS.keys() == commands.keys() - {"all", "compare"}
    for name, cuts in PARTS.items():
        commands[name].make_context(name, [*cuts])


def test_a_part_that_fails_keeps_none_of_the_others():
    told: list[str] = []
    found = measure_all(told.append, {"scale": ("--imags", "1"), "bodies": ("--rounds", "1", "--hypotheses", "2")})
    assert list(found.failed) == ["scale"] and "--imags" in found.failed["scale"]
    assert [line.split(":")[0] for line in told] == ["bench scale", "bench bodies"]
    metrics = {row["metric"]: row["value"] for row in found.rows}
    assert any(name.startswith("bodies.") for name in metrics)
    assert metrics["all.parts_seconds"] == metrics["all.bodies_seconds"] > 0
