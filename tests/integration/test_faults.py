"""A fault at file operations of a whole run, every stage of it, then the resumed run against one without faults."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

PROGRAM = """
import json, os, sys
from pathlib import Path
import torch
from tests.injected_faults import Sweep, undisturbed
from tests.smoke_run import smoke_settings, stages

torch.set_num_threads(1)
out, processes, first = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
run = lambda: stages(smoke_settings(out))
sweep = Sweep(out / "run", run, undisturbed(out / "run", run), processes=processes, every=EVERY, first=first)
sweep.run()
print(json.dumps({"count": sweep.count, "faults": sweep.faults}))
"""
"""In a process of its own, with one thread: it forks."""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks at /proc to name open files")
@pytest.mark.parametrize(("processes", "first"), [(1, 0), (2, 4)])
def test_a_run_survives_faults_anywhere(tmp_path, processes, first):
    environment = {
        **os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "HMR_ALIGN_CACHE": str(tmp_path / "cache"),
    }  # fmt: skip
    command = [sys.executable, "-c", PROGRAM.replace("EVERY", "7"), str(tmp_path / "out"), str(processes), str(first)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=550, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["count"] >= 150 and not told["faults"], "\n".join(told["faults"])
