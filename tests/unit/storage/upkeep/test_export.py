import io
import json
import tarfile
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow.parquet as pq
import pytest

from storage.group_store import GroupStore, StoreError
from storage.image_list import Image, ImageList
from storage.upkeep.export import delta_tables, parquet_dataset, webdataset
from storage.upkeep.tables import NAMES, SCHEMAS, tables_of_store
from tests.unit.storage.shards.test_manifest import CRITIC, groups_of, write_shards


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    root = tmp_path_factory.mktemp("export") / "store"
    write_shards(root, range(2))
    found = GroupStore(root)
    found.write_images(ImageList(root, [Image("street-0", "street.jpg", "a", "0")]))
    return found


def test_every_column_says_what_it_is():
    assert set(SCHEMAS) == set(NAMES)
    for name, schema in SCHEMAS.items():
        assert all(field.metadata[b"about"] for field in schema), name


def test_pandas_duckdb_and_polars_read_a_data_set(store, tmp_path):
    rows = parquet_dataset(tables_of_store(store), tmp_path / "out", "a test")
    hypotheses = sum(len(group) for shard in range(2) for group in groups_of(shard))
    assert rows == {"images": 1, "people": 4, "hypotheses": hypotheses, "verdicts": hypotheses}
    data = tmp_path / "out/data"
    verdicts = pd.read_parquet(data / "verdicts")
    assert verdicts["critic"].unique() == [CRITIC] and len(verdicts) == hypotheses
    mean = duckdb.sql(f"select critic, avg(score) from '{data}/verdicts/*.parquet' group by critic").fetchall()
    assert mean == [(CRITIC, pytest.approx(verdicts["score"].mean()))]
    poses = pl.scan_parquet(f"{data}/hypotheses/*.parquet").collect()["pose"]
    assert np.array_equal(poses[0].to_numpy().reshape(24, 3), groups_of(0)[0].pose[0])
    field = pq.read_schema(data / "hypotheses/0000.parquet").field("translation")
    assert field.metadata[b"unit"] == b"m"
    card = (tmp_path / "out/README.md").read_text()
    assert "config_name: hypotheses" in card and "| translation | fixed_size_list | 3 | m |" in card
    with pytest.raises(StoreError, match="there is something already"):
        parquet_dataset(tables_of_store(store), tmp_path / "out", "a test")


def test_the_lines_of_the_docs_read_the_store(store, tmp_path, monkeypatch):
    page = (Path(__file__).parents[4] / "docs/operating.md").read_text()
    lines = page.split("### Read by others", 1)[1].split("```python\n", 1)[1].split("```", 1)[0]
    (tmp_path / "runs/default").mkdir(parents=True)
    (tmp_path / "runs/default/store").symlink_to(store.root)
    monkeypatch.chdir(tmp_path)
    found: dict[str, Any] = {}
    exec(lines, found)
    assert set(found["scores"]["critic"]) == {CRITIC} and set(found["scores"]["gen"]) == {"round0"}
    ids = {group.person.group_id for shard in range(2) for group in groups_of(shard)}
    assert dict(found["best"]) == dict.fromkeys(ids, 100)
    assert set(found["people"]["group_id"]) == ids and found["people"]["box"].dtype == pl.Array(pl.Float32, 4)


def test_a_tar_of_people(store, tmp_path):
    assert webdataset(store, "round0", tmp_path / "out", CRITIC) == 4
    with tarfile.open(tmp_path / "out/00000.tar") as tar:
        names = tar.getnames()
        read = {name: tar.extractfile(name).read() for name in names}
    group = groups_of(0)[0]
    assert names[:3] == [f"{group.person.group_id}.{ending}" for ending in ("json", "npz", "png")]
    about, arrays = json.loads(read[names[0]]), np.load(io.BytesIO(read[names[1]]))
    assert about["verdict"]["scores"][0] == 100 and np.array_equal(arrays["pose"], group.pose)


def test_delta_tables(store, tmp_path):
    deltalake = pytest.importorskip("deltalake", reason="an extra of its own: 52 MB")
    rows = delta_tables(tables_of_store(store), tmp_path / "out")
    table = deltalake.DeltaTable(str(tmp_path / "out/verdicts")).to_pyarrow_table()
    assert len(table) == rows["verdicts"]
