"""The people of imported records, found in their pictures: a store of people, and their records beside it.

    store/people/<shard>.parquet    as of photographs
    records/<shard>.parquet         the records of these people, with a column `group_id`

The detector looks at each record's box; what it sees is what base models read, as in any photograph. The dataset's 2-D
keypoints, if wanted, are kept beside it for critics. The camera is guessed as for photographs.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from hmr.detection.labelled_person import labelled_person
from hmr.detection.photograph import PhotographError, read_photograph
from hmr.processes import in_processes
from storage.finished_file import finished_file, read_again
from storage.group_store import GroupStore
from storage.records import Person
from tasks.data.labelled_points import landmarks_of
from tasks.data.selection import Selected, rows_at
from tasks.groups.people import person_record
from tasks.groups.photograph_list import UNNAMED, short_form

RECORDS = "records"
"""Folder of the records beside a store of people."""
SKIPPED = b"hmr-align.skipped"
NO_PICTURE = "without a picture"
OTHER_SIZE = "with a picture of another size than the record says"


class Looked(NamedTuple):
    """The people of one picture, or of one shard."""

    people: list[Person]
    rows: list[int]  # number of the record of each, in the selection
    skipped: dict[str, int]  # records whose person is not among them, by reason


@dataclass(frozen=True)
class _Picture:
    """A picture and the records that are about it."""

    path: Path
    rows: tuple[int, ...]
    records: tuple[Mapping[str, Any], ...]
    labels: bool  # keep the dataset's 2-D keypoints for critics
    crop_margin: float
    focal_px: float | None


def record_shards(selected: Selected, size: int, prefix: str) -> list[tuple[str, list[int]]]:
    """Names and records of parts of `size` pictures each; all records of a picture are in one part."""
    by_photo: dict[Path, list[int]] = {}
    for k, path in enumerate(selected.photos):
        by_photo.setdefault(path, []).append(k)
    parts = list(by_photo.values())
    return [
        (f"{prefix}-{number:04d}", [row for rows in parts[start : start + size] for row in rows])
        for number, start in enumerate(range(0, len(parts), size))
    ]


def find_records(
    selected: Selected, name: str, rows: Sequence[int], folder: Path, *, labels: bool, crop_margin: float,
    focal_px: float | None, processes: int = 1,
) -> dict[str, int]:  # fmt: skip
    """Find the people of some records, commit them as one shard, and return whom it left out, by reason.

    A finished shard is read back.
    """
    store, beside = GroupStore(folder / "store"), records_file(folder, name)
    if name in store.people_shards() and (kept := read_again(beside, _skipped_in)) is not None:
        return kept
    jobs = list(_pictures(selected, rows, labels, crop_margin, focal_px))
    looked = list(in_processes(_look, jobs, processes))
    people = [person for one in looked for person in one.people]
    taken = [row for one in looked for row in one.rows]
    skipped = Counter[str]()
    for one in looked:
        skipped.update(one.skipped)
    table = selected.table.take(pa.array(taken, pa.int64()))
    table = table.append_column("group_id", pa.array([person.group_id for person in people], pa.string()))
    about = {**(table.schema.metadata or {}), SKIPPED: json.dumps(skipped).encode()}
    with finished_file(beside) as unfinished:
        pq.write_table(table.replace_schema_metadata(about), unfinished, compression="zstd")
    store.write_people(name, people)
    return dict(skipped)


def records_file(folder: Path, shard: str) -> Path:
    """File with the records of a shard's people."""
    return folder / RECORDS / f"{shard}.parquet"


def read_found(folder: Path, shards: Sequence[str]) -> tuple[list[Person], pa.Table]:
    """The people of some shards, and the record of each in the same order."""
    store = GroupStore(folder / "store")
    people = [person for name in shards for person in store.read_people(name)]
    tables = [pq.read_table(records_file(folder, name)) for name in shards]
    table = pa.concat_tables([one.replace_schema_metadata(None) for one in tables]).combine_chunks()
    place = {key: k for k, key in enumerate(table["group_id"].to_pylist())}
    return people, table.take(pa.array([place[person.group_id] for person in people], pa.int64()))


def _skipped_in(path: Path) -> dict[str, int]:
    return json.loads(pq.read_schema(path).metadata[SKIPPED])


def _pictures(
    selected: Selected, rows: Sequence[int], labels: bool, crop_margin: float, focal_px: float | None
) -> Iterator[_Picture]:
    by_photo: dict[Path, list[tuple[int, Mapping[str, Any]]]] = {}
    for row, record in zip(rows, rows_at(selected.table, rows)):
        by_photo.setdefault(selected.photos[row], []).append((row, record))
    for path, found in by_photo.items():
        yield _Picture(path, *zip(*found), labels, crop_margin, focal_px)  # type: ignore[arg-type]


def _look(job: _Picture) -> Looked:
    """The people of one picture. Each record's person is looked for at its own box."""
    try:
        photograph = read_photograph(job.path)
    except PhotographError:
        return Looked([], [], {NO_PICTURE: len(job.rows)})
    height, width = photograph.pixels.shape[:2]
    people, rows, skipped = [], [], Counter[str]()
    for row, record, number in zip(job.rows, job.records, numbers_of(job.records)):
        if record["image_wh"] is not None and tuple(map(round, record["image_wh"])) != (width, height):
            skipped[OTHER_SIZE] += 1
            continue
        marks = landmarks_of(record)
        left, top, wide, high = record["bbox_xywh"]
        box = np.array([left, top, left + wide, top + high], np.float64)
        found = labelled_person(photograph.pixels, box, marks, job.crop_margin)
        if isinstance(found, str):
            skipped[found] += 1
            continue
        person = person_record(job.path, photograph, 0, found, job.focal_px)
        short = short_form(f"{record['dataset']}-{job.path.stem}") or UNNAMED
        group_id = f"{short}-{photograph.sha256[:8]}-p{number}"
        people.append(replace(person, group_id=group_id, labels=marks if job.labels else None))
        rows.append(row)
    return Looked(people, rows, dict(skipped))


def numbers_of(records: Sequence[Mapping[str, Any]]) -> list[str]:
    """A number for each record of one picture: its row in the file; the person's number where several people share a
    row, as in files that hold a row for each frame.
    """
    for key in ("source_row", "person_id"):
        numbers = [str(record[key]) for record in records]
        if len(set(numbers)) == len(numbers) and all(number.isdigit() for number in numbers):
            return numbers
    return [str(k) for k in range(len(records))]
