"""The user's own people in the place of a split of the studio: what is found of their records, and their truth."""

import hashlib
import logging
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from hmr.body.body import Body
from hmr.detection.pose_networks import detector_digest
from hmr.pretraining.labels import KnownPeople
from storage.finished_file import remove_strays
from storage.records import Person
from tasks.data.record_people import find_records, read_found, record_shards
from tasks.data.selection import Selected, all_of, files_of, mixture
from tasks.data.truth import TOO_FEW, record_truth
from tasks.run.settings import Records, SettingsError, WeightedRecords
from tasks.run.shard_task import task

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ImportedPeople:
    """Records of datasets, and the folder in which what is found of them is kept for all runs."""

    split: str  # train, val or test: what they are used as
    sets: tuple[WeightedRecords | Records, ...]
    cache: Path
    crop_margin: float
    focal_px: float | None = None
    shard_size: int = 64
    processes: int = 1
    people: int | None = None  # of a mixture
    seed: int | None = None  # of a mixture; None = all people of the sets, in order

    @property
    def name(self) -> str:
        """The files, for tables: "test: 3dpw-test.parquet"."""
        return f"{self.split}: {', '.join(one.records.name for one in self.sets)}"


class FoundRecords(NamedTuple):
    """Where the people found for some records are."""

    folder: Path
    shards: tuple[str, ...]
    chosen: int  # records
    skipped: dict[str, int]  # records that are not among them, by reason


class Measurable(NamedTuple):
    """People found for records, with their truth; n rows."""

    people: list[Person]
    truth: KnownPeople
    about: dict[str, str]
    found: FoundRecords


def selected(people: ImportedPeople) -> Selected:
    """The records. Raises SettingsError for a file that cannot be used."""
    states = tuple((file, file.stat().st_mtime_ns) for one in people.sets for file in files_of(one.records))
    return _selected(people, states)


@lru_cache(maxsize=4)
def _selected(people: ImportedPeople, states: tuple) -> Selected:
    if people.seed is None:
        return all_of(people.sets)
    sets = [one for one in people.sets if isinstance(one, WeightedRecords)]
    return mixture(sets, people.people, people.seed)


def look_at_records(people: ImportedPeople) -> FoundRecords:
    """Find the people of the records; what was found before is read back. Raises SettingsError for an unusable file."""
    chosen = selected(people)
    how = (people.crop_margin, people.focal_px, people.shard_size, detector_digest())
    key = hashlib.sha256(repr((chosen.digest(), how)).encode()).hexdigest()[:16]
    folder = people.cache / f"{people.split}-{key}"
    remove_strays(folder)
    skipped = Counter(chosen.skipped)
    shards = record_shards(chosen, people.shard_size, people.split)
    for name, rows in shards:
        skipped.update(
            find_records(
                chosen, name, rows, folder, labels=False, crop_margin=people.crop_margin, focal_px=people.focal_px,
                processes=people.processes,
            )
        )  # fmt: skip
    if skipped:
        log.info("%s: left out %s", people.name, "; ".join(f"{count} {why}" for why, count in skipped.items()))
    return FoundRecords(folder, tuple(name for name, _ in shards), len(chosen.photos), dict(skipped))


@task(task_run_name="find people in {name}", retries=2, retry_delay_seconds=(2, 10))
def find_record_shard(
    people: ImportedPeople, name: str, rows: tuple[int, ...], folder: Path, processes: int = 1
) -> dict[str, int]:
    """Find the people of some records for a run in `folder`, with the dataset's 2-D keypoints beside what is detected.

    Returns how many records are left out, by reason; a finished shard is read back.
    """
    return find_records(
        selected(people), name, rows, folder, labels=True, crop_margin=people.crop_margin, focal_px=people.focal_px,
        processes=processes,
    )  # fmt: skip


def measurable_people(body_model: Body, people: ImportedPeople) -> Measurable:
    """The people whose truth is known under a body. Raises SettingsError if there is nobody, or a file is unusable."""
    found = look_at_records(people)
    everybody, records = read_found(found.folder, found.shards)
    truth = record_truth(body_model, records)
    kept = [person for person, known in zip(everybody, truth.kept) if known]
    lost = len(everybody) - len(kept)
    skipped = {**found.skipped, **({TOO_FEW: lost} if lost else {})}
    if not kept:
        details = "; ".join(f"{count} {why}" for why, count in skipped.items())
        raise SettingsError(
            f"[data] {people.name}: nobody can be measured ({details}). Give records with joints in space, or with "
            "parameters of the body in use ([base] body), and --photos as at their import"
        )
    return Measurable(kept, truth.people, truth.about, found._replace(skipped=skipped))
