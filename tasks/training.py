"""Stage 5: one round of fine-tuning on scored groups, in this process or in others that torchrun starts."""

import json
import logging
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import torch
from prefect.artifacts import update_progress_artifact

from hmr.alignment.trainer import TrainError
from storage.finished_file import write_text
from tasks.benchmarking import BenchmarkPeople
from tasks.rounds.train_worker import RoundSpec, Tell, Trained, finished, refuse_other, train, train_settings
from tasks.run.artifacts import begin_progress
from tasks.run.settings import CriticSection, Sample, SettingsError, Train
from tasks.run.shard_task import task

__all__ = ["Trained", "WorkerDied", "train_round", "train_settings"]

log = logging.getLogger(__name__)

SILENCE = 3600.0  # seconds without output after which the processes count as stuck
GRACE = 10.0  # seconds to end by themselves after they were asked to
TOLD_EVERY = 10  # percent of progress between two log lines


class WorkerDied(RuntimeError):
    """The training processes ended without a result; another try continues from their last saved state."""


@task(task_run_name="train on {gen}: {critic}")
def train_round(
    gen: str,
    critic: str,
    store_root: Path,
    model_path: str,
    body_path: Path | None,
    folder: Path,
    section: Train,
    sample: Sample,
    val: BenchmarkPeople,
    seed: int,
    judge: CriticSection | None = None,
    older: tuple[str, ...] = (),
    reference_path: str | None = None,
) -> Trained:
    """Fine-tune a model on one generation's verdicts, and on those of `older` ones.

    A finished round is read back. Raises SettingsError if it was made from other inputs, TrainError if the groups
    cannot be trained on, and WorkerDied if a training process ends without a result. `sample` sets where and how
    precisely people are encoded, and how groups are drawn to look at `val`; `judge` has the settings of the second
    critic. For the files written see `tasks.rounds.train_worker.train`.
    """
    spec = RoundSpec(
        gen=gen, critic=critic, store_root=store_root, model_path=model_path, body_path=body_path, folder=folder,
        train=section, sample=sample, judge=judge or CriticSection(), val=val, seed=seed, older=older,
        reference_path=reference_path,
    )  # fmt: skip
    train_settings(section, seed)
    if (done := finished(folder)) is not None:
        refuse_other(spec)
        return done
    tell = _progress(gen)
    processes = _processes(spec)
    return train(spec, tell) if processes == 0 else run_processes(spec, processes, tell)


def _processes(spec: RoundSpec) -> int:
    """How many processes to start; 0 = train in this one, since a start takes seconds."""
    wanted, on_gpu = spec.train.processes, torch.cuda.is_available() and spec.sample.device != "cpu"
    if on_gpu and wanted > torch.cuda.device_count():
        raise SettingsError(
            f"[train] processes = {wanted}: there are {torch.cuda.device_count()} GPUs here. One process each, at most"
        )
    return wanted if on_gpu or wanted > 1 else 0


def run_processes(spec: RoundSpec, count: int, tell: Tell) -> Trained:
    """Train in `count` processes of `rounds.train_worker`; their standard error goes to `worker.log`.

    Raises TrainError with the process's own message if it cannot train on its input, else WorkerDied.
    """
    spec.folder.mkdir(parents=True, exist_ok=True)
    path, said = spec.folder / "spec.json", spec.folder / "worker.log"
    write_text(path, spec.model_dump_json(indent=1))
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count),
        "-m", "tasks.rounds.train_worker", str(path),
    ]  # fmt: skip
    errors: list[str] = []
    with said.open("ab") as file, _running(command, file, spec.sample.device == "cpu") as (process, lines):
        for line in lines:
            message = _message(line)
            if "error" in message:
                errors.append(message["error"])
            else:
                tell(message)
        code = process.wait()
    if errors:
        raise TrainError(errors[0])
    done = finished(spec.folder)
    if code or done is None:
        last = (said.read_text(errors="replace").strip().splitlines() or ["they said nothing"])[-1]
        raise WorkerDied(
            f"the training processes ended with code {code} and no result ({last}); all they said is in {said}. "
            "Run again: training goes on where its state was saved"
        )
    return done


@contextmanager
def _running(command: list[str], errors: Any, on_cpu: bool) -> Iterator[tuple[subprocess.Popen, Iterator[str]]]:
    """The started processes and the lines they print; all are ended with the block."""
    root = str(Path(__file__).parent.parent)
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")]).rstrip(":")}
    if on_cpu:
        variables["CUDA_VISIBLE_DEVICES"] = ""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, env=variables)
    try:
        yield process, _lines(process)
    finally:
        _end(process)


def _lines(process: subprocess.Popen) -> Iterator[str]:
    """Lines as they are printed; raises WorkerDied if none comes for SILENCE seconds."""
    waiting: queue.Queue[str | None] = queue.Queue()

    def read() -> None:
        assert process.stdout is not None
        with process.stdout as printed:
            for line in printed:
                waiting.put(line)
        waiting.put(None)

    threading.Thread(target=read, daemon=True).start()
    while True:
        try:
            line = waiting.get(timeout=SILENCE)
        except queue.Empty:
            raise WorkerDied(f"the training processes said nothing for {SILENCE / 60:.0f} minutes") from None
        if line is None:
            return
        yield line


def _end(process: subprocess.Popen) -> None:
    """Ask the launcher to stop its processes, and end those that remain."""
    with suppress(psutil.NoSuchProcess):
        family = psutil.Process(process.pid).children(recursive=True)
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(GRACE)
        for one in family:
            with suppress(psutil.NoSuchProcess):
                one.kill()
    if process.poll() is None:
        process.kill()
    process.wait()


def _message(line: str) -> Mapping[str, Any]:
    with suppress(json.JSONDecodeError):
        found = json.loads(line)
        if isinstance(found, dict):
            return found
    return {}


def _progress(gen: str) -> Tell:
    """A function that turns messages of training into a progress artifact and log lines of the task."""
    artifact = begin_progress(f"train on {gen}")
    details = 0

    def tell(message: Mapping[str, Any]) -> None:
        nonlocal details
        if "advice" in message:
            log.warning("%s: %s", gen, message["advice"])
        row = message.get("row")
        if row is None:
            return
        percent = int(100 * row["step"] / message["steps"])
        if percent // TOLD_EVERY == details // TOLD_EVERY and percent < 100:
            return
        details = percent
        log.info("step %d of %d: loss %.4g, gradient norm %.3g", row["step"], message["steps"], row["loss"],
                    row["gradient_norm"])  # fmt: skip
        if artifact is not None:
            update_progress_artifact(artifact_id=artifact, progress=float(percent))

    return tell
