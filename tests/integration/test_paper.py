"""The paper's run as `deploy/settings` has it: the commands of the files' head comments, as written, on fixtures.

No Prefect server: neither `--plan` nor `--dry-run` needs one.
"""

import os
import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from critique.endpoint.loopback import LoopbackVlm, good
from flows.cli.command_line import app
from tests.paper_files import paper_files

pytestmark = pytest.mark.slow
SETTINGS = Path(__file__).parents[2] / "deploy" / "settings"
Told = Callable[..., str]


def commands(name: str) -> list[list[str]]:
    """What the head comment says to run, up to where money is spent."""
    head = (SETTINGS / name).read_text().split("\n\n", 1)[0]
    found = [shlex.split(line) for line in re.findall(r"(?m)^#     hmr-align (.*)$", head)]
    return [words for words in found if words[0] != "reflect" and words != ["align", "--settings", name]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A folder with the files of both runs."""
    pytest.importorskip("cdflib")
    root = tmp_path_factory.mktemp("paper")
    paper_files(root)
    for name in ("paper-3dpw.toml", "paper-h36m.toml"):
        shutil.copy(SETTINGS / name, root / name)
    return root


@pytest.fixture
def told(folder, monkeypatch) -> Told:
    """Runs a command in that folder; returns what it printed."""
    monkeypatch.chdir(folder)
    for name, value in {"RUNS": "runs", "CACHE": "cache", "HOME": "home"}.items():
        monkeypatch.setenv(f"HMR_ALIGN_{name}", str(folder / value))
    monkeypatch.setenv("COLUMNS", "200")

    def run(words: list[str], code: int = 0) -> str:
        done = CliRunner().invoke(app, words)
        assert done.exit_code == code, f"{words}: {done.output}\n{done.exception!r}"
        return done.output

    return run


@pytest.mark.long  # some three minutes, and 3 GB of memory
@pytest.mark.timeout(900)
def test_the_run_on_3dpw_is_planned_and_rehearsed(folder, told, monkeypatch):
    *imports, plan, rehearsal = commands("paper-3dpw.toml")
    assert [words[0] for words in imports] == ["convert", *["data"] * 4]
    for words in imports:
        told(words)
    with LoopbackVlm([good()]) as real:  # stands for the server that costs money
        monkeypatch.setenv("OPENAI_BASE_URL", real.base_url)
        monkeypatch.delenv("OPENAI_API_KEY", raising=False)
        found = told(plan)
        assert not (folder / "runs").exists()
        assert "26 of 3dpw-train; 26 of instavariety; 1 of val, 3 of test" in found
        assert "52 groups of 20 by vlm, 1,092 pictures" in found and "M = 100; evidence chooses" in found
        found = told(rehearsal)
        assert not real.calls and not real.others
        assert os.environ["OPENAI_BASE_URL"] == real.base_url
    assert [path.name for path in (folder / "runs").glob("paper-*")] == ["paper-3dpw-dry-run"]
    assert (folder / "runs" / "paper-3dpw-dry-run" / "report.html").exists()
    for stage in (
        "find people",
        "benchmark before",
        "sample round0",
        "score round0",
        "train round 1",
        "benchmark after",
    ):
        assert stage in found
    assert re.search(r"[1-9][0-9]* requests went to a stand-in", found)
    assert "The real run will need  OPENAI_API_KEY" in found


def test_the_run_on_human36m_is_planned(folder, told):
    *imports, plan, _ = commands("paper-h36m.toml")
    assert [words[0] for words in imports] == ["convert", *["data"] * 7]
    for words in imports:
        if not (folder / words[-1]).exists():  # the other run has the same network and InstaVariety
            told(words)
    assert "4 of h36m-train; 4 of instavariety; 1 of val, 1 of test" in told(plan)
