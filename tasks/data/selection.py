"""Which records of imported datasets a run takes: several files, one in so many, mixed by weights."""

import hashlib
import math
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from storage.sources import SourceError
from storage.sources.record import SCHEMA, VERSION, VERSION_KEY
from tasks.run.settings import Records, SettingsError, WeightedRecords


class Selected(NamedTuple):
    """Some people of datasets: n records, in the order in which they are worked on."""

    table: pa.Table  # columns of `storage.sources.record.SCHEMA`
    photos: tuple[Path, ...]  # the picture of each
    skipped: dict[str, int]  # records that cannot be taken, by reason
    counts: dict[str, int]  # people of each file

    def digest(self) -> str:
        """Of all that the records say and where their pictures are; short."""
        total = hashlib.sha256(repr([str(path) for path in self.photos]).encode())
        sink = pa.BufferOutputStream()
        table = pa.table({name: _plain(self.table[name]) for name in SCHEMA.names})
        with pa.ipc.new_stream(sink, table.schema) as stream:
            stream.write_table(table)
        total.update(sink.getvalue())
        return total.hexdigest()[:16]


def shares(available: Sequence[int], weights: Sequence[float], people: int | None) -> list[int]:
    """How many people of each set make a mixture of `people`, in proportion to the weights; nobody is taken twice.

    None: as many as the weights allow. Rounded by the largest remainder. Raises SettingsError if a set has too few.
    """
    total = math.fsum(weights)
    most = math.floor(min(size * total / weight for size, weight in zip(available, weights)) + 1e-9)
    exact = [(most if people is None else people) * weight / total for weight in weights]
    counts = [math.floor(value + 1e-9) for value in exact]
    missing = round(math.fsum(exact)) - sum(counts)
    for k in sorted(range(len(exact)), key=lambda k: (counts[k] - exact[k], k))[:missing]:
        counts[k] += 1
    for k, (wanted, size) in enumerate(zip(counts, available)):
        if wanted > size:
            raise SettingsError(
                f"[data] people = {people}: dataset {k + 1} of train would give {wanted} and has {size}; take at most "
                f"{most} people, or change the weights"
            )
    return counts


def mixture(sets: Sequence[WeightedRecords], people: int | None, seed: int) -> Selected:
    """People of several datasets mixed by weights; the same for the same seed, in a random order by picture.

    Raises SettingsError for a file that cannot be used, or a dataset that has too few people.
    """
    every = [_usable(one, for_truth=False) for one in sets]
    counts = shares([len(rows) for rows, _ in every], [one.weight for one in sets], people)
    parts = []
    for one, (rows, skipped), count in zip(sets, every, counts):
        random = np.random.default_rng([seed, zlib.crc32(one.records.name.encode())])
        parts.append(_read(one, np.sort(random.permutation(rows)[:count]), skipped))
    return _by_picture(_joined(parts), np.random.default_rng(seed))


def all_of(sets: Sequence[Records]) -> Selected:
    """All people of datasets that can be measured, in the order of the files.

    Raises SettingsError for a file that cannot be used.
    """
    return _joined([_read(one, *_usable(one, for_truth=True)) for one in sets])


def some_of(file: Path, rows: NDArray[np.int64], photos: Path) -> Selected:
    """The records of a file with these numbers, as far as they can be looked for in their pictures.

    Raises SettingsError if the file holds no records, or none of these can be used.
    """
    names = ["image_path", "bbox_xywh", "image_rotate90"]
    table = pq.read_table(_checked(file), columns=names).take(pa.array(rows))
    good, lost = np.ones(len(rows), bool), Counter[str]()
    for why, flags in _faults(table).items():
        lost[why] += int((good & flags).sum())
        good &= ~flags
    lost = {why: count for why, count in lost.items() if count}
    if not good.any():
        raise SettingsError(f"{file}: none of its records can be used ({_told(lost)})")
    return _read(Records(records=file, photos=photos), rows[good], lost)


def counted(sets: Sequence[Records], people: int | None = None) -> list[int]:
    """How many people `mixture` takes of each set, or `all_of` if they have no weights; without reading their labels.

    Raises SettingsError for a file that cannot be used, or a dataset that has too few people.
    """
    mixed = [one for one in sets if isinstance(one, WeightedRecords)]
    available = [len(_usable(one, for_truth=not mixed)[0]) for one in sets]
    return shares(available, [one.weight for one in mixed], people) if mixed else available


def some_pictures(one: Records, count: int) -> list[Path]:
    """The pictures of `count` records that can be taken, spread evenly over the dataset."""
    rows, _ = _usable(one, for_truth=False)
    some = rows[np.unique(np.linspace(0, len(rows) - 1, count).astype(int))]
    names = [name for file in files_of(one.records) for name in _names(file)]
    return [one.photos / names[row] for row in some]


def files_of(path: Path) -> list[Path]:
    """The file of records, or those of a folder. Raises SettingsError if there is none."""
    files = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
    if not files or not all(file.is_file() for file in files):
        raise SettingsError(
            f"[data] records = {path}: there is no such file of records; `hmr-align data import` writes one"
        )
    return files


