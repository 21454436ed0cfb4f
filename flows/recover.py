"""Photographs -> the best mesh of each person, its alternatives, a table and a page. No Prefect: it starts at once."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from hmr.detection.photograph import PhotographError
from hmr.processes import ProcessDiedError, in_processes
from storage.finished_file import remove_strays
from tasks.groups.photograph_list import folder_names, inputs_sha256, name_of, photographs_of
from tasks.recovery.record import Job, Record, is_done, records_in, recovery_sha256
from tasks.run.settings import Settings

MOST_PROCESSES = 4
WORTH_A_PROCESS = 3  # fewest photographs per process: starting one takes as long as about five photographs


class RecoverError(RuntimeError):
    """Nothing could be recovered; the message gives the reason."""


@dataclass
class Tally:
    """What happened to the photographs of a call."""

    results: Path
    done: int = 0
    people: int = 0  # in the photographs that were done now
    kept: int = 0  # photographs whose results were there already
    faults: list[tuple[str, str]] = field(default_factory=list)  # photograph or argument, reason

    def summary(self) -> str:
        """The same as text."""
        parts = [f"{_count(self.people, 'person', 'people')} in {_count(self.done, 'photograph')}"] if self.done else []
        if self.kept:
            parts.append(f"{_count(self.kept, 'photograph')} done already, with the same settings")
        if self.faults:
            parts.append(f"{len(self.faults)} could not be used (the reasons stand above and on the page)")
        return "; ".join(parts)


def recover(arguments: Sequence[str], settings: Settings) -> Tally:
    """Recover the people of all photographs that the arguments name.

    Results of a photograph are complete or not there; page and table are written at the end, after Ctrl-C too. Raises
    RecoverError if there is no result at all.
    """
    photographs, faults = photographs_of(arguments)
    results = settings.recover.out / (settings.recover.name or name_of(arguments[0]))
    tally = Tally(results)
    _tell_all(tally, faults)
    todo = _jobs(photographs, settings, tally)
    try:
        for job, outcome in _outcomes(todo, settings.recover.processes):
            if isinstance(outcome, str):
                _tell_all(tally, [(job.photograph.name, outcome)])
            else:
                tally.done += 1
                tally.people += len(outcome["people"])
                for note in outcome["notes"]:
                    typer.echo(note, err=True)
    finally:
        if tally.done or tally.kept:
            from tasks.recovery.page import write_results

            write_results(results, recovery_sha256(settings), tally.faults)
    if not tally.done and not tally.kept:
        raise RecoverError(f"nothing was recovered: {'no photograph was found' if not photographs else _why(tally)}")
    return tally


def _jobs(photographs: Sequence[Path], settings: Settings, tally: Tally) -> list[Job]:
    """What is still to be done."""
    results = tally.results
    digest = recovery_sha256(settings)
    taken = {folder: Path(record["photo"]) for folder, record in records_in(results).items()}
    todo = []
    for path, name in zip(photographs, folder_names(photographs, taken)):
        try:
            job = Job(path, results / name, inputs_sha256(path), settings, digest)
        except PhotographError as error:
            _tell_all(tally, [(path.name, str(error).removeprefix(f"{path}: "))])
            continue
        if is_done(job):
            tally.kept += 1
        else:
            todo.append(job)
    if todo:
        results.mkdir(parents=True, exist_ok=True)
        remove_strays(results)
    return todo


def _outcomes(jobs: Sequence[Job], processes: int) -> Iterator[tuple[Job, Record | str]]:
    """Each job with its record, or with the reason why there is none, as they are done; a bar on a terminal."""
    if not jobs:
        return
    console = Console(stderr=True)
    columns = (TextColumn("recover"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("recover", total=len(jobs))
        for outcome in _worked(jobs, processes or _fitting(len(jobs))):
            yield outcome
            bar.advance(task)


def _worked(jobs: Sequence[Job], processes: int) -> Iterator[tuple[Job, Record | str]]:
    try:
        yield from zip(jobs, in_processes(_recover, jobs, processes))
    except ProcessDiedError as error:
        raise RecoverError(str(error)) from None


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"


def _recover(job: Job) -> Record | str:
    """Its record, or why there is none; slow imports are made only here."""
    from tasks.recovery.job import recover_photograph

    try:
        return recover_photograph(job)
    except PhotographError as error:
        return str(error).removeprefix(f"{job.photograph}: ")


def _fitting(jobs: int) -> int:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores, MOST_PROCESSES, jobs // WORTH_A_PROCESS))


def _tell_all(tally: Tally, faults: Sequence[tuple[str, str]]) -> None:
    for name, why in faults:
        tally.faults.append((name, why))
        typer.echo(f"{name}: {why}", err=True)


def _why(tally: Tally) -> str:
    return f"none of {len(tally.faults)} could be used" if len(tally.faults) > 1 else tally.faults[0][1]
