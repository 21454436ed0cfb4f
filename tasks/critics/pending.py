"""Groups that could not be judged, and why: those that are tried again, and those whose fault is final.

Pending groups have no verdict, so they are not in the store but in the run's folder, in one file per shard, with the
reason and how many runs have tried to judge them: `pending/<critic>/<generation>/<shard>.json`.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from storage.finished_file import read_again, write_text
from storage.group_store import GroupStore
from storage.records import PASSING, UNREADABLE, Verdict

FOLDER = "pending"
MOST_TOLD = 20  # reasons in a text
REASON_LIMIT = 200  # characters of a reason in a table


class NotJudged(Exception):
    """No hypothesis could be judged; the message holds the reasons with their counts."""

    def __init__(self, message: str, counts: dict[str, int]) -> None:
        super().__init__(message)
        self.counts = counts


class Unjudged(NamedTuple):
    """One reason why hypotheses have no score."""

    status: str
    reason: str
    groups: int
    hypotheses: int

    @property
    def next(self) -> str:
        """What happens to them in the next run."""
        if self.status in PASSING or not self.status:
            return "asked again by the next critique"
        return "final; --retry-abstained asks again" if self.status in UNREADABLE else "final"


def note_pending(
    folder: Path, critic: str, gen: str, shard: str, asked: Iterable[str], verdicts: Iterable[Verdict]
) -> None:
    """Store which of the judged groups are pending, and remove those that no longer are."""
    file = _file(folder, critic, gen, shard)
    known = _read(file)
    before = {group_id: known.pop(group_id, {}) for group_id in asked}
    for verdict in verdicts:
        place = next(k for k, status in enumerate(verdict.statuses) if status in PASSING)
        known[verdict.group_id] = {
            "status": verdict.statuses[place],
            "reason": verdict.comments[place],
            "hypotheses": len(verdict.scores),
            "tries": before.get(verdict.group_id, {}).get("tries", 0) + 1,
        }
    if known != _read(file):
        write_text(file, json.dumps(known, indent=1))


def unjudged(store: GroupStore, folder: Path, critic: str, gens: Iterable[str]) -> list[Unjudged]:
    """Why hypotheses of some generations have no score of a critic, the most frequent reason first."""
    groups: Counter[tuple[str, str]] = Counter()
    hypotheses: Counter[tuple[str, str]] = Counter()
    for gen in gens:
        for shard in store.group_shards(gen):
            sizes, noted = store.hypotheses_of(gen, shard), _read(_file(folder, critic, gen, shard))
            waiting = set(store.unjudged(gen, critic, shard))
            verdicts = {}
            if shard in store.verdict_shards(gen, critic):
                verdicts = {verdict.group_id: verdict for verdict in store.read_verdicts(gen, critic, shard)}
            for group_id, size in sizes.items():
                found: Counter[tuple[str, str]] = Counter()
                if group_id in waiting and group_id in noted:
                    found[noted[group_id]["status"], _plain(noted[group_id]["reason"])] = size
                elif group_id in verdicts:
                    details = verdicts[group_id]
                    pairs = zip(details.statuses, details.comments)
                    found.update((status, _plain(words)) for status, words in pairs if status != "ok")
                elif group_id in waiting:
                    found["", "not asked about yet"] = size
                groups.update(found.keys())
                hypotheses.update(found)
    return [Unjudged(*key, groups[key], count) for key, count in hypotheses.most_common()]


def reasons_text(rows: Sequence[Unjudged]) -> str:
    """The most frequent reasons as text, one a line."""
    more = [f"  and {len(rows) - MOST_TOLD} other reasons"] if len(rows) > MOST_TOLD else []
    details = [
        f"  {row.hypotheses} hypotheses of {row.groups} groups: {row.status or 'pending'}"
        f"{f' ({row.reason})' if row.reason else ''}; {row.next}"
        for row in rows[:MOST_TOLD]
    ]
    return "\n".join([*details, *more])


def _plain(reason: str) -> str:
    """A reason without what differs from case to case."""
    return re.sub(r" \(tries: [0-9]+\)$", "", reason)[:REASON_LIMIT]


def _file(folder: Path, critic: str, gen: str, shard: str) -> Path:
    return folder / FOLDER / quote(critic, safe="@") / gen / f"{shard}.json"


def _read(file: Path) -> dict[str, Any]:
    return read_again(file, lambda path: json.loads(path.read_text())) or {}
