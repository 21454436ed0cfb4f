"""A fault at file operations of a whole run, every stage of it, then the resumed run against one without faults."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from flows.cli.faults import is_ours
from tasks import benchmarking
from tasks.groups import sampled_groups
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


@pytest.mark.slow
def test_damaged_files_are_made_again_or_named(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("HMR_ALIGN_CACHE", str(tmp_path / "cache"))
    folder, settings = tmp_path / "out" / "run", smoke_settings(tmp_path / "out")
    for _ in stages(settings):
        pass
    whole = contents(tmp_path)
    assert not caplog.text.count("damaged")

    kept = ("store", "settings.json", "policy.safetensors", "why_it_stopped.html", "summary.json", "_lock", "run.lock")
    made = [tmp_path / name for name in whole if not any(part in kept for part in Path(name).parts)]
    assert {".png", ".jpg", ".json", ".npz", ".parquet", ".safetensors"} == {path.suffix for path in made}
    for notes in (False, True):  # pictures and curves with a whole note beside them, then the notes
        chosen = [path for path in made if (path.suffix in (".jpg", ".parquet")) != notes]
        for path in chosen:
            halve(path)
        benchmarking._KNOWN.clear()  # what a process has in memory
        caplog.clear()
        for _ in stages(settings):
            pass
        assert contents(tmp_path) == whole
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
    assert contents(tmp_path) == whole