def _usable(one: Records, for_truth: bool) -> tuple[NDArray[np.int64], dict[str, int]]:
    """Rows, counted through all files, that can be taken; and how many cannot, by reason."""
    names = ["split", "image_path", "bbox_xywh", "valid_eval", "kp3d", "global_orient", "image_rotate90"]
    parts, before = [], 0
    lost = Counter[str]()
    for file in files_of(one.records):
        table = pq.read_table(_checked(file), columns=names)
        splits = np.array(table["split"].to_pylist(), object)
        wanted = np.ones(len(table), bool) if one.split is None else splits == one.split
        if not wanted.any():
            held = ", ".join(sorted({name for name in splits if name})) or "no splits"
            raise SettingsError(f"[data] {file} has no record of split '{one.split}'; it has {held}")
        faults = _faults(table)
        if for_truth:
            nothing = [np.asarray(table[name].is_null()) for name in ("kp3d", "global_orient")]
            faults["that its dataset does not evaluate"] = ~table["valid_eval"].fill_null(True).to_numpy()
            faults["without joints or a body in space"] = nothing[0] & nothing[1]
        chosen = np.zeros(len(table), bool)
        chosen[np.flatnonzero(wanted)[:: one.stride]] = True
        for why, flags in faults.items():
            bad = chosen & flags
            if bad.any():
                lost[why] += int(bad.sum())
                chosen &= ~bad
        parts.append(before + np.flatnonzero(chosen))
        before += len(table)
    rows = np.concatenate(parts)
    if not len(rows):
        raise SettingsError(f"[data] {one.records}: none of its records can be used ({_told(lost)})")
    return rows, dict(lost)


def _faults(table: pa.Table) -> dict[str, NDArray[np.bool_]]:
    """Which records nobody can look for in a picture, by reason."""
    return {
        "without a picture's name": np.asarray(table["image_path"].is_null()),
        "without a box": np.asarray(table["bbox_xywh"].is_null()),
        "whose picture has to be turned first": table["image_rotate90"].fill_null(0).to_numpy() != 0,
    }


def _told(lost: Mapping[str, int]) -> str:
    return "; ".join(f"{count} {why}" for why, count in lost.items())


def _names(file: Path) -> list[str]:
    return pq.read_table(file, columns=["image_path"])["image_path"].to_pylist()


def _read(one: Records, rows: NDArray[np.int64], skipped: dict[str, int]) -> Selected:
    """The records with these row numbers, and their pictures."""
    parts, before = [], 0
    for file in files_of(one.records):
        for batch in pq.ParquetFile(file).iter_batches(8192, columns=SCHEMA.names):
            mine = rows[(rows >= before) & (rows < before + len(batch))] - before
            if len(mine):
                parts.append(pa.Table.from_batches([batch]).take(pa.array(mine)))
            before += len(batch)
    table = pa.concat_tables(parts) if parts else SCHEMA.empty_table()
    photos = tuple(one.photos / name for name in table["image_path"].to_pylist())
    return Selected(table, photos, skipped, {str(one.records): len(table)})


@lru_cache(maxsize=32)
def _known_version(file: Path, changed_ns: int) -> bool:
    try:
        return (pq.read_schema(file).metadata or {}).get(VERSION_KEY) == str(VERSION).encode()
    except (pa.ArrowInvalid, OSError):
        return False


def _checked(file: Path) -> Path:
    if not _known_version(file, file.stat().st_mtime_ns):
        raise SettingsError(f"[data] {file}: no records of this version; import the dataset by `hmr-align data import`")
    return file


def _joined(parts: Sequence[Selected]) -> Selected:
    lost = Counter[str]()
    for part in parts:
        lost.update(part.skipped)
    table = pa.concat_tables([part.table for part in parts]).unify_dictionaries().combine_chunks()
    counts = {name: count for part in parts for name, count in part.counts.items()}
    return Selected(table, tuple(path for part in parts for path in part.photos), dict(lost), counts)


def _by_picture(selected: Selected, random: np.random.Generator) -> Selected:
    """The records in a random order of their pictures, so that every shard holds some of each dataset."""
    pictures = list(dict.fromkeys(selected.photos))
    place = dict(zip(pictures, random.permutation(len(pictures)).tolist()))
    order = np.argsort([place[path] for path in selected.photos], kind="stable")
    return selected._replace(
        table=selected.table.take(pa.array(order)), photos=tuple(selected.photos[k] for k in order)
    )


def _plain(column: pa.ChunkedArray) -> pa.Array:
    """A column in one piece and without dictionary, whose order depends on how a file was written."""
    return (column.cast(pa.string()) if pa.types.is_dictionary(column.type) else column).combine_chunks()


def rows_at(table: pa.Table, some: Sequence[int]) -> Iterator[dict]:
    """Records as dictionaries, for what is done person by person. Raises SourceError for a row that is not there."""
    if some and max(some) >= len(table):
        raise SourceError(f"there is no record {max(some)} among {len(table)}")
    yield from table.take(pa.array(some, pa.int64())).to_pylist()
