"""Stage 1: from photographs to people. A photograph that cannot be used is reported with the reason."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from hmr.detection.photograph import PhotographError, read_photograph
from hmr.processes import ProcessDiedError, apart, in_processes
from storage.finished_file import read_again, write_text
from storage.group_store import GroupStore
from storage.image_list import Image, ImageList, image_of, updated
from storage.records import Person
from tasks.groups.image_search import Source, search
from tasks.groups.people import IMAGES, Looked, finder, people_in, person_record
from tasks.run.deadly_items import Deaths, deaths
from tasks.run.shard_task import task

__all__ = ["IMAGES", "Found", "Listed", "PhotographShard", "find_shard", "finder", "list_photographs", "person_record"]


@dataclass(frozen=True)
class PhotographShard:
    """Some photographs that are worked on together."""

    name: str
    photographs: tuple[tuple[Path, str], ...]  # file, our name for it
    thorough: bool = True  # look for several people, at several scales


@dataclass(frozen=True)
class Listed:
    """The current photographs of a run."""

    shards: tuple[PhotographShard, ...]
    skipped: tuple[tuple[str, str], ...]  # name, reason
    added: int  # since the last look; 0 at the first
    changed: tuple[str, ...]  # paths of those whose contents changed since the last look
    gone: tuple[str, ...]


@dataclass(frozen=True)
class Found:
    """The result for one shard's photographs."""

    people: int
    skipped: tuple[tuple[str, str], ...]  # file name, reason
    remarks: tuple[tuple[str, str], ...] = ()  # file name, remark, of photographs that were searched now


@task(task_run_name="list photographs")
def list_photographs(sources: Sequence[Source], root: Path, store_root: Path, size: int) -> Listed:
    """Name the photographs of some folders below `root` by their contents, and split the new ones into shards.

    The list is kept in the store: photographs named earlier keep their name and shard, and those that changed or are
    gone are hidden. Raises PhotographError if there is no photograph.
    """
    store = GroupStore(store_root)
    before = store.images.images or _listed_in_old_stores(store, root)
    images: list[Image] = []
    skipped: list[tuple[str, str]] = []
    thorough = {}
    for source in sources:
        seen = search(source)
        skipped += seen.skipped
        places = {key: (path.relative_to(root).as_posix(), short) for key, (path, short) in seen.found.items()}
        own = [image for image in before if image.shard.rpartition("-")[0] == source.prefix]
        images += updated(own, places, size, source.prefix)
        thorough[source.prefix] = source.thorough
    images += [i._replace(status="gone") for i in before if i.shard.rpartition("-")[0] not in thorough]
    if not any(image.present for image in images):
        reasons = "; ".join(f"{name}: {why}" for name, why in skipped[:5])
        folders = ", ".join(str(source.folder) for source in sources)
        details = f" ({reasons})" if reasons else ""
        raise PhotographError(f"no photographs in {folders}{details}: put some in it ({', '.join(IMAGES)})")
    if [*before] != images or store.images.root != root:
        store.write_images(ImageList(root, images))
    shards: dict[str, list[tuple[Path, str]]] = {}
    for image in images:
        if image.present:
            shards.setdefault(image.shard, []).append((root / image.path, image.image_id))
    states = {image.image_id: image.status for image in before}
    return Listed(
        shards=tuple(PhotographShard(name, tuple(p), thorough[name.rpartition("-")[0]]) for name, p in shards.items()),
        skipped=tuple(skipped),
        added=sum(image.image_id not in states for image in images) if before else 0,
        changed=tuple(i.path for i in images if i.status == "changed" != states.get(i.image_id)),
        gone=tuple(i.path for i in images if i.status == "gone" != states.get(i.image_id)),
    )


class _Photograph(NamedTuple):
    """A photograph to be searched, and how."""

    path: Path
    image_id: str
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
        job.path, photograph, image_id=job.image_id, thorough=job.thorough, crop_margin=job.crop_margin,
        focal_px=job.focal_px, only_described=job.only_described,
    )  # fmt: skip


@task(task_run_name="find people in {shard.name}", retries=2, retry_delay_seconds=(2, 10))
def find_shard(
    shard: PhotographShard, store_root: Path, focal_px: float | None, crop_margin: float, only_described: bool = False,
    processes: int = 1,
) -> Found:  # fmt: skip
    """Read each photograph of the shard, find its people, and commit them as one shard of the store.

    processes: how many photographs are searched at the same time.
    """
    store = GroupStore(store_root)
    note = store_root.parent / "skipped" / f"{shard.name}.json"
    rows = read_again(note, _rows)
    found_before = shard.name in store.people_shards()
    died = deaths(note.with_name(f"{shard.name}.begun"))
    if found_before and rows is not None:
        died.end_all()
        here = {image_id for _, image_id in shard.photographs}
        kept = [(name, why) for image_id, name, why in rows if image_id in here]
        return Found(len(store.read_people(shard.name)), tuple(kept))
    people: list[Person] = []
    skipped: list[tuple[str, str, str]] = []  # our name for the photograph, file name, reason
    remarks: list[tuple[str, str]] = []
    jobs = [_Photograph(*one, shard.thorough, crop_margin, focal_px, only_described) for one in shard.photographs]
    for job, looked in _looked_at(jobs, died, processes):
        people += looked.people
        skipped += [(job.image_id, *row) for row in looked.skipped]
        remarks += looked.remarks
    write_text(note, json.dumps(skipped))
    if not found_before:  # else only the note was lost, and the people found stay
        store.write_people(shard.name, people)
    died.end_all()
    return Found(len(people), tuple((name, why) for _, name, why in skipped), tuple(remarks))


def _looked_at(jobs: list["_Photograph"], died: Deaths, processes: int) -> Iterator[tuple["_Photograph", Looked]]:
    """Each photograph and what was found. One that kills processes is left out.

    After a death they are looked at one by one, so that the next one tells which photograph it was; after several, one
    that is suspected is looked at in a process of its own.
    """
    reasons = {job.image_id: why for job in jobs if (why := died.quarantined(job.image_id))}
    wanted = [job for job in jobs if job.image_id not in reasons]
    if died.counts or processes == 1:
        for job in wanted:
            died.begin([job.image_id])
            try:
                looked = apart(_look, job) if died.suspected(job.image_id) else _look(job)
            except ProcessDiedError:
                died.convict(job.image_id)
                reasons[job.image_id] = died.quarantined(job.image_id) or ""
                continue
            yield job, looked
            died.end(job.image_id)
    else:
        died.begin(job.image_id for job in wanted)
        yield from zip(wanted, in_processes(_look, wanted, processes))
    for job in jobs:
        if job.image_id in reasons:
            yield job, Looked([], [(job.path.name, reasons[job.image_id])], [])


def _rows(note: Path) -> list[tuple[str, str, str]]:
    """What was skipped: our name for the photograph, file name, reason; rows of version 0.1 lack the name."""
    return [(row[0], row[1], row[2]) for row in json.loads(note.read_text()) if len(row) == 3]


def _listed_in_old_stores(store: GroupStore, root: Path) -> list[Image]:
    """The photographs of a store that keeps no list of them, of version 0.1: those with people in them."""
    images = {}
    for shard in store.people_shards():
        for person in store.read_people(shard):
            image_id, path = image_of(person.group_id), Path(person.photo)
            place = path.relative_to(root) if path.is_relative_to(root) else path
            images[image_id] = Image(image_id, place.as_posix(), person.photo_sha256, shard)
    return list(images.values())
