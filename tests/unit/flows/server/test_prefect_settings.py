"""A setting that Prefect cannot read is told by its variable, never by its value."""

import subprocess
import sys
from pathlib import Path

import pytest

from flows.server.prefect_settings import _dotenv, sentence

ROOT = Path(__file__).parents[4]


def test_the_variable_is_found_in_the_environment_or_in_dotenv(tmp_path):
    (tmp_path / ".env").write_text("A=1\nexport PREFECT_API_REQUEST_TIMEOUT=soon\n# PREFECT_HOME=x\n")
    dotenv = _dotenv(tmp_path / ".env")
    assert dotenv == {"PREFECT_API_REQUEST_TIMEOUT": "soon"}
    line = sentence([("request_timeout", "no number")], {"PREFECT_LOGGING_LEVEL": "x"}, dotenv)
    assert line.endswith("PREFECT_API_REQUEST_TIMEOUT in .env: no number. Correct or remove it")
    line = sentence([("prefect_logging_level", "no level")], {"PREFECT_LOGGING_LEVEL": "x"}, {})
    assert "PREFECT_LOGGING_LEVEL: no level" in line
    assert "prefect.toml" in sentence([("port", "no number")], {}, {})


@pytest.mark.slow
@pytest.mark.parametrize("setting", ["FLOWS_DEFAULT_RETRIES", "CLIENT_CUSTOM_HEADERS", "LOGGING_LEVEL"])
def test_a_command_says_so_in_one_line(setting, tmp_path, home, monkeypatch):
    monkeypatch.setenv(variable := f"PREFECT_{setting}", "secret")
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")  # none is started: the settings come first
    done = subprocess.run(
        [sys.executable, "-m", "flows.cli.command_line", "sample"],
        cwd=tmp_path, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr
    assert variable in done.stderr and "secret" not in done.stderr
