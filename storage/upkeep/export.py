"""The tables of a store as a data set that others read without our code.

    parquet_dataset    <out>/data/<table>/0000.parquet ...  and README.md, a card for Hugging Face `datasets`
    webdataset         <out>/00000.tar ...                   a person each: .json, .npz, .png
    delta_tables       <out>/<table>                         Delta Lake, by the `deltalake` package (52 MB: an extra)

An export is a folder that was not there before; it is whole, or not there.
"""

import io
import json
import tarfile
from collections.abc import Iterator, Mapping
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from storage.finished_file import finished_folder
from storage.group_store import GroupStore
from storage.records import Group, Verdict
from storage.schema import VERSION, StoreError, encodings, shape_of
from storage.upkeep.tables import SCHEMAS, Tables

__all__ = ["delta_tables", "parquet_dataset", "webdataset"]

_FILE_ROWS, _TAR_GROUPS = 50_000, 1000


def parquet_dataset(tables: Tables, out: Path, title: str) -> dict[str, int]:
    """Write a folder of Parquet with a card; returns the rows of each table that has some.

    Raises StoreError if there is something at `out`.
    """
    _refuse_old(out)
    with finished_folder(out) as folder:
        rows = {}
        for name, pieces in tables.items():
            count = _write_parquet(folder / "data" / name, SCHEMAS[name], pieces())
            if count:
                rows[name] = count
        (folder / "README.md").write_text(_card(title, rows), encoding="utf-8")
    return rows


def _write_parquet(folder: Path, schema: pa.Schema, pieces: Iterator[pa.Table]) -> int:
    """Files of some ten thousand rows; none for a table without rows."""
    schema = schema.with_metadata({**(schema.metadata or {}), b"hmr-align.schema": str(VERSION).encode()})
    writer: pq.ParquetWriter | None = None
    count = number = inside = 0
    try:
        for piece in pieces:
            if not len(piece):
                continue
            if writer is None:
                folder.mkdir(parents=True, exist_ok=True)
                path, inside = folder / f"{number:04d}.parquet", 0
                writer = pq.ParquetWriter(path, schema, compression="zstd", **encodings(schema))
            writer.write_table(piece.cast(schema), row_group_size=8192)
            count, inside = count + len(piece), inside + len(piece)
            if inside >= _FILE_ROWS:
                writer.close()
                writer, number = None, number + 1
    finally:
        if writer is not None:
            writer.close()
    return count


def _card(title: str, rows: Mapping[str, int]) -> str:
    """README.md as Hugging Face `datasets` reads it: one configuration a table; and the columns with their units."""
    configs = "".join(
        f"- config_name: {name}\n  data_files:\n  - split: all\n    path: data/{name}/*.parquet\n" for name in rows
    )
    parts = [
        f"---\npretty_name: {json.dumps(title)}\ntags:\n- human-mesh-recovery\nconfigs:\n{configs}---\n",
        f"# {title}\n",
        "Groups of body hypotheses of people in photographs, and what critics said of them; written by HMR-Align. "
        "The photographs themselves are not here, but `people` has a picture of each person (128 px).\n",
        "Metres and radians in the OpenCV camera frame (x right, y down, z forward) unless a column says otherwise. "
        "Arrays are lists in row-major order.\n",
        "```python\nimport duckdb, pandas, polars\n\n"
        'pandas.read_parquet("data/verdicts")\n'
        "duckdb.sql(\"select critic, avg(score) from 'data/verdicts/*.parquet' group by critic\")\n"
        'polars.scan_parquet("data/verdicts/*.parquet").collect()\n```\n',
    ]
    for name, count in rows.items():
        lines = [f"## {name}\n\n{count} rows\n\n| column | type | shape | unit | meaning |\n|---|---|---|---|---|\n"]
        for field in SCHEMAS[name]:
            about = {key.decode(): value.decode() for key, value in (field.metadata or {}).items()}
            shape = " x ".join(map(str, shape_of(field))) if field.metadata else ""
            cells = [field.name, str(field.type).split("<")[0].split("[")[0], shape, about.get("unit", "")]
            lines.append(f"| {' | '.join([*cells, about.get('about', '').replace('|', '/')])} |\n")
        parts.append("".join(lines))
    return "\n".join(parts)


