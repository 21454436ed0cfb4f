"""A place in an object store, used like a `pathlib.Path`: s3://bucket/prefix, gs://, az://, memory://.

    root = place_of("s3://bucket/store")       # also a path of this machine, or file:///data/store: a pathlib.Path
    (root / "people" / "_about.json").read_bytes()
    (root / "commit").create(b"...")           # True for the one writer that came first

A write is whole or not there: object stores have no half objects. Of all writers that `create` one object exactly one
succeeds, also from different machines (a PUT with `If-None-Match: *`; Google and Azure have the same).

Credentials and the server's address come from the environment alone (AWS_ACCESS_KEY_ID, AWS_ENDPOINT_URL,
GOOGLE_APPLICATION_CREDENTIALS, AZURE_STORAGE_...), as the services' own tools read them; an address with a key in it
is refused. Through fsspec, with s3fs, gcsfs or adlfs for the service.
"""

import glob
import json
import posixpath
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from storage.finished_file import write_bytes
from storage.schema import StoreError

__all__ = ["Place", "RemotePath", "keep_tables_at", "place_of", "tables_of", "write_whole"]

_NEEDS = {"s3": "s3", "gs": "gs", "gcs": "gs", "az": "azure", "abfs": "azure", "abfss": "azure", "memory": ""}
"""Schemes whose writes are whole and whose `create` is exclusive, and the extra that brings each."""


