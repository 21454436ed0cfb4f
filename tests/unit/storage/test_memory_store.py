"""The memory store: versions that never change, two writers, damage."""

import pandas as pd
import pytest

from storage.memory_store import MEMORY_TABLES, MemoryStore
from storage.schema import StoreError

RULE = {
    "id": "r-1", "text": "When a foot floats, take 5 points off.", "tags": ("foot_contact", "scale"),
    "state": "admitted", "uses": 3, "successes": 1, "lift": 0.25, "origin": "", "created": "",
}  # fmt: skip
PROTOTYPE = {
    "id": "p-1", "rationale": "Score 4.", "score": None, "tags": (), "embedding": (0.1, 1 / 3), "embedder": "pose@1",
    "overlay": "a#1", "picture": b"\xff\xd8\x00", "created": "",
}  # fmt: skip
ROWS = {"rules": [RULE], "prototypes": [PROTOTYPE], "events": []}


def as_lists(rows):
    return {table: [{k: list(v) if isinstance(v, tuple) else v for k, v in row.items()} for row in found]
            for table, found in rows.items()}  # fmt: skip


def test_what_was_written_is_read(tmp_path):
    store = MemoryStore(tmp_path)
    assert store.versions() == []
    assert store.write(ROWS, None) == "1"
    assert store.read() == as_lists(ROWS)
    assert pd.read_parquet(tmp_path / "rules" / "1.parquet")["lift"].tolist() == [0.25]


def test_old_versions_stay(tmp_path):
    store = MemoryStore(tmp_path)
    for uses in range(11):
        store.write({**ROWS, "rules": [RULE | {"uses": uses}]}, str(uses) if uses else None)
    assert store.versions()[-2:] == ["10", "11"]
    assert [store.read(version)["rules"][0]["uses"] for version in ("1", "11")] == [0, 10]
    assert store.read() == store.read("11")


def test_the_second_of_two_writers_is_refused(tmp_path):
    store = MemoryStore(tmp_path)
    first = store.write(ROWS, None)
    store.write({**ROWS, "rules": [RULE | {"uses": 4}]}, first)
    with pytest.raises(StoreError, match="changed since version 1 was read"):
        store.write({**ROWS, "rules": [RULE | {"uses": 5}]}, first)
    assert store.read()["rules"][0]["uses"] == 4


def test_no_memory_is_an_error_with_a_mend(tmp_path):
    with pytest.raises(StoreError, match="hmr-align reflect"):
        MemoryStore(tmp_path).read()


def test_damage_is_noticed(tmp_path):
    store = MemoryStore(tmp_path)
    store.write(ROWS, None)
    (tmp_path / "rules" / "1.parquet").write_bytes(b"cut")
    with pytest.raises(StoreError, match="changed or cut short"):
        store.read()


def test_empty_tables_are_tables(tmp_path):
    store = MemoryStore(tmp_path)
    store.write({}, None)
    assert store.read() == {table: [] for table in MEMORY_TABLES}
