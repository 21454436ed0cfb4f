"""A fault at file operations of a whole run, every stage of it, then the resumed run against one without faults."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.cli.faults import is_ours
from tasks import benchmarking
from tasks.groups import sampled_groups
from tasks.run.settings import Settings
from tests.injected_faults import contents
from tests.smoke_run import smoke_settings, stages

ROOT = Path(__file__).parents[2]

PROGRAM = """
import json, shutil, sys
from pathlib import Path
import torch
from types import SimpleNamespace
from tasks.rounds import train_worker
from tests.injected_faults import Sweep, undisturbed
from tests.smoke_run import smoke_settings, stages

torch.set_num_threads(1)
# TensorBoard's queue is shared with forks, which fill it and never empty it; its files are not compared anyway.
nothing = lambda *given, **named: None
train_worker.SummaryWriter = lambda *given, **named: SimpleNamespace(add_scalar=nothing, close=nothing)
out, every = Path(sys.argv[1]), int(sys.argv[2])
run = lambda: stages(smoke_settings(out))
expected = undisturbed(out / "run", run)
for processes in (1, 2):
    sweep = Sweep(out / "run", run, expected, processes=processes, every=every, first=every // processes)
    sweep.run()
    shutil.rmtree(out / "run")
    print(json.dumps({"count": sweep.count, "faults": sweep.faults}))
"""
"""In a process of its own, with one thread: it forks. The run has about 1,650 faults to suffer."""

EVERY = 211
"""Of the faults, so many are passed over for one that is injected; a prime, so that all kinds come to their turn."""


@pytest.mark.long
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks at /proc to name open files")
def test_a_run_survives_faults_anywhere(tmp_path):
    environment = {
        **os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "HMR_ALIGN_CACHE": str(tmp_path / "cache"),
    }  # fmt: skip
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "out"), str(EVERY)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=550, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    for details in map(json.loads, done.stdout.splitlines()):
        assert details["count"] >= 6 and not details["faults"], "\n".join(details["faults"])


SOURCES = {
    "store/people/wild-0000.parquet": "cut short since it was written",
    "store/hyps/gen=round0/wild-0001.parquet": "cut short since it was written",
    "store/groups/gen=round0/_manifest.json": "not a manifest",
    "training/round1/policy.safetensors": "not a whole safetensors file",
    "store/images.parquet": "not a list of photographs",
    "settings.json": "which settings filled this folder",
}
"""What cannot be made again, or not without being told to, and what is said of it."""


def halve(path: Path) -> bytes:
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    return whole


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Iterator[tuple[Path, Settings]]:
    """A whole run, and the folder in which it and its cache lie."""
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HMR_ALIGN_CACHE", str(folder / "cache"))
        settings = smoke_settings(folder / "out")
        for _ in stages(settings):
            pass
        yield folder, settings


@pytest.mark.slow
def test_damaged_files_are_made_again_or_named(run, caplog):
    root, settings = run
    folder, whole = settings.run.folder, contents(root)
    assert not any("damaged" in record.getMessage() for record in caplog.get_records("setup"))

    kept = ("store", "settings.json", "policy.safetensors", "why_it_stopped.html", "summary.json", "_lock", "run.lock")
    made = [root / name for name in whole if not any(part in kept for part in Path(name).parts)]
    assert {".png", ".jpg", ".json", ".npz", ".parquet", ".safetensors"} == {path.suffix for path in made}
    for notes in (False, True):  # pictures and curves with a whole note beside them, then the notes
        chosen = [path for path in made if (path.suffix in (".jpg", ".parquet")) != notes]
        for path in chosen:
            halve(path)
        benchmarking._KNOWN.clear()  # what a process has in memory
        caplog.clear()
        for _ in stages(settings):
            pass
        assert contents(root) == whole
        assert caplog.text.count("made again") == (len(chosen) if notes else 6)  # two curves, four notes of pictures

    for name, words in SOURCES.items():
        path = folder / name
        before = halve(path)
        (folder / "benchmark" / "after.npz").unlink(missing_ok=True)  # what the policy is read for
        sampled_groups.model.cache_clear()
        with pytest.raises(Exception, match=words) as caught:
            for _ in stages(settings):
                pass
        assert is_ours(caught.value) and str(path) in str(caught.value) and "\n" not in str(caught.value)
        path.write_bytes(before)
    for _ in stages(settings):
        pass
    assert contents(root) == whole


@pytest.mark.slow
def test_another_critic_is_given_controls_and_trained_on(run, monkeypatch):
    """On the same run: `rescore --controls 2 --retrain` judges, plants controls, trains on both and compares."""
    from flows.plant_controls import plant_controls
    from flows.rescore import rescore

    monkeypatch.setattr("flows.rescore.plant_controls", plant_controls.fn)  # no server here
    _, settings = run
    values = settings.model_dump()
    values["critic"] |= {"name": "scorer", "monitor": None}
    found = rescore.fn(Settings.model_validate(values | {"rescore": {"controls": 2, "retrain": True}}))
    assert found["scored"] > 0 and found["failed_groups"] == 0 and -1 <= found["correlation"] <= 1
    (folder,) = (settings.run.folder / "rescored").iterdir()
    told = json.loads((folder / "drift.json").read_text())
    assert 0 < told["controls"]["groups"] <= 4
    assert told["retrained"]["split"] == "val" and len(told["retrained"]["rows"]) >= 2
    assert all(row["older"] > 0 and row["newer"] > 0 for row in told["retrained"]["rows"])
    assert all((folder / f"trained_{which}" / "policy.safetensors").exists() for which in ("older", "newer"))
