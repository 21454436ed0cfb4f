"""The photographs of a store: which there are, our name for each, where they are, and which are gone.

    images.parquet      one row per photograph that was ever looked at; the file's metadata have the root of the paths

Our name (`image_id`) is a short form of the file's name for people to read, and a digest of the contents: the user's
own names are data. People's group ids begin with it. A photograph that has changed or been removed keeps its rows in
the other tables, and `GroupStore` leaves them out.
"""

import os
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Literal, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from storage.records import Person
from storage.remote_path import Place, RemotePath, write_whole
from storage.schema import VERSION, StoreError

FILE = "images.parquet"
_ROOT, _FROM_STORE, _VERSION = b"hmr-align.root", b"hmr-align.root-from-store", b"hmr-align.schema"

Status = Literal["here", "moved", "changed", "gone"]
"""`moved`: here, under another path than its people were stored with. `changed`: other contents under its path."""

SCHEMA = pa.schema(
    [
        pa.field("image_id", pa.string(), False, {"about": "our name of the photograph; group ids begin with it"}),
        pa.field("path", pa.string(), False, {"about": "of the file, relative to the root, with slashes"}),
        pa.field("inputs_sha256", pa.string(), False, {"about": "of the photograph and the keypoints beside it"}),
        pa.field("shard", pa.string(), False, {"about": "shard of `people` with its people"}),
        pa.field("status", pa.string(), False, {"about": "here, moved, changed or gone"}),
    ]
)


class Image(NamedTuple):
    """One photograph; the fields are the columns of SCHEMA."""

    image_id: str
    path: str
    inputs_sha256: str
    shard: str
    status: Status = "here"

    @property
    def present(self) -> bool:
        """Whether the photograph is still there with the same contents, also under another path."""
        return self.status in ("here", "moved")


@dataclass(frozen=True, eq=False)
class ImageList:
    """The photographs of one store."""

    root: Path
    images: Sequence[Image]

    @cached_property
    def exceptions(self) -> Mapping[str, Image]:
        """The photographs with another status than `here`, by name."""
        return {image.image_id: image for image in self.images if image.status != "here"}

    @cached_property
    def emptied(self) -> Set[str]:
        """Shards whose photographs have all changed or gone."""
        return {image.shard for image in self.images} - {image.shard for image in self.images if image.present}

    @cached_property
    def shards_with_hidden(self) -> Set[str]:
        """Shards with photographs that have changed or gone."""
        return {image.shard for image in self.exceptions.values() if not image.present}

    def holds(self, group_id: str) -> bool:
        """Whether a person's photograph is unchanged; true for photographs that are not in the list."""
        image = self.exceptions.get(image_of(group_id))
        return image is None or image.present

    def path_of(self, group_id: str, photo: str) -> str:
        """The absolute path of a person's photograph, from the one in the store."""
        moved = self.exceptions.get(image_of(group_id)) if self.exceptions else None
        return str(self.root / (photo if moved is None else moved.path))

    def as_stored(self, person: Person) -> Person:
        """A person as the store keeps it: the photograph's path relative to the root, if it lies there."""
        path = Path(person.photo)
        inside = bool(person.photo) and path.is_relative_to(self.root)
        return replace(person, photo=path.relative_to(self.root).as_posix()) if inside else person


def image_of(group_id: str) -> str:
    """The photograph's name in a group id."""
    return group_id.rpartition("-p")[0]


def write_images(store: Place, found: ImageList) -> None:
    """Replace the list of a store's photographs."""
    columns = zip(*found.images) if found.images else ([] for _ in SCHEMA)
    metadata = {
        _VERSION: str(VERSION).encode(),
        _ROOT: os.fsencode(found.root),
    }
    if isinstance(store, Path):
        metadata[_FROM_STORE] = os.fsencode(os.path.relpath(found.root, store))
    table = pa.table([pa.array(column, pa.string()) for column in columns], SCHEMA.with_metadata(metadata))
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    write_whole(store / FILE, sink.getvalue().to_pybytes())


def read_images(store: Place) -> ImageList | None:
    """The photographs of a store; None if it has no list, as in version 0.1. Raises StoreError if it is damaged."""
    try:
        if isinstance(store, RemotePath):
            content = (store / FILE).read_bytes()
            return _parsed(store, content)
        state = (store / FILE).stat()
    except FileNotFoundError:
        return None
    return _read(store, state.st_ino, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=8)
def _read(store: Path, inode: int, changed_ns: int, size: int) -> ImageList:
    """The list, read once per file: a new file has other numbers here, since it replaces the old one whole."""
    return _parsed(store, (store / FILE).read_bytes())


@lru_cache(maxsize=8)
def _parsed(store: Place, content: bytes) -> ImageList:
    path = store / FILE
    try:
        table = pq.read_table(pa.BufferReader(content))
        metadata = table.schema.metadata
        rows = zip(*(table[name].to_pylist() for name in SCHEMA.names))
        absolute, relative = Path(os.fsdecode(metadata[_ROOT])), os.fsdecode(metadata.get(_FROM_STORE, b""))
    except (pa.ArrowException, OSError, KeyError, TypeError) as error:
        raise StoreError(
            f"{path}: not a list of photographs ({error}); restore it from a copy, or remove it: the next `hmr-align "
            "sample` writes it anew"
        ) from error
    # A run that was moved together with its photographs finds them beside it.
    beside = Path(os.path.normpath(store / relative)) if isinstance(store, Path) and relative else absolute
    return ImageList(beside if beside.is_dir() and not absolute.is_dir() else absolute, [Image(*row) for row in rows])


def updated(kept: Sequence[Image], seen: Mapping[str, tuple[str, str]], size: int, prefix: str) -> list[Image]:
    """The list after the photographs were searched again: new ones go into new shards, the rest stays as it is.

    kept: the list before. seen: inputs_sha256 -> (path, short name) of what is there now, in order. size: largest
    number of photographs in a shard. prefix: of the names of the new shards, which are numbered on from those with this
    prefix.
    """
    paths = {path for path, _ in seen.values()}
    after = [_now(image, seen, paths) for image in kept]
    known, taken = {image.inputs_sha256 for image in kept}, {image.image_id for image in kept}
    number = max((_number(image.shard, prefix) for image in kept), default=-1) + 1
    new = [(key, *place) for key, place in seen.items() if key not in known]
    for k, (key, path, short) in enumerate(new):
        image_id = next(name for n in (8, 16, 64) if (name := f"{short}-{key[:n]}") not in taken)
        taken.add(image_id)
        after.append(Image(image_id, path, key, f"{prefix}-{number + k // size:04d}"))
    return after


def _now(image: Image, seen: Mapping[str, tuple[str, str]], paths: set[str]) -> Image:
    if image.inputs_sha256 in seen:
        path = seen[image.inputs_sha256][0]
        moved = path != image.path or image.status == "moved"
        return image._replace(path=path, status="moved" if moved else "here")
    return image._replace(status="changed" if image.path in paths else "gone")


def _number(shard: str, prefix: str) -> int:
    number = shard.removeprefix(f"{prefix}-")
    return int(number) if number != shard and number.isdecimal() else -1
