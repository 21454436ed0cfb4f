"""What can be mended after a damaged disk or an incomplete copy, and what must be done again.

    a lost or damaged manifest    rebuilt from the files of its shards, each of which is read and checked
    damaged people                taken from the groups drawn for them, if these hold the very same people
    damaged answers of a critic   the verdicts stay, without the raw answers
    other damaged shards          set aside; the next run makes them again
    files of no shard             set aside

Nothing is thrown away: what is set aside lies in `_quarantine/`, under the path that it had.
"""

import json
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from storage.group_store import GroupStore
from storage.remote_path import Place, write_whole
from storage.rows import content_digest, earlier_content_digest, groups_of_rows, people_of_rows, rows_of_people
from storage.schema import TABLES, Encoded, StoreError, blocks_of, decode, encode
from storage.shards.entries import Reading, StoredFile, StoredShard, entry_of
from storage.shards.local_log import LocalLog
from storage.shards.manifest import Manifest, opened
from storage.shards.notes import notes_of

__all__ = ["QUARANTINE", "Mended", "repair"]

QUARANTINE = "_quarantine"
_GRACE = 3600.0  # s: in an object store, a younger file of no shard may be one that is about to be committed

AGAIN = {
    "people": "`hmr-align sample` finds these people again",
    "groups": "`hmr-align sample` draws them again from the same seeds",
    "scores": "`hmr-align critique` has them judged again; answers that were paid for are in answers.sqlite",
}


class Mended(NamedTuple):
    """One thing that was wrong."""

    where: str
    what: str  # was wrong and was done about it
    todo: str  # what must be done again; "" = nothing


def repair(store: GroupStore) -> Iterator[Mended]:
    """Mend a store; yields what was done. Run nothing else on the store meanwhile."""
    for manifest in store.manifests():
        with suppress(FileNotFoundError):
            yield from _manifest(store.place, manifest)
    for manifest in store.manifests():
        for name in manifest.shards():
            if manifest.damage(name):
                yield _shard(store, manifest, name)
        yield from _strays(store.place, manifest)


def _manifest(root: Place, manifest: Manifest) -> Iterator[Mended]:
    """Rebuild a manifest that is lost or cannot be read; in an object store, renumber commits after a lost one."""
    log = manifest.log
    log.forget()
    try:
        reading = log.reading()
        if log.gaps():
            kept = len(manifest.shards())
            for path in log.renumber(reading):
                _set_aside(root, path)
            after = len(manifest.shards())
            yield Mended(str(log.path), f"a commit was lost; the {after - kept} shards behind it are back", _LOST)
            return
        if (
            reading.number
            or log.begun()
            or not any(manifest.folders[table].glob("*.parquet") for table in _main(manifest))
        ):
            return
        why = "it was lost"
    except StoreError as error:
        if not isinstance(log, LocalLog):
            raise
        why = str(error).split(":", 1)[1].strip().split(";")[0]
    if not isinstance(log, LocalLog):
        return  # without a commit, these are files of a writer that was killed
    with log.alone():
        said = _lines(log)
        shards = _rebuilt(manifest, said)
        number = max([0, *(int(path.stem.rpartition("-")[2]) for path in log.path.parent.glob("_journal-*.jsonl"))])
        for path in [*log.path.parent.glob("_journal-*.jsonl"), log.path]:
            if path.exists():
                _set_aside(root, path)
        log.replace(Reading.empty(number), shards)
        log.forget()
    lost = "; the times at which they were written are those of the files" if len(said) < len(shards) else ""
    yield Mended(str(log.path), f"{why}: rebuilt with {len(shards)} shards from their files{lost}", "")


_LOST = "what the lost commit added is gone: run again what made it"


def _main(manifest: Manifest) -> list[str]:
    """The tables without which a shard is none: all but the raw answers."""
    return [table for table in manifest.folders if table != "replies"]


def _lines(log: LocalLog) -> dict[str, StoredShard]:
    """The lines of the journals that can still be read, by shard."""
    found: dict[str, StoredShard] = {}
    for path in sorted(log.path.parent.glob("_journal-*.jsonl")):
        for line in path.read_bytes().splitlines():
            with suppress(ValueError, TypeError):
                name, *fields = json.loads(line)
                found[name] = StoredShard(*fields)
    return found


def _rebuilt(manifest: Manifest, said: dict[str, StoredShard]) -> dict[str, StoredShard]:
    """The shards whose files are whole. Lines that can still be read count if they fit their files."""
    shards = {}
    names = {path.stem for table in _main(manifest) for path in manifest.folders[table].glob("*.parquet")}
    for name in sorted(names | said.keys()):
        if (line := said.get(name)) and _fits(manifest, name, line):
            shards[name] = line
        elif found := _read(manifest, name):
            shards[name] = found
    return shards


