"""What is known of a shard: the lines of a manifest, and what a process has read of one. No I/O.

["free-0001", content, written_ns, {table: [rows, sha256, bytes, crc32, ...]}, {...}]     a shard
["free-0001"]                                                                             it is no longer one
"""

import hashlib
import json
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, NamedTuple
from zlib import crc32

from storage.schema import Encoded
from storage.shards.journal import START, Count, parsed

__all__ = ["Reading", "StoredFile", "StoredShard", "entry_of", "line", "lines_of", "natural", "placed", "with_lines"]

_PART = re.compile(r"(.+)\+[0-9]+")


class StoredFile(NamedTuple):
    """The manifest's entry of one file."""

    rows: int
    sha256: str
    blocks: tuple[tuple[int, int], ...] = ()  # bytes and crc32 of each: see `Encoded`; none by version 0.1

    def as_list(self) -> list:
        """As `StoredShard.files` has it."""
        return [self.rows, self.sha256, *(number for block in self.blocks for number in block)]

    def fits(self, content: bytes | memoryview) -> bool:
        """Whether these are the bytes of the file. Checksums of blocks take less time than sha256."""
        if not self.blocks:
            return hashlib.sha256(content).hexdigest() == self.sha256
        view = memoryview(content)
        return len(content) == sum(size for size, _ in self.blocks) and all(
            crc32(view[start : start + size]) == check for start, size, check in placed(self)
        )


class StoredShard(NamedTuple):
    """The manifest's entry of one shard: the fields are those of its line."""

    content: str  # digest of the records, see rows.content_digest
    written_ns: int  # when it was committed, ns since 1970
    files: dict[str, list]  # by table: rows, sha256, and bytes and crc32 of each block; a table without rows has none
    noted: dict[str, Any]  # by the writer, so that a list of shards needs no file of them

    def file(self, table: str) -> StoredFile | None:
        """The entry of one file; None for a table without rows. Made on demand: there may be tens of thousands."""
        if table not in self.files:
            return None
        rows, sha256, *blocks = self.files[table]
        return StoredFile(rows, sha256, tuple(zip(blocks[::2], blocks[1::2])))


class Reading(NamedTuple):
    """What this process has read of a manifest. `shards` and `parts` grow with the log, in all readings."""

    number: int  # of the journal or the commit; 0 = there is none, or version 0.1 wrote the manifest
    head: bytes  # of a journal, as it was then
    counted: Count  # of a journal
    shards: dict[str, StoredShard]
    parts: dict[str, dict[str, None]]  # name -> the names with +k behind it

    @staticmethod
    def empty(number: int) -> "Reading":
        """Nothing read yet of journal `number`."""
        return Reading(number, b"", START, {}, {})

    def hold(self, name: str, shard: StoredShard | None) -> None:
        """Add a shard, or with None remove it. Raises ValueError for a name that leaves the folder."""
        if "/" in name or "\\" in name or "\0" in name:
            raise ValueError(f"shard '{name}' lies in no folder of the store")
        part = _PART.fullmatch(name) if "+" in name else None
        if shard is None:
            self.shards.pop(name, None)
            if part:
                self.parts.get(part[1], {}).pop(name, None)
            return
        self.shards[name] = shard
        if part:
            self.parts.setdefault(part[1], {})[name] = None


def with_lines(reading: Reading, lines: bytes) -> Reading:
    """The reading with these lines too; of two lines on one shard the later counts. Raises ValueError or TypeError."""
    for name, *fields in parsed(lines):
        reading.hold(name, StoredShard(*fields) if fields else None)
    return reading


def line(name: str, shard: StoredShard | None) -> bytes:
    """A shard as a line; None says that it is no longer one."""
    return json.dumps([name, *(shard or ())]).encode() + b"\n"


def lines_of(shards: Iterable[tuple[str, StoredShard | None]]) -> bytes:
    """Shards as lines."""
    return b"".join(line(name, shard) for name, shard in shards)


def entry_of(encoded: Encoded) -> StoredFile:
    """The entry of a file, with its checksums."""
    blocks, start = [], 0
    for size in encoded.blocks:
        blocks.append((size, crc32(encoded.content[start : start + size])))
        start += size
    return StoredFile(encoded.rows, hashlib.sha256(encoded.content).hexdigest(), tuple(blocks))


def placed(stored: StoredFile) -> list[tuple[int, int, int]]:
    """Start, bytes and crc32 of each block."""
    found, start = [], 0
    for size, check in stored.blocks:
        found.append((start, size, check))
        start += size
    return found


@lru_cache(maxsize=1 << 17)
def natural(name: str) -> tuple[str | int, ...]:
    """Sort key under which "round2" comes before "round10"."""
    return tuple(int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", name))
