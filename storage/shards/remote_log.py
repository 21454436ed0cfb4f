"""Commits in an object store, where nothing can be appended to and nobody holds a lock: one numbered object each.

    _commits/00000001.jsonl       the lines of `storage.shards.entries` that commit 1 added
    _commits/00000256.all.jsonl   all lines up to 256, so that a reader need not fetch each
    _commits/newest.json          {"all": 256}: where to begin; only a hint

A writer uploads its files, then creates the object after the last one that it knows. Object stores let exactly one
writer create it; whoever was second reads what the first one wrote and tries the next number. So two writers lose
nothing, and no lock is left behind by one that was killed: its files belong to no commit, and no reader looks at them.
Files carry a part of their digest in their names, so no file is ever replaced by another.

A server that does not know such exclusive writes (`If-None-Match: *`) would let writers lose each other's shards. So
the first commit of a process tries it, and refuses to write if they do not hold.
"""

import json
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from storage.remote_path import RemotePath
from storage.schema import StoreError
from storage.shards.entries import Reading, StoredFile, StoredShard, lines_of, with_lines

_AT_ONCE, _EVERY = 32, 256  # commits fetched together; commits from one summary to the next

_readings: dict[RemotePath, Reading] = {}
_exclusive: set[str] = set()
"""Services that were found to hold exclusive writes."""


