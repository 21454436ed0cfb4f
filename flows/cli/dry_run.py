"""A rehearsal of `hmr-align align`: every step of the user's settings, on a few of the user's people.

The judge's server is replaced by one on this machine that looks at pixels (`critique.endpoint.loopback`): no picture
leaves the machine and nothing is spent. Stages are called as functions: no Prefect server is started or told. Results
go to `<out>/<name>-dry-run`, which is made anew each time.
"""

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from prefect import Flow, State

from critique.endpoint.loopback import JudgingStyle, LoopbackVlm
from critique.endpoint.loopback_auditor import Auditing
from flows.align import walk
from flows.stages.find_people import find_people
from hmr.detection.brought_keypoints import keypoint_file
from storage.finished_file import write_text
from storage.remote_path import RemotePath, place_of
from tasks.forecast.small_run import EACH, KEY, small_settings
from tasks.forecast.walked import refuse_unseen, walked
from tasks.groups.image_search import Source, picture_files
from tasks.run.plan import Plan
from tasks.run.run_lock import held
from tasks.run.settings import Settings, SettingsError

MARK = "dry-run.txt"
"""File by which the folder of a dry run is known: only such a folder is removed."""


class Rehearsed(NamedTuple):
    """What a dry run did."""

    rows: list[tuple[str, ...]]
    requests: int  # that the stand-in for the judge's server answered
    seconds: float
    folder: Path


def dry_run(settings: Settings) -> Rehearsed:
    """Walk every step of a run with these settings in small, and say what was walked.

    Raises SettingsError, or the error of a reader of files, for what the real run would stumble over.
    """
    start = time.monotonic()
    with stand_in() as server:
        small = small_settings(settings, server.base_url, None)
        plan = Plan(small)
        with held(small.run.folder):
            _begin_anew(plan)
            if (folder := settings.photographs.folder) is not None:
                some = _some_photographs(Source(folder, nested=settings.photographs.nested), plan.folder / "some")
                small = small_settings(settings, server.base_url, some)
                plan = Plan(small)
            walk(small, plainly, plainly)
        return Rehearsed(walked(plan), server.answered, time.monotonic() - start, plan.folder)


def plainly(stage: Flow[..., Any], settings: Settings, **parameters: Any) -> Any:
    """Run a stage as a function, which no server records; each stage, and each dataset of the people, has to work."""
    result = stage.fn(settings, **parameters)
    if stage is find_people and settings.data.train:
        refuse_unseen(Plan(settings))
    return result.data if isinstance(result, State) else result


@contextmanager
def stand_in() -> Iterator[LoopbackVlm]:
    """A server for the judge on this machine, and an environment that leads to it without a proxy."""
    before = {name: os.environ.get(name) for name in (KEY, "NO_PROXY", "no_proxy")}
    direct = {name: ",".join(filter(None, (before[name], "127.0.0.1"))) for name in ("NO_PROXY", "no_proxy")}
    os.environ |= {KEY: "any", **direct}
    try:
        with LoopbackVlm(Auditing(JudgingStyle()), keep=False, batches=True) as server:
            yield server
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _begin_anew(plan: Plan) -> None:
    """Remove what an earlier dry run left; the lock stays. Raises SettingsError if the folder is not a dry run's."""
    inside = [path for path in plan.folder.iterdir() if path.name != "run.lock"]
    uri = plan.settings.store.uri
    place = None if uri is None else place_of(uri)
    tables = list(place.files()) if isinstance(place, RemotePath) else []
    if isinstance(place, Path) and place.exists():
        tables = [place]
    for where, held_there in ((plan.folder, inside), (place, tables)):
        if held_there and not (plan.folder / MARK).exists():
            raise SettingsError(
                f"{where} holds something that is not a dry run: move it away, or choose another --name"
            )
    for path in (*inside, *tables):
        if isinstance(path, Path) and path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    write_text(plan.folder / MARK, "Made by `hmr-align align --dry-run`, which removes it before the next one.\n")


def _some_photographs(source: Source, target: Path) -> Path:
    """Copies of a few photographs, spread evenly over the folder, with the keypoints beside them."""
    every = list(picture_files(source, source.folder, []))
    for number in np.unique(np.linspace(0, len(every) - 1, EACH).astype(int)) if every else []:
        place = target / every[number].relative_to(source.folder)
        place.parent.mkdir(parents=True, exist_ok=True)
        for file in (every[number], keypoint_file(every[number])):
            if file is not None:
                shutil.copy(file, place.parent / file.name)
    target.mkdir(parents=True, exist_ok=True)
    return target
