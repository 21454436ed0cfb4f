"""`hmr-align store` from end to end on a small store, as a user calls it."""

import json

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from flows.cli.command_line import app
from storage.group_store import GroupStore, StoreError
from tests.factories import make_verdict
from tests.unit.storage.shards.test_manifest import CRITIC, groups_of, write_shards


@pytest.fixture
def store(tmp_path):
    write_shards(tmp_path / "run/store", range(2))
    return GroupStore(tmp_path / "run/store")


def call(*words: object, code: int = 0) -> str:
    result = CliRunner().invoke(app, ["store", *map(str, words)], catch_exceptions=False)
    assert result.exit_code == code, result.output
    return " ".join(result.output.split())


def test_ls(store, tmp_path):
    said = call("ls", store.root, "--json", tmp_path / "ls.json")
    assert "hyps round0 2 16" in said and f"scores round0 {CRITIC} r 2 16" in said
    rows = json.loads((tmp_path / "ls.json").read_text())
    assert {row["table"] for row in rows} == {"people", "groups", "hyps", "scores", "replies"}
    files = [path for path in store.root.rglob("*.parquet")]
    assert sum(row["size"] for row in rows) == sum(path.stat().st_size for path in files)
    assert "hyps round0 2 16" in call("ls", "--out", tmp_path, "--name", "run")


def test_a_damaged_byte_is_found_set_aside_and_made_again(store):
    assert "whole; 10 files" in call("verify", store.root)
    path = store.root / "hyps/gen=round0/1.parquet"
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content)
    assert f"{path}: changed or cut short" in call("verify", store.root, code=2)
    said = call("repair", store.root)
    assert "hyps damaged: set aside" in said and "to do: `hmr-align sample` draws them again" in said
    call("verify", store.root)
    write_shards(store.root, range(2))
    assert "whole; 10 files" in call("verify", store.root)
    assert "nothing is damaged" in call("repair", store.root)


def test_parts_are_merged_and_cleared_away(store):
    store.add_verdicts("round0", CRITIC, "r", "0", [make_verdict(groups_of(0)[0], [5, 6, 7, 8])])
    assert "2 files of verdicts on 0 are one" in call("compact", store.root)
    assert "nothing to merge" in call("compact", store.root)
    assert call("vacuum", store.root) == "0 files, 0 B"
    assert "would go" in call("vacuum", store.root, "--older", 0, "--dry-run")
    assert len(list(store.root.rglob("0+1.parquet"))) == 1
    assert "3 files, " in call("vacuum", store.root, "--older", 0)
    assert np.array_equal(store.read_verdicts("round0", CRITIC, "0")[0].scores, [5, 6, 7, 8])


def test_export(store, tmp_path):
    said = call("export", store.root, "--hf", tmp_path / "hf", "--webdataset", tmp_path / "web", "--critic", CRITIC)
    assert "verdicts 16" in said and "4 people of round0" in said
    assert len(pd.read_parquet(tmp_path / "hf/data/people")) == 4 and (tmp_path / "web/00000.tar").exists()
    with pytest.raises(StoreError, match="say what to write"):
        call("export", store.root)


def test_no_store_is_said(tmp_path):
    with pytest.raises(StoreError, match="there is no store here; name its folder or address, or a run by --name"):
        call("ls", tmp_path / "nowhere")
