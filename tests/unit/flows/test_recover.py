"""What of recover needs no model: what is told, what is done already, what is imported."""

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import flows.recover
from flows.cli.command_line import app
from flows.recover import RecoverError, recover
from hmr.detection.photograph import PhotographError
from tasks.run.settings import Recover, Settings, SettingsError


def settings(folder: Path, **given) -> Settings:
    return Settings(recover=Recover(out=folder / "results", name="mine", processes=1, **given))


def test_nothing_at_all_is_an_error_with_the_reason(tmp_path, capsys):
    with pytest.raises(RecoverError, match=r"^nothing was recovered: no photograph was found$"):
        recover([str(tmp_path / "*.jpg"), str(tmp_path / "gone")], settings(tmp_path))
    details = capsys.readouterr().err
    assert "*.jpg: matches no file" in details and "gone: there is no such file" in details
    assert not (tmp_path / "results").exists()


def test_one_bad_photograph_does_not_stop_the_others(tmp_path, monkeypatch, capsys):
    import tasks.recovery.job
    import tasks.recovery.page

    seen = []

    def work(job):
        seen.append(job.photograph.name)
        if job.photograph.name == "bad.jpg":
            raise PhotographError(f"{job.photograph}: damaged")
        return {"people": [1, 2], "notes": []}

    monkeypatch.setattr(tasks.recovery.job, "recover_photograph", work)
    monkeypatch.setattr(tasks.recovery.page, "write_results", lambda *_: None)
    for name in ("bad.jpg", "good.jpg"):
        (tmp_path / name).write_bytes(name.encode())
    tally = recover([str(tmp_path)], settings(tmp_path))
    assert seen == ["bad.jpg", "good.jpg"] and (tally.done, tally.people) == (1, 2)
    assert tally.faults == [("bad.jpg", "damaged")] and "bad.jpg: damaged" in capsys.readouterr().err
    with pytest.raises(RecoverError, match="nothing was recovered: damaged"):
        recover([str(tmp_path / "bad.jpg")], settings(tmp_path))


def test_processes_fit_the_photographs():
    fitting = flows.recover._fitting
    assert fitting(1) == fitting(2) == 1 and 1 <= fitting(1000) <= flows.recover.MOST_PROCESSES


def test_a_format_that_is_unknown_is_refused():
    refused = CliRunner().invoke(app, ["recover", "a.jpg", "--format", "npz,fbx"]).exception
    assert isinstance(refused, SettingsError) and "[recover] formats" in str(refused)


@pytest.mark.parametrize(
    ("modules", "without"),
    [
        ("flows.recover, tasks.recovery.job", ("prefect", "roma", "torch._dynamo", "pandas")),
        ("flows.recover, tasks.recovery.page", ("prefect", "torch", "pandas")),
        ("tasks.scoring", ("openai", "scipy.stats")),
    ],
)
def test_nothing_heavy_is_imported_in_vain(modules, without):
    source = f"import sys, {modules}; print([name for name in {without!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.strip() == "[]"