def webdataset(store: GroupStore, gen: str, out: Path, critic: str | None = None) -> int:
    """Write the groups of a generation as tar files, a person each; returns how many.

    `.json` has names and numbers of the person and the verdicts of a critic, `.npz` the arrays of the group, `.png` the
    person's crop. Raises StoreError if there is something at `out`.
    """
    _refuse_old(out)
    count = 0
    with finished_folder(out) as folder:
        judged = _judged(store, gen, critic)
        while (first := next(judged, None)) is not None:
            with tarfile.open(folder / f"{count // _TAR_GROUPS:05d}.tar", "w") as tar:
                for group, verdict in chain([first], islice(judged, _TAR_GROUPS - 1)):
                    _add(tar, group, verdict)
                    count += 1
    return count


def _judged(store: GroupStore, gen: str, critic: str | None) -> Iterator[tuple[Group, Verdict | None]]:
    for shard in store.group_shards(gen):
        known = critic is not None and shard in store.verdict_shards(gen, critic)
        verdicts = {one.group_id: one for one in store.read_verdicts(gen, critic, shard)} if critic and known else {}
        for group in store.read_groups(gen, shard):
            yield group, verdicts.get(group.person.group_id)


def _add(tar: tarfile.TarFile, group: Group, verdict: Verdict | None) -> None:
    person = group.person
    key = person.group_id.replace(".", "_")  # webdataset takes what follows the first dot for the ending
    about: dict[str, Any] = {
        "group_id": person.group_id, "photo_sha256": person.photo_sha256, "width": person.width,
        "height": person.height, "model_digest": group.model_digest, "temperature": group.temperature,
    }  # fmt: skip
    if verdict is not None:
        scores = [None if np.isnan(score) else float(score) for score in verdict.scores]
        about["verdict"] = {"critic": verdict.critic, "scores": scores, "statuses": list(verdict.statuses)}
    arrays = io.BytesIO()
    np.savez(
        arrays, box=person.box, crop=person.crop, camera=person.camera, landmarks=person.landmarks,
        world_landmarks=person.world_landmarks, betas=group.betas, seeds=group.seeds, pose=group.pose,
        translation=group.translation, joints=group.joints, keypoints=group.keypoints,
    )  # fmt: skip
    picture = io.BytesIO()
    Image.fromarray(person.picture).save(picture, "png")
    for ending, content in (
        ("json", json.dumps(about).encode()), ("npz", arrays.getvalue()), ("png", picture.getvalue())
    ):  # fmt: skip
        info = tarfile.TarInfo(f"{key}.{ending}")
        info.size = len(content)
        tar.addfile(info, io.BytesIO(content))


def delta_tables(tables: Tables, out: Path) -> dict[str, int]:
    """Write each table as a Delta table; returns the rows of each that has some.

    Raises StoreError if there is something at `out`, or without the `deltalake` package.
    """
    try:
        from deltalake import write_deltalake  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise StoreError(
            "Delta tables need the package deltalake (52 MB): run `pip install 'hmr-align[delta]'`; or export --hf, "
            "which needs nothing and is plain Parquet too"
        ) from error
    _refuse_old(out)
    rows: dict[str, int] = {}
    with finished_folder(out) as folder:
        for name, pieces in tables.items():
            for piece in pieces():
                if len(piece):
                    write_deltalake(str(folder / name), _plain_binary(piece), mode="append")
                    rows[name] = rows.get(name, 0) + len(piece)
    return rows


def _plain_binary(table: pa.Table) -> pa.Table:
    """The table with binary columns of any size: Delta Lake knows no fixed-size ones."""
    columns = [
        column.cast(pa.binary()) if pa.types.is_fixed_size_binary(field.type) else column
        for field, column in zip(table.schema, table.columns)
    ]
    fields = [
        field.with_type(pa.binary()) if pa.types.is_fixed_size_binary(field.type) else field for field in table.schema
    ]
    return pa.table(columns, schema=pa.schema(fields))


def _refuse_old(out: Path) -> None:
    if out.exists():
        raise StoreError(f"{out}: there is something already; name a new folder")
