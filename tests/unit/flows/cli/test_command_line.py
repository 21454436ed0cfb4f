"""The console script as a user calls it: help, examples, errors."""

import ast
import json
import re
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest
import typer.main
from typer.testing import CliRunner

import flows.cli.command_line
import flows.stages.score_groups
from flows.cli.command_line import app
from flows.cli.flags import settings_of_run
from tasks.run.settings import Run, Settings, SettingsError
from tasks.scoring import CRITICS

COMMANDS = [
    *("align", "recover", "pretrain", "sample", "render", "critique", "train", "benchmark", "report"),
    *("convert", "dashboard", "deploy", "doctor", "bench render", "bench sampler", "bench train"),
    *("experiment alignment", "experiment sampler", "experiment rounds", "experiment refine", "critic-benchmark"),
    *("experiment people", "experiment photographs", "experiment detector", "experiment coverage", "experiment table2"),
    *("loopback-vlm", "bench critic", "bench metrics", "bench bodies", "bench people", "bench store"),
    *("bench startup", "bench pipeline", "bench all", "bench compare"),
    *("reflect", "memory show", "memory export", "memory import"),
    *("data formats", "data import", "data predictions", "data meshes", "data audit", "protocols"),
    *("store ls", "store verify", "store repair", "store compact", "store vacuum", "store export"),
    *("annotate", "bench import", "bench view", "data errors", "data ranking", "distill", "experiment distill"),
    *("rescore", "view", "worker", "bench scale", "bench growth", "bench endurance"),
]
TAKE_NO_SETTINGS = {
    *("convert", "dashboard", "loopback-vlm", "bench render", "bench sampler", "bench train", "bench critic"),
    *("memory show", "memory export", "memory import", "bench store", "bench startup", "bench pipeline"),
    *("data formats", "data import", "data predictions", "bench metrics", "bench bodies", "bench people"),
    *("bench all", "bench compare", "data meshes", "data audit", "protocols", "bench import", "bench view"),
    *("data errors", "data ranking", "view", "worker", "bench scale", "bench growth", "bench endurance"),
    *("store ls", "store verify", "store repair", "store compact", "store vacuum"),
}


def leaves(command, name=""):
    """Every command without sub-commands, by its full name."""
    children = getattr(command, "commands", None)
    if not children:
        return {name.strip()}
    return {leaf for child, inner in children.items() for leaf in leaves(inner, f"{name} {child}")}


def test_every_promised_command_is_there():
    assert leaves(typer.main.get_command(app)) == set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_an_example_with_options_that_exist(command):
    result = CliRunner().invoke(app, [*command.split(), "--help"])
    assert result.exit_code == 0, result.output
    found = re.search(r"Example: hmr-align ((?:.|\n)*?)\n\s*\n", result.output)
    assert found, result.output
    words = found[1].split()
    assert words[: len(command.split())] == command.split()
    for option in (word for word in words if word.startswith("--")):
        assert re.search(rf"^\s+{option}\b", result.output, re.MULTILINE), f"{command} has no {option}"


@pytest.mark.parametrize("command", sorted(set(COMMANDS) - TAKE_NO_SETTINGS))
def test_every_command_that_runs_something_takes_settings(command):
    assert "--settings" in CliRunner().invoke(app, [*command.split(), "--help"]).output


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-c", "from flows.cli.command_line import main; main()", *arguments]
    return subprocess.run(program, cwd=cwd, capture_output=True, text=True, timeout=120)


def test_a_fault_of_the_user_is_one_line_and_exit_code_2(tmp_path):
    (tmp_path / "smoke.toml").write_text("[train]\nstepz = 3\n")
    done = run("align", "--settings", "smoke.toml", cwd=tmp_path)
    line = "hmr-align: smoke.toml: [train] has no key 'stepz'. Did you mean 'steps'?\n"
    assert (done.returncode, done.stderr) == (2, line)


