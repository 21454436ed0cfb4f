"""The Parquet files of shards: read whole, some of their rows, or some of their columns."""

from functools import lru_cache
from itertools import accumulate

import pyarrow as pa
import pyarrow.parquet as pq

from storage.remote_path import Place, RemotePath
from storage.schema import TABLES, StoreError, decode, decode_part, open_table
from storage.shards.manifest import Manifest, PartlyRead, opened
from storage.shards.notes import SIZES, order_of, sizes_noted


def read_table(manifest: Manifest, table: str, shard: str, *columns: str) -> pa.Table:
    """One file of a shard: all its columns, or those named. Raises StoreError as `Manifest.read` and `decode` do."""
    schema = TABLES[table]
    wanted = pa.schema([schema.field(name) for name in columns or schema.names])
    if manifest.stored(table, shard) is None:
        return wanted.empty_table()
    return decode(manifest.read(table, shard), wanted, str(manifest.file(table, shard)))


def read_rows(manifest: Manifest, table: str, shard: str, start: int, stop: int) -> pa.Table:
    """Some rows of a file of a shard; of the others only those in the same row groups are read.

    Raises StoreError if what is read of it is damaged.
    """
    stored = manifest.stored(table, shard)
    if stored is None or len(stored.blocks) < 2:
        return read_table(manifest, table, shard)[start:stop]
    part = PartlyRead(manifest.file(table, shard), stored)
    part.fetch([len(stored.blocks) - 1])
    file = open_table(part.content, TABLES[table], str(part.path))
    ends = list(accumulate(file.metadata.row_group(k).num_rows for k in range(file.num_row_groups)))
    begins = [0, *ends]
    touched = [k for k, end in enumerate(ends) if end > start and begins[k] < stop]
    part.fetch(touched)
    return decode_part(file, touched, TABLES[table])[start - begins[touched[0]] : stop - begins[touched[0]]]


@lru_cache(maxsize=64)
def groups_in_file(path: Place, order: str, sizes: tuple[int, ...]) -> dict[str, int]:
    """Groups of a file and their sizes, from one small column, checked against the digest in the manifest.

    sizes: as the manifest notes them; from the file where it does not, as in older ones. Raises StoreError if the file
    has other groups.
    """
    known = sizes_noted({SIZES: sizes}) if sizes else None
    table = read_columns(path, ["group_id"] if known is not None else ["group_id", "hypotheses"])
    drawn = sizes_of(table) if known is None else dict(zip(table["group_id"].to_pylist(), known.tolist()))
    if order_of(drawn) != order:
        raise StoreError(f"{path}: has other groups than the manifest says; restore it from a copy")
    return drawn


def read_columns(path: Place, names: list[str]) -> pa.Table:
    """Some columns of a file, as they are there: unchecked. Raises OSError or pyarrow's errors if that fails."""
    with opened(path) as file:
        # Not through Python: it would be called for each column of each row group.
        source = file if isinstance(path, RemotePath) else pa.OSFile(f"/dev/fd/{file.fileno()}")
        return pq.ParquetFile(source).read(names, use_threads=False)


def sizes_of(groups: pa.Table) -> dict[str, int]:
    """The groups of a table in their order, and how many hypotheses each has."""
    return dict(zip(groups["group_id"].to_pylist(), groups["hypotheses"].to_pylist()))
