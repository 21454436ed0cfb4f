"""Seconds until a command on one photograph is done, and what takes them: each in a new process, from a warm disk."""

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from importlib import resources
from pathlib import Path
from statistics import median
from typing import Any

PHOTOGRAPH = "astronaut_half_body_portrait.jpg"
RUN = "from flows.cli.command_line import run; run()"

PARTS: Mapping[str, str] = {
    "python": "pass",
    "import_prefect": "import prefect, prefect.flows, prefect.tasks",
    "import_torch": "import torch",
    "import_detector": "import hmr.detection.people",
}
"""Steps that every sampling command does before its work, each as a program."""


def measure_startup(rounds: int = 3) -> list[dict[str, Any]]:
    """Medians over rounds, seconds; each result has metric, value, unit, baseline and ratio (above 1 is better).

    Raises RuntimeError if a command fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        photographs = Path(folder) / "photographs"
        photographs.mkdir()
        shipped = resources.files("tasks").joinpath("assets", "photographs", PHOTOGRAPH)
        with resources.as_file(shipped) as file:
            shutil.copy(file, photographs)
        commands: dict[str, Callable[[int], list[str]]] = {
            "help": lambda turn: ["-c", RUN, "--help"],
            "doctor": lambda turn: ["-c", RUN, "doctor"],
            "recover": lambda turn: ["-c", RUN, "recover", str(photographs), "--out", f"{folder}/recover{turn}"],
            "sample": lambda turn: [
                "-c", RUN, "sample", "--images", str(photographs), "--out", f"{folder}/sample{turn}",
            ],
            "sample_recorded": lambda turn: [
                "-c", RUN, "sample", "--record", "--images", str(photographs), "--out", f"{folder}/record{turn}",
            ],
            "sample_again": lambda turn: [
                "-c", RUN, "sample", "--images", str(photographs), "--out", f"{folder}/sample{turn}",
            ],
            **{name: lambda turn, code=code: ["-c", code] for name, code in PARTS.items()},
        }  # fmt: skip
        taken: dict[str, list[float]] = {name: [] for name in commands}
        for turn in range(-1, rounds):  # the first warms the disk
            for name, command in commands.items():
                seconds = _seconds([sys.executable, *command(turn)])
                if turn >= 0:
                    taken[name].append(seconds)
    times = {name: median(found) for name, found in taken.items()}
    recorded = times["sample_recorded"]
    rows = [_row(name, seconds) for name, seconds in times.items()]
    for row in rows:
        if row["metric"] == "startup.sample":
            row |= {"baseline": f"the same with a Prefect server, {recorded:.1f} s", "ratio": recorded / row["value"]}
    return rows


def _row(name: str, seconds: float) -> dict[str, Any]:
    return {"metric": f"startup.{name}", "value": seconds, "unit": "s", "baseline": None, "ratio": None}


def _seconds(command: list[str]) -> float:
    start = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode and "doctor" not in command:  # doctor fails if something is missing, and reports it
        raise RuntimeError(f"{' '.join(command[2:])} ended with {done.returncode}: {done.stderr.strip()[-500:]}")
    return time.perf_counter() - start