def test_a_wrong_flag_is_named(tmp_path):
    done = run("align", "--rounds", "-1", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr == ("hmr-align: command line: [align] rounds = -1: should be greater than or equal to 0.\n")


@pytest.mark.parametrize(
    ("arguments", "details"),
    [
        ("train --json a.json", "--json has no effect without --probe-headroom: leave it out"),
        ("train --probe-headroom --steps 3 --round 1 --critic scorer", "--steps, --critic, --round have no effect"),
        ("train --probe-headroom --learning-rate 0 --preset stable", "--preset, --learning-rate have no effect"),
        ("critique --plan --controls 5", "--controls has no effect beside --plan: leave it out"),
        ("critique --plan --retry-abstained", "--retry-abstained has no effect beside --plan: leave it out"),
        ("critique --explain vlm@1 --critic vlm", "--critic has no effect beside --explain: leave it out"),
        ("critique --plan --json a.json", "--json has no effect beside --plan: leave it out"),
    ],
)
def test_a_flag_that_would_not_be_read_is_refused(arguments, details):
    refused = CliRunner().invoke(app, arguments.split()).exception
    assert isinstance(refused, SettingsError) and str(refused).startswith(details)


@pytest.mark.parametrize(("failed", "code"), [(0, 0), (1, 3)])
def test_critique_tells_what_it_judged(tmp_path, monkeypatch, failed, code):
    counts = {"scored": 40, "abstained": 2, "pending": 4 * failed, "failed_groups": failed}
    monkeypatch.setattr(flows.cli.command_line, "recorded", nullcontext)
    monkeypatch.setattr(flows.stages.score_groups, "score_groups", lambda settings, retry_abstained: counts)
    file = tmp_path / "counts.json"
    details = CliRunner().invoke(app, ["critique", "--out", str(tmp_path), "--json", str(file)])
    assert details.exit_code == code, details.output
    rows = {row["metric"]: row["value"] for row in json.loads(file.read_text())["results"]}
    assert rows == {f"critique.{name}": count for name, count in counts.items()} and "critique.scored" in details.output


def test_help_names_every_critic():
    details = CliRunner().invoke(app, ["align", "--help"]).output
    assert [name for name in CRITICS if name not in details] == []


def test_a_run_of_an_older_version_may_lack_a_section(tmp_path):
    kept = Settings(run=Run(name="old", out=tmp_path)).model_dump(mode="json")
    del kept["instances"]
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "settings.json").write_text(json.dumps({"settings": kept}))
    run = {"out": tmp_path, "name": "old"}
    chosen = settings_of_run(None, run=run, instances={"stride": 5, "count": None})
    assert chosen.instances.stride == 5 and chosen.instances.hypotheses == 15


def test_convert_says_in_one_line_what_is_wrong_with_a_file(tmp_path):
    (tmp_path / "ckpt.pth").write_text("<html>quota exceeded</html>")
    done = run("convert", "ckpt.pth", "out.safetensors", cwd=tmp_path)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert done.stderr.startswith("hmr-align: ckpt.pth is not a checkpoint: torch.save did not write it")
    assert not (tmp_path / "out.safetensors").exists()


@pytest.mark.slow
def test_a_fault_inside_a_flow_is_one_line_too(tmp_path, home, monkeypatch):
    monkeypatch.delenv("PREFECT_LOGGING_LEVEL")  # tests silence prefect; users do not
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(b"no picture")
    (tmp_path / "ckpt.pth").write_text("<html>quota exceeded</html>")
    done = run("sample", "--images", "photos", "--checkpoint", "ckpt.pth", cwd=tmp_path)
    details = [line for line in done.stderr.splitlines() if not line.startswith(("Dashboard:", "INFO:"))]
    assert done.returncode == 2 and len(details) == 1, done.stderr
    assert details[0].startswith("hmr-align: ") and "ckpt.pth is not a checkpoint" in details[0]


def test_deploy_without_a_server_says_how_to_start_one(tmp_path, home):
    done = run("deploy", cwd=tmp_path)
    assert done.returncode == 2 and "hmr-align dashboard" in done.stderr


def test_doctor_prints_json_and_no_secret(tmp_path, home, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")
    monkeypatch.setenv("OPENAI_BASE_URL", "https://user:secret@vlm.example/v1?token=secret")
    done = run("doctor", "--json", cwd=tmp_path)
    details = json.loads(done.stdout)
    assert done.returncode == (0 if details["ok"] else 1)
    assert "secret" not in done.stdout + done.stderr
    (vlm,) = [finding for finding in details["findings"] if finding["name"] == "VLM critic"]
    assert vlm["found"].startswith("no picture can be sent: OPENAI_BASE_URL is not a plain http or https address")


LIGHT = {
    "errno",
    "json",
    "socket",
    "webbrowser",
    "atexit",
    "logging",
    "threading",
    "math",
    "os",
    "re",
    "signal",
    "sys",
    "collections",
    "contextlib",
    "pathlib",
    "typing",
    "typer",
}
FLOWS = Path(flows.__file__).parent


def imported(module: str) -> set[str]:
    """What stands at the top of a module of `flows`, but for what is only there for types."""
    return {
        (node.module or "") if isinstance(node, ast.ImportFrom) else node.names[0].name
        for node in ast.parse((FLOWS / f"{module.replace('.', '/')}.py").read_text()).body
        if isinstance(node, ast.Import | ast.ImportFrom)
    }


def test_help_loads_nothing_heavy():
    """At the top of a module only what `--help` needs may be imported, and so for each of ours that it imports."""
    modules, seen = {"cli.command_line"}, set()
    while modules:
        seen.add(module := modules.pop())
        names = imported(module)
        ours = {name.removeprefix("flows.") for name in names if name.startswith("flows.")}
        assert {name.split(".")[0] for name in names} - {"flows"} <= LIGHT, module
        modules |= ours - seen
    assert {"cli.command_line", "cli.bench", "cli.experiment", "cli.memory", "record.recording"} <= seen