@dataclass(frozen=True, order=True)
class RemotePath:
    """An object or a prefix; methods raise StoreError if the service cannot be reached or refuses."""

    uri: str  # without a slash at its end

    def __str__(self) -> str:
        return self.uri

    def __truediv__(self, name: "str | RemotePath") -> "RemotePath":
        return RemotePath(f"{self.uri}/{name}".rstrip("/"))

    @property
    def name(self) -> str:
        """The part behind the last slash."""
        return posixpath.basename(self.uri)

    @property
    def parent(self) -> "RemotePath":
        """The prefix that it lies under."""
        return RemotePath(posixpath.dirname(self.uri))

    @property
    def suffix(self) -> str:
        """The ending of the name, with its dot."""
        return posixpath.splitext(self.uri)[1]

    def with_name(self, name: str) -> "RemotePath":
        """Another object beside it."""
        return self.parent / name

    def relative_to(self, other: "RemotePath") -> str:
        """The names between a prefix and this object."""
        return "" if self == other else self.uri.removeprefix(f"{other.uri}/")

    def exists(self) -> bool:
        """Whether there is an object, or one below this prefix."""
        with self._told() as (service, key):
            return service.exists(key)

    is_dir = exists

    def read_bytes(self) -> bytes:
        """The object's bytes; raises FileNotFoundError if there is none."""
        with self._told() as (service, key):
            return service.cat_file(key)

    def read_ranges(self, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """Parts of the object, each given by start and bytes, fetched at once."""
        with self._told() as (service, key):
            starts, ends = [start for start, _ in ranges], [start + size for start, size in ranges]
            return service.cat_ranges([key] * len(ranges), starts, ends, on_error="raise")

    def open(self, mode: str = "rb") -> Any:
        """The object as a file to read."""
        with self._told() as (service, key):
            return service.open(key, mode)

    def write_bytes(self, content: bytes | memoryview) -> None:
        """Replace the object."""
        with self._told() as (service, key):
            service.pipe_file(key, bytes(content))

    def create(self, content: bytes) -> bool:
        """Write the object unless there is one; False if there is, whoever wrote it."""
        with self._told() as (service, key):
            try:
                service.pipe_file(key, content, mode="create")
            except FileExistsError:
                return False
            return True

    def unlink(self, missing_ok: bool = False) -> None:
        """Remove the object."""
        with self._told() as (service, key):
            try:
                service.rm_file(key)
            except FileNotFoundError:
                if not missing_ok:
                    raise

    def glob(self, pattern: str) -> list["RemotePath"]:
        """Objects and prefixes below this one whose names fit, in order."""
        with self._told() as (service, key):
            found = service.glob(f"{glob.escape(key)}/{pattern}".rstrip("/"))
            return sorted(self / name[len(key) + 1 :] for name in found)

    def written(self) -> float:
        """When the object was written, seconds since 1970, by the clock of the service."""
        with self._told() as (service, key):
            return _written(service.info(key))

    def files(self) -> dict["RemotePath", tuple[int, float]]:
        """All objects below this prefix: bytes, and when it was written, seconds since 1970."""
        with self._told() as (service, key):
            found = service.find(key, detail=True)
        return {self / name[len(key) + 1 :]: (about["size"], _written(about)) for name, about in found.items()}

    def read_many(self, names: Sequence[str]) -> dict[str, bytes]:
        """The objects below this prefix that there are, fetched at once."""
        with self._told() as (service, key):
            found = service.cat([f"{key}/{name}" for name in names], on_error="omit")
            return {name[len(key) + 1 :]: content for name, content in found.items()}

    @contextmanager
    def _told(self) -> Iterator[tuple[Any, str]]:
        """The service and our key there; what it says becomes a StoreError, but for a missing object."""
        try:
            import fsspec

            # Others write too: what was listed a moment ago may be wrong now.
            yield fsspec.core.url_to_fs(self.uri, use_listings_cache=False)
        except (FileNotFoundError, FileExistsError, StoreError):
            raise
        except ImportError as error:
            extra = _NEEDS.get(self.uri.partition("://")[0]) or "s3"
            raise StoreError(f"{self}: {error}; run `pip install 'hmr-align[{extra}]'`") from error
        except Exception as error:  # each service has exceptions of its own
            if isinstance(error, (TypeError, AttributeError, KeyError, MemoryError)):
                raise
            said = " ".join(str(error).split()) or type(error).__name__
            raise StoreError(
                f"{self}: the object store does not answer or refuses ({said}); check the address and the credentials "
                "in the environment. What was committed is safe: run again"
            ) from error


Place = Path | RemotePath
"""Where a store may lie."""

_ELSEWHERE = "_elsewhere.json"


def write_whole(path: Place, content: bytes) -> None:
    """Make a file or an object hold these bytes, wholly or not at all."""
    if isinstance(path, RemotePath):
        path.write_bytes(content)
    else:
        write_bytes(path, content)


def tables_of(root: Place) -> Place:
    """Where the tables of a store lie: in its folder, or at the address that the folder names."""
    if isinstance(root, RemotePath):
        return root
    try:
        said = json.loads((root / _ELSEWHERE).read_bytes())
        return place_of(said["uri"])
    except FileNotFoundError:
        return root
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{root / _ELSEWHERE}: names no address ({error!r}); restore it from a copy") from error


def keep_tables_at(root: Path, uri: str) -> None:
    """Have the tables of the store in a folder lie at an address.

    Raises StoreError if the store has begun to lie elsewhere.
    """
    begun, now = tables_of(root), place_of(uri)
    if begun == now:
        return
    if begun != root or any(root.glob("*/**/_manifest.json")):
        raise StoreError(
            f"{root}: the tables of this store lie at {begun}, not at {now}; leave [store] uri as it was, or begin a "
            "new run"
        )
    write_whole(root / _ELSEWHERE, json.dumps({"uri": str(now)}).encode())


def place_of(where: str | Path) -> Place:
    """The folder or the prefix of a path or an address.

    Raises StoreError for an address with a key in it, or of a service whose writes are not known to be whole.
    """
    text = str(where)
    if isinstance(where, Path) or not re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", text):
        return Path(where)
    parts = urlsplit(text)
    if parts.scheme == "file":
        return Path(unquote(parts.path))
    shown = f"{parts.scheme}://...{parts.path}"
    if parts.username or parts.password or parts.query:
        raise StoreError(f"{shown}: has a user, a key or options in it; give credentials by the environment alone")
    if parts.scheme not in _NEEDS:
        raise StoreError(f"{text}: no store can lie there; use {', '.join(f'{one}://' for one in _NEEDS)} or a path")
    if ".." in parts.path.split("/"):
        raise StoreError(f"{text}: '..' in an address leads nowhere; write the place itself")
    return RemotePath(text.rstrip("/"))


def _written(about: dict[str, Any]) -> float:
    """When an object was written, seconds since 1970, as services say it."""
    for key in ("LastModified", "last_modified", "mtime", "updated", "created"):
        when = about.get(key)
        if isinstance(when, str):
            from datetime import datetime

            return datetime.fromisoformat(when).timestamp()
        if when is not None:
            return when.timestamp() if hasattr(when, "timestamp") else float(when)
    raise StoreError(f"{about.get('name')}: the service does not say when it was written, so it cannot be swept by age")
