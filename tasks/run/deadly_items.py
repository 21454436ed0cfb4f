"""Which item a process died on, so that one it always dies on is left out and the others are done.

A photograph that is bad is a fault with a reason. One that makes a library crash, or eats all memory, ends the process
without a word, and the next run would end at the same place. So what is begun is noted in a file before, and removed
from it when it has ended; what still stands there at the next start is what the process died on.

That alone convicts nobody: machines lose power, and processes are killed for reasons of their own. So after some deaths
an item is tried in a process of its own. If that one dies and this one lives, it is the item; else it is innocent.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from storage.finished_file import read_again, write_text

MOST = 5
"""Deaths in a row after which an item is suspected."""


class Deaths(NamedTuple):
    """How often a process died while it worked on an item; one more than `MOST`: also in a process of its own."""

    file: Path
    counts: dict[str, int]

    def suspected(self, item: str) -> bool:
        """Whether an item is to be tried in a process of its own."""
        return self.counts.get(item, 0) == MOST

    def convict(self, item: str) -> None:
        """Note that an item killed a process of its own: it is left out from now on."""
        self.counts[item] = MOST + 1
        self._write(self.counts)

    def quarantined(self, item: str) -> str | None:
        """Why an item is left out; None if it is not."""
        count = self.counts.get(item, 0)
        if count <= MOST:
            return None
        why = f"the process died {count} times while it worked on it, at last one that did nothing else"
        return f"left out: {why} (to try it again, remove {self.file})"

    def begin(self, items: Iterable[str]) -> None:
        """Note that work on these items begins: until they are ended, each counts as one more death."""
        begun = set(items)
        counts = {item: self.counts.get(item, 0) for item in {*self.counts, *begun}}
        self._write({item: min(n + 1, MOST) if item in begun else n for item, n in counts.items()})

    def end(self, item: str) -> None:
        """Note that an item was worked on without dying."""
        if self.counts.pop(item, None) is not None:
            self._write(self.counts)

    def end_all(self) -> None:
        """All are done: what was quarantined stays noted, the rest is forgotten."""
        left = {item: count for item, count in self.counts.items() if count > MOST}
        if left:
            self._write(left)
        else:
            self.file.unlink(missing_ok=True)

    def _write(self, counts: dict[str, int]) -> None:
        write_text(self.file, json.dumps(counts, sort_keys=True))


def deaths(file: Path) -> Deaths:
    """What the file says of earlier processes."""
    return Deaths(file, read_again(file, lambda path: dict(json.loads(path.read_text()))) or {})
