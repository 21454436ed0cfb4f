"""Every paid answer, stored unchanged: the response cache and the ledger of one run, in one file.

An answer is found by what was asked: a digest of address, model, prompt, pictures, memory and settings. So a killed run
asks again only what was in progress, and a repeated judgement costs nothing. To have everything asked again, remove the
file. Requests and keys are not stored.
"""

import hashlib
import json
import sqlite3
import zlib
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

FILE = "answers.sqlite"
"""Name of the file in a run's folder."""

_TABLES = """
CREATE TABLE IF NOT EXISTS answers (
    asked TEXT, critic TEXT, model TEXT, body BLOB,
    prompt_tokens INTEGER, cached_tokens INTEGER, completion_tokens INTEGER, money REAL,
    seconds REAL, tries INTEGER, answered TEXT
);
CREATE INDEX IF NOT EXISTS by_asked ON answers (asked);
CREATE TABLE IF NOT EXISTS batches (id TEXT PRIMARY KEY, critic TEXT, rows INTEGER, collected INTEGER);
CREATE TABLE IF NOT EXISTS adaptations (critic TEXT, change TEXT, told TEXT, PRIMARY KEY (critic, change));
"""


class KeptAnswer(NamedTuple):
    """One answer, and the tokens, money and time that it took."""

    body: str  # of the HTTP response
    model: str
    prompt_tokens: int
    cached_tokens: int  # prompt tokens that the server had in its own cache
    completion_tokens: int
    money: float
    seconds: float
    tries: int


class Spent(NamedTuple):
    """What answers took together: tokens, money and time."""

    critic: str
    answers: int
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    money: float
    seconds: float  # sum over answers, many of which ran at the same time


def digest_of(address: str, request: Any) -> str:
    """Digest of a request to an address, as 64 hex digits; long texts (pictures) enter by their own digest."""

    def short(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: short(item) for key, item in value.items()}
        if isinstance(value, list):
            return [short(item) for item in value]
        if isinstance(value, str) and len(value) > 4096:
            return hashlib.sha256(value.encode(errors="surrogatepass")).hexdigest()
        return value

    return hashlib.sha256(json.dumps([address, short(request)], sort_keys=True).encode()).hexdigest()


@dataclass
class AnswerCache:
    """The answers of a run in its file; without a path only the sums are kept. Several processes may use one file.

    read_only: for who only looks: nothing is made or changed, and the file must be there.
    """

    path: Path | None = None
    read_only: bool = False

    def __enter__(self) -> "AnswerCache":
        if self.path is not None and self.read_only:
            at_rest = not self.path.with_name(f"{self.path.name}-wal").exists()  # else somebody writes at this moment
            how = "immutable=1" if at_rest else "mode=ro"
            self._file = sqlite3.connect(f"{self.path.absolute().as_uri()}?{how}", uri=True, check_same_thread=False)
            return self
        if self.path is not None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = sqlite3.connect(self.path or ":memory:", timeout=60, check_same_thread=False)
        self._file.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;" + _TABLES)
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def get(self, asked: str) -> KeptAnswer | None:
        """The last answer to the request with this digest; None if there is none."""
        columns = "body, model, prompt_tokens, cached_tokens, completion_tokens, money, seconds, tries"
        where = "WHERE asked = ? AND body IS NOT NULL ORDER BY rowid DESC LIMIT 1"
        row = self._file.execute(f"SELECT {columns} FROM answers {where}", (asked,)).fetchone()
        return None if row is None else KeptAnswer(zlib.decompress(row[0]).decode(), *row[1:])

    def put(self, asked: str, critic: str, answer: KeptAnswer) -> None:
        """Store an answer; when this returns, it survives a kill of the process."""
        body = None if self.path is None else zlib.compress(answer.body.encode(errors="replace"), 1)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        with self._file:
            row = (asked, critic, answer.model, body, *answer[2:], now)
            self._file.execute(f"INSERT INTO answers VALUES ({', '.join('?' * len(row))})", row)

    def ledger(self) -> list[Spent]:
        """What each critic's answers took, one entry per critic."""
        sums = "sum(prompt_tokens), sum(cached_tokens), sum(completion_tokens), sum(money), sum(seconds)"
        rows = self._file.execute(f"SELECT critic, count(*), {sums} FROM answers GROUP BY critic ORDER BY critic")
        return [Spent(*row) for row in rows]

    def money(self) -> float:
        """All money spent, in the currency of the configured prices."""
        return float(self._file.execute("SELECT coalesce(sum(money), 0) FROM answers").fetchone()[0])

    def tokens(self) -> int:
        """All tokens sent and received."""
        sent = "coalesce(sum(prompt_tokens + completion_tokens), 0)"
        return int(self._file.execute(f"SELECT {sent} FROM answers").fetchone()[0])

    def adapt(self, critic: str, change: str, details: str) -> None:
        """Remember which part of a critic's requests a server refuses, so that this is found out only once."""
        with self._file:
            self._file.execute("INSERT OR REPLACE INTO adaptations VALUES (?, ?, ?)", (critic, change, details))

    def adaptations(self, critic: str) -> dict[str, str]:
        """The critic's adaptations: change -> its description."""
        if not self._file.execute("SELECT 1 FROM sqlite_master WHERE name = 'adaptations'").fetchone():
            return {}  # a file of an earlier version, which is only read
        asked = "SELECT change, told FROM adaptations WHERE critic = ? ORDER BY rowid"
        return dict(self._file.execute(asked, (critic,)).fetchall())

    def add_batch(self, id: str, critic: str, rows: int) -> None:
        """Remember a batch that was sent, with its number of rows."""
        with self._file:
            self._file.execute("INSERT INTO batches VALUES (?, ?, ?, 0)", (id, critic, rows))

    def close_batch(self, id: str) -> None:
        """Mark a batch as collected."""
        with self._file:
            self._file.execute("UPDATE batches SET collected = 1 WHERE id = ?", (id,))

    def open_batches(self, critic: str) -> list[str]:
        """Ids of the critic's batches whose answers were not collected yet."""
        asked = "SELECT id FROM batches WHERE critic = ? AND collected = 0 ORDER BY rowid"
        return [id for (id,) in self._file.execute(asked, (critic,))]


def read_adaptations(path: Path, critic: str) -> list[str]:
    """Descriptions of the adaptations of a critic's requests; empty if there are none."""
    if not path.exists():
        return []
    with AnswerCache(path) as cache:
        return list(cache.adaptations(critic).values())


def read_ledger(folder: Path) -> list[Spent]:
    """The ledger in a run's folder; empty if no remote critic was asked."""
    if not (folder / FILE).exists():
        return []
    with AnswerCache(folder / FILE) as cache:
        return cache.ledger()
