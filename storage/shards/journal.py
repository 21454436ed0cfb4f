"""A journal: a file of lines that only grows, and that states itself how much of it is valid.

    {"bytes": "000000000458", "crc32": "9f1c33a0", "check": "07d1a2b4"}     two counts, of which one is newer
    {"bytes": "000000000298", "crc32": "11fe02c7", "check": "5a77b109"}
    ["0", ...]                                                              lines of JSON

A line is written after the valid bytes, its count over the older one of the two, and both are flushed to disk at once:
that is the commit, and its time does not depend on the length of the journal. A writer that was killed leaves bytes
that no count covers; a power cut may leave a count without its line, and then the other count fits. The next writer
overwrites both. A journal that was cut off or changed fits neither count: it is reported as damaged, not read as a
shorter one. For the last line alone, damage looks the same as a commit that was not finished.

The meaning of the lines is not known here.
"""

import json
import os
from pathlib import Path
from typing import Any, NamedTuple
from zlib import crc32

from storage.finished_file import small_file, write_bytes


class Count(NamedTuple):
    """Number of valid bytes of a journal, including its two counts, and the crc32 of its valid lines."""

    size: int
    crc32: int

    def line(self) -> bytes:
        """The count as a line of the journal, with its own checksum."""
        details = f'{{"bytes": "{self.size:012d}", "crc32": "{self.crc32:08x}", "check": '
        return f'{details}"{crc32(details.encode()):08x}"}}\n'.encode()

    def after(self, lines: bytes) -> "Count":
        """The count of a journal to which these lines are appended."""
        return Count(self.size + len(lines), crc32(lines, self.crc32))


_SIZE = len(Count(0, 0).line())
START = Count(2 * _SIZE, 0)
"""The count of a journal without lines."""


def write_journal(path: Path, lines: bytes) -> None:
    """Write a new journal with these lines."""
    write_bytes(path, 2 * START.after(lines).line() + lines)


def append(path: Path, head: bytes, count: Count, lines: bytes) -> tuple[bytes, Count] | None:
    """Commit lines to a journal of which head and count were read; the new ones, or None if it is damaged.

    Only one writer at a time may call this.
    """
    new = count.after(lines)
    older = _SIZE if head[:_SIZE] == count.line() else 0
    try:
        with open(path, "r+b", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            if size < count.size:
                return None
            if size > count.size:
                file.truncate(count.size)
            os.pwrite(file.fileno(), lines, count.size)
            os.pwrite(file.fileno(), new.line(), older)
            os.fsync(file.fileno())
    except FileNotFoundError:
        return None
    return head[:older] + new.line() + head[older + _SIZE :], new


def read_head(path: Path) -> bytes:
    """The bytes of both counts, which change with every commit; empty if there is no journal."""
    return small_file(path, 2 * _SIZE) or b""


def lines_since(path: Path, head: bytes, since: Count) -> tuple[Count, bytes] | None:
    """The newest count that fits, and the lines after those that `since` covers; None if the journal is damaged."""
    for count in sorted(_counts(head), reverse=True):
        if count.size >= since.size:
            lines = _between(path, since.size, count.size)
            if since.after(lines) == count:
                return count, lines
    return None


def parsed(lines: bytes) -> list[Any]:
    """The JSON values of lines, parsed all at once, which is several times faster than one by one."""
    return json.loads(b"[" + lines.rstrip(b"\n").replace(b"\n", b",") + b"]")


def _counts(head: bytes) -> list[Count]:
    """Those of the two counts that are whole."""
    counts = []
    for line in (head[:_SIZE], head[_SIZE:]):
        try:
            details = json.loads(line)
            count = Count(int(details["bytes"]), int(details["crc32"], 16))
        except (ValueError, KeyError, TypeError):
            continue
        if count.line() == line:
            counts.append(count)
    return counts


def _between(path: Path, start: int, stop: int) -> bytes:
    """The bytes of a file from start to stop, or as many as there are."""
    try:
        with open(path, "rb") as file:
            file.seek(start)
            return file.read(stop - start)
    except FileNotFoundError:
        return b""
