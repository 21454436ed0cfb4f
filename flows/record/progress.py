"""Progress of a run: bars in the terminal, an artifact per stage on the dashboard, seconds per stage on disk."""

import json
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import BrokenExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Protocol, TypeVar

import httpx
from prefect.artifacts import update_progress_artifact
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from hmr.processes import ProcessDiedError
from storage.finished_file import read_again, write_text
from tasks.run.artifacts import begin_progress
from tasks.run.plan import Plan

T = TypeVar("T")
R = TypeVar("R", covariant=True)


@dataclass
class Stage:
    """Result of one stage; set `items` before it ends."""

    items: int = 0


@contextmanager
def stage(plan: Plan, name: str) -> Iterator[Stage]:
    """Time a stage and store its longest time, seconds, in `stages.json`, so that a rerun that skips it changes
    nothing.
    """
    done, start = Stage(), time.monotonic()
    yield done
    seconds = time.monotonic() - start
    path = plan.folder / "stages.json"
    kept = read_again(path, lambda path: json.loads(path.read_text())) or {}
    if seconds >= kept.get(name, {}).get("seconds", 0.0):
        kept[name] = {"seconds": round(seconds, 2), "items": done.items}
        write_text(path, json.dumps(kept, indent=1))


class Future(Protocol[R]):
    """The result of `submit`, whichever runner works on it."""

    def result(self) -> R:
        """Wait for the work and return its result; raises the error of the work."""
        ...


def collected(futures: Sequence[Future[R]], what: str) -> list[R]:
    """The results of submitted shards in their order, with a progress bar.

    Raises the error of the first shard that failed, or ProcessDiedError if a worker process ended. Shards not begun by
    then are left out; results of the others are kept.
    """
    try:
        return [future.result() for future in tracked(futures, what)]
    except BrokenExecutor:
        raise ProcessDiedError(
            "a process ended before its work was done, probably for want of memory. "
            "What was done is kept: run again with fewer processes ([run] processes)"
        ) from None


def tracked(items: Sequence[T], what: str) -> Iterator[T]:
    """The items one by one, with a bar in the terminal and a progress artifact in the flow run."""
    artifact = begin_progress(what)
    columns = (TextColumn("{task.description:<24}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, transient=False) as bar:
        task = bar.add_task(what, total=len(items))
        for done, item in enumerate(items, 1):
            yield item
            bar.update(task, completed=done)
            if artifact is not None:
                with suppress(httpx.HTTPError):  # a server that does not answer is no reason to end a run
                    update_progress_artifact(artifact_id=artifact, progress=100 * done / len(items))