@dataclass(frozen=True)
class RemoteLog:
    """The commits of one version of a set of tables; the first of the prefixes has them."""

    folders: dict[str, RemotePath]

    @property
    def path(self) -> RemotePath:
        """The prefix of the commits."""
        return next(iter(self.folders.values())) / "_commits"

    def file(self, table: str, shard: str, stored: StoredFile | None) -> RemotePath:
        """The object of a shard's Parquet file."""
        part = f"-{stored.sha256[:16]}" if stored else ""
        return self.folders[table] / f"{shard}{part}.parquet"

    def begun(self) -> bool:
        """Whether anything was committed."""
        return self._commit(1).exists() or bool(self._summary())

    def forget(self) -> None:
        """The next reading is one of the object store alone."""
        _readings.pop(self.path, None)

    def reading(self) -> Reading:
        """The present content; of what was read before only the commits behind it are asked for."""
        before = _readings.get(self.path)
        known = before or self._from_summary()
        wanted = 1 if before else _AT_ONCE
        while True:
            numbers = range(known.number + 1, known.number + 1 + wanted)
            found = self.path.read_many([_name(number) for number in numbers])
            for number in numbers:
                if (lines := found.get(_name(number))) is None:
                    _readings[self.path] = known
                    return known
                if known is before:  # others still use it
                    known = known._replace(shards=known.shards.copy(), parts={k: {**v} for k, v in known.parts.items()})
                known = self._with(known, lines, number)
            wanted = _AT_ONCE

    def known(self, shard: str) -> StoredShard | None:
        """One shard; the commits are asked only if it is not among those that were read. It cannot have changed."""
        before = _readings.get(self.path)
        return before.shards.get(shard) if before and shard in before.shards else self.reading().shards.get(shard)

    def start(self) -> Reading:
        """What to commit after: what was read last, since `add` says whether that was all."""
        return _readings.get(self.path) or self.reading()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Nobody is kept out: `add` says whether somebody else was first."""
        yield

    @contextmanager
    def written(self, path: RemotePath, content: bytes | memoryview) -> Iterator[RemotePath]:
        """The bytes in their place, where no reader looks before the commit."""
        self._check_exclusive()
        path.write_bytes(content)
        yield path

    def put(self, files: Mapping[RemotePath, RemotePath]) -> None:
        """They are in their places."""

    def add(self, known: Reading, shards: Mapping[str, StoredShard]) -> bool:
        """Commit shards after what is known to be there; false if somebody else has committed meanwhile."""
        return self._add(known, lines_of(shards.items()))

    def replace(self, known: Reading, shards: Mapping[str, StoredShard]) -> bool:
        """Commit these shards in place of those that are known to be there; false as in `add`."""
        gone = [(name, None) for name in known.shards if name not in shards]
        new = [(name, shard) for name, shard in shards.items() if known.shards.get(name) != shard]
        if (gone or new) and not self._add(known, lines_of([*gone, *new])):
            return False
        self._summarise(self.reading())
        return True

    def wordy(self, known: Reading) -> bool:
        """Whether readers have commits to fetch that no summary holds."""
        return known.number > self._summary()

    def gaps(self) -> list[str]:
        """Commits that are lost: no reader sees those behind them."""
        summary, found = self._summary(), [path.name for path in self.path.glob("*.jsonl")]
        numbers = {int(name[:8]) for name in found if len(name) == len(_name(0))}
        lost = sorted(set(range(summary + 1, max(numbers, default=0))) - numbers)
        return [
            f"{self._commit(number)}: lost; restore it from a copy, or call `hmr-align store repair`" for number in lost
        ]

    def renumber(self, known: Reading) -> list[RemotePath]:
        """Commit again what lies behind a lost commit; returns the commits whose lines are in new ones now."""
        found = {int(path.name[:8]): path for path in self.path.glob("*.jsonl") if len(path.name) == len(_name(0))}
        behind = [found[number] for number in sorted(found) if number > known.number]
        lines = [path.read_bytes() for path in behind]
        for number, one in enumerate(lines, known.number + 1):
            self._commit(number).write_bytes(one)
        _readings.pop(self.path, None)
        return [path for path in behind if int(path.name[:8]) > known.number + len(lines)]

    def clock(self) -> float:
        """The time by the clock of the service, seconds since 1970."""
        probe = self._probe()
        probe.write_bytes(b"0")
        try:
            return probe.written()
        finally:
            probe.unlink(missing_ok=True)

    def strays(self, known: Reading, older_than: float) -> dict[RemotePath, int]:
        """Objects of no shard and summaries before the newest, written before this time; and their bytes.

        Commits stay, also those that a summary covers: a number that is free again would be taken by a writer that has
        not looked for long, and nobody would see what it wrote.
        """
        kept = {
            self.file(table, name, shard.file(table)) for name, shard in known.shards.items() for table in shard.files
        }
        kept.add(self.path / f"{self._summary():08d}.all.jsonl")
        found: dict[RemotePath, int] = {}
        for folder in self.folders.values():
            for path, (size, written) in folder.files().items():
                ours = path.parent == folder and path.suffix == ".parquet"
                old = path.parent == self.path and (path.name.endswith(".all.jsonl") or path.name.startswith("probe-"))
                if (ours or old) and path not in kept and written < older_than:
                    found[path] = size
        return found

    def remove_unfinished(self) -> list[RemotePath]:
        """Nothing is ever half done in an object store."""
        return []

    def _add(self, known: Reading, lines: bytes) -> bool:
        self._check_exclusive()
        number = known.number + 1
        if not self._commit(number).create(lines):
            self.reading()
            return False
        shards, parts = known.shards.copy(), {name: {**numbers} for name, numbers in known.parts.items()}
        _readings[self.path] = with_lines(known._replace(number=number, shards=shards, parts=parts), lines)
        if number % _EVERY == 0:
            self._summarise(_readings[self.path])
        return True

    def _commit(self, number: int) -> RemotePath:
        return self.path / _name(number)

    def _with(self, known: Reading, lines: bytes, number: int) -> Reading:
        try:
            return with_lines(known, lines)._replace(number=number)
        except (ValueError, TypeError) as error:
            raise StoreError(f"{self._commit(number)}: no commit ({error!r}); restore it from a copy") from error

    def _summarise(self, known: Reading) -> None:
        (self.path / f"{known.number:08d}.all.jsonl").write_bytes(lines_of(known.shards.items()))
        (self.path / "newest.json").write_bytes(json.dumps({"all": known.number}).encode())

    def _summary(self) -> int:
        """The number of the newest summary; 0 = there is none."""
        try:
            return int(json.loads((self.path / "newest.json").read_bytes())["all"])
        except FileNotFoundError:
            return 0
        except (ValueError, KeyError, TypeError) as error:
            raise StoreError(
                f"{self.path / 'newest.json'}: not what we wrote ({error!r}); remove it: the commits are enough"
            ) from error

    def _from_summary(self) -> Reading:
        number = self._summary()
        if not number:
            return Reading.empty(0)
        path = self.path / f"{number:08d}.all.jsonl"
        try:
            return self._with(Reading.empty(0), path.read_bytes(), number)
        except FileNotFoundError:
            raise StoreError(f"{path}: lost; restore it from a copy, or remove newest.json beside it") from None

    def _probe(self) -> RemotePath:
        return self.path / f"probe-{time.time_ns()}-{secrets.token_hex(4)}"

    def _check_exclusive(self) -> None:
        service = self.path.uri.split("/", 3)
        if (server := "/".join(service[:3])) in _exclusive:
            return
        probe = self._probe()
        try:
            if not probe.create(b"1") or probe.create(b"2"):
                raise StoreError(
                    f"{server}: this server overwrites what it was asked only to create (it ignores `If-None-Match`), "
                    "so two writers would lose each other's shards; use a newer server, or a store in a folder"
                )
        finally:
            probe.unlink(missing_ok=True)
        _exclusive.add(server)


def _name(number: int) -> str:
    return f"{number:08d}.jsonl"