def _fits(manifest: Manifest, name: str, shard: StoredShard) -> bool:
    for table in shard.files:
        path, stored = manifest.log.file(table, name, None), shard.file(table)
        if not isinstance(path, Path) or not path.exists() or not stored or not stored.fits(path.read_bytes()):
            return False
    return True


def _read(manifest: Manifest, name: str) -> StoredShard | None:
    """A shard made of its files; None if they are none, or do not belong together."""
    tables: dict[str, pa.Table] = {}
    files: dict[str, StoredFile] = {}
    written = 0
    try:
        for table in manifest.folders:
            path: Any = manifest.log.file(table, name, None)
            if not path.exists():
                if table in _main(manifest):
                    return None
                tables[table] = TABLES[table].empty_table()
                continue
            with opened(path) as file:
                content = file.read()
            tables[table] = decode(content, TABLES[table], str(path))
            files[table] = _entry(content, len(tables[table]))
            written = max(written, path.stat().st_mtime_ns)
        if "hyps" in tables:
            groups_of_rows(tables["groups"], tables["hyps"])
    except (StoreError, OSError, pa.ArrowException):
        return None
    noted = notes_of(tables)
    return StoredShard(content_digest(tables), written, {table: one.as_list() for table, one in files.items()}, noted)


def _entry(content: bytes, rows: int) -> StoredFile:
    return entry_of(Encoded(rows, memoryview(content), blocks_of(pa.py_buffer(content))))


def _shard(store: GroupStore, manifest: Manifest, name: str) -> Mended:
    """Mend a shard of which a file is damaged or lost."""
    shard = manifest.shards()[name]
    bad = [table for table in shard.files if not _whole(manifest, table, name)]
    where = f"{manifest.path.parent}: shard {name}"
    if bad == ["replies"]:
        _take_away(store.place, manifest, bad, name)
        kept = {table: files for table, files in shard.files.items() if table != "replies"}
        manifest.replace(lambda shards: shards | {name: shard._replace(files=kept)})
        return Mended(where, "the critic's raw answers were damaged: its verdicts are kept without them", "")
    if bad == ["people"] and (people := _people_from_groups(store, name, shard)):
        encoded = encode(people)
        entry = entry_of(encoded)
        _take_away(store.place, manifest, bad, name)
        write_whole(manifest.log.file("people", name, entry), bytes(encoded.content))
        manifest.replace(lambda shards: shards | {name: shard._replace(files={"people": entry.as_list()})})
        return Mended(where, "people were damaged: taken from the groups drawn for them, which hold the same", "")
    _take_away(store.place, manifest, list(shard.files), name)
    manifest.replace(lambda shards: {known: one for known, one in shards.items() if known != name})
    return Mended(where, f"{' and '.join(bad)} damaged: set aside", AGAIN[next(iter(manifest.folders))])


def _whole(manifest: Manifest, table: str, name: str) -> bool:
    try:
        manifest.read(table, name)
    except StoreError:
        return False
    return True


def _people_from_groups(store: GroupStore, name: str, shard: StoredShard) -> pa.Table | None:
    """The people of a shard as the groups of a generation hold them, if these are all of them."""
    for gen in store.gens():
        with suppress(StoreError):
            rows = store.group_rows(gen, name)
            tables = rows_of_people(people_of_rows(rows))
            if shard.content in (content_digest(tables), earlier_content_digest(tables)):
                return tables["people"]
    return None


def _take_away(root: Place, manifest: Manifest, tables: list[str], name: str) -> None:
    for table in tables:
        path = manifest.file(table, name)
        if path.exists():
            _set_aside(root, path)


def _strays(root: Place, manifest: Manifest) -> Iterator[Mended]:
    grace = 0.0 if isinstance(manifest.log, LocalLog) else _GRACE
    with manifest.log.alone():
        for path in manifest.strays(grace):
            if path.suffix == ".parquet":
                _set_aside(root, path)
                yield Mended(str(path), "belongs to no shard: set aside", "")


def _set_aside(root: Place, path: Any) -> None:
    """Move a file to the quarantine."""
    place: Any = root / QUARANTINE / str(path.relative_to(root))
    if place.exists():
        place = place.with_name(f"{time.time_ns()}-{place.name}")
    write_whole(place, path.read_bytes())
    path.unlink()
