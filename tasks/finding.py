"""Stage 1: from photographs to people. A photograph that cannot be used is named with its reason, never lost."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from prefect import task
from prefect.cache_policies import NO_CACHE

from hmr.brought_keypoints import keypoint_file
from hmr.photograph import PhotographError, read_photograph
from hmr.processes import in_processes
from storage.group_store import GroupStore
from storage.records import Person
from tasks.people import IMAGES, Looked, finder, people_in, person_record
from tasks.retrying import may_pass

__all__ = ["IMAGES", "Found", "Shard", "find_people", "finder", "person_record", "shards_of"]


@dataclass(frozen=True)
class Shard:
    """Some photographs that are worked on together."""

    name: str
    photographs: tuple[Path, ...]
    thorough: bool  # look for several people, at several scales


@dataclass(frozen=True)
class Found:
    """What became of one shard's photographs."""

    people: int
    skipped: tuple[tuple[str, str], ...]  # file name, reason
    told: tuple[tuple[str, str], ...] = ()  # file name, remark, of photographs that were searched now


def shards_of(folder: Path, size: int, *, thorough: bool) -> list[Shard]:
    """The files of a folder in order, cut into shards; raises PhotographError if there is nothing to look at.

    Every file counts, so that one which is no picture is reported rather than passed over; hidden files do not.
    """
    if not folder.is_dir():
        raise PhotographError(f"no folder {folder}: give --images a folder with photographs in it")
    files = sorted(p for p in folder.iterdir() if p.is_file() and not p.name.startswith("."))
    keypoints = {keypoint_file(path) for path in files if path.suffix.lower() != ".json"}
    files = [path for path in files if path not in keypoints]
    if not files:
        raise PhotographError(f"{folder} is empty: put photographs in it ({', '.join(IMAGES)})")
    parts = [files[i : i + size] for i in range(0, len(files), size)]
    return [Shard(f"{folder.name}-{k:04d}", tuple(part), thorough) for k, part in enumerate(parts)]


class _Photograph(NamedTuple):
    """A photograph to be looked at, and how."""

    path: Path
    thorough: bool
    crop_margin: float
    focal_px: float | None
    only_described: bool


def _look(job: _Photograph) -> Looked:
    try:
        photograph = read_photograph(job.path)
    except PhotographError as error:
        return Looked([], [(job.path.name, str(error).removeprefix(f"{job.path}: "))], [])
    return people_in(
        job.path, photograph, thorough=job.thorough, crop_margin=job.crop_margin, focal_px=job.focal_px,
        only_described=job.only_described,
    )  # fmt: skip


@task(
    retries=2,
    retry_condition_fn=may_pass,
    retry_delay_seconds=[2, 10],
    cache_policy=NO_CACHE,
    task_run_name="find people in {shard.name}",
)
def find_people(
    shard: Shard, store_root: Path, focal_px: float | None, crop_margin: float, only_described: bool = False,
    processes: int = 1,
) -> Found:  # fmt: skip
    """Read each photograph of the shard, find its people, and commit them as one shard of the store.

    processes: how many photographs are looked at at a time.
    """
    store = GroupStore(store_root)
    note = store_root.parent / "skipped" / f"{shard.name}.json"
    if shard.name in store.people_shards() and note.exists():
        kept = [tuple(row) for row in json.loads(note.read_text())]
        return Found(len(store.read_people(shard.name)), tuple(kept))
    people: list[Person] = []
    skipped: list[tuple[str, str]] = []
    told: list[tuple[str, str]] = []
    jobs = [_Photograph(path, shard.thorough, crop_margin, focal_px, only_described) for path in shard.photographs]
    for looked in in_processes(_look, jobs, processes):
        people += looked.people
        skipped += looked.skipped
        told += looked.told
    note.parent.mkdir(parents=True, exist_ok=True)
    unfinished = note.with_suffix(".tmp")
    unfinished.write_text(json.dumps(skipped))
    unfinished.replace(note)
    store.write_people(shard.name, people)
    return Found(len(people), tuple(skipped), tuple(told))
