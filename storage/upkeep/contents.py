"""What a store holds, read from its manifests alone."""

from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

from storage.group_store import GroupStore
from storage.remote_path import RemotePath

__all__ = ["Content", "contents"]


class Content(NamedTuple):
    """One table of one version."""

    table: str
    gen: str  # generation; "" for people
    critic: str  # name and version; "" for people and groups
    run: str
    shards: int
    rows: int
    size: int  # bytes on disk; those of version 0.1 are looked up
    newest_ns: int  # when its newest shard was committed, ns since 1970; 0 = there is none


def contents(store: GroupStore) -> list[Content]:
    """Every table of every version, in the order of the work. Raises StoreError for a damaged manifest."""
    found = []
    for manifest in store.manifests():
        shards = manifest.shards()
        named = dict(part.split("=", 1) for part in str(manifest.path.parent).split("/") if "=" in part)
        for table in manifest.folders:
            files = {name: stored for name, shard in shards.items() if (stored := shard.file(table))}
            sizes = [
                sum(size for size, _ in stored.blocks) if stored.blocks else _size(manifest.file(table, name))
                for name, stored in files.items()
            ]
            found.append(
                Content(
                    table=table,
                    gen=named.get("gen", ""),
                    critic=unquote(named.get("critic", "")),
                    run=named.get("run", ""),
                    shards=len(files),
                    rows=sum(stored.rows for stored in files.values()),
                    size=sum(sizes),
                    newest_ns=max((shard.written_ns for shard in shards.values()), default=0),
                )
            )
    return found


def _size(path: Path | RemotePath) -> int:
    """Bytes of a file of version 0.1; 0 if it is lost, which `verify` reports."""
    if isinstance(path, Path) and path.exists():
        return path.stat().st_size
    return 0
