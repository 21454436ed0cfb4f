"""The photographs in a run's folders now, by their contents. Free of prefect and torch."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from hmr.detection.brought_keypoints import keypoint_file
from hmr.detection.photograph import PhotographError
from tasks.groups.photograph_list import (
    UNNAMED,
    UNREADABLE_NAME,
    inputs_sha256,
    is_text,
    short_form,
    shown,
)


class Source(NamedTuple):
    """A folder with photographs of one kind."""

    folder: Path
    thorough: bool = True  # look for several people, at several scales
    nested: bool = False  # also search its subfolders

    @property
    def prefix(self) -> str:
        """Prefix of the names of its shards."""
        return short_form(self.folder.name) or UNNAMED


class Seen(NamedTuple):
    """The photographs in a source now."""

    found: dict[str, tuple[Path, str]]  # inputs_sha256 -> (file, short name for people to read), in order
    skipped: list[tuple[str, str]]  # name as it can be shown, reason


def search(source: Source) -> Seen:
    """Name every file of a source by its contents; what cannot be used is listed with the reason.

    Every file counts, so that a file that is no picture is reported instead of passed over; hidden files do not. Raises
    PhotographError if there is no such folder.
    """
    if not source.folder.is_dir():
        raise PhotographError(f"no folder {source.folder}: give --images a folder with photographs in it")
    seen, names = Seen({}, []), {}
    for path in picture_files(source, source.folder, seen.skipped):
        name = shown(path.relative_to(source.folder))
        if not is_text(path.relative_to(source.folder)):
            seen.skipped.append((name, UNREADABLE_NAME))
            continue
        try:
            key = inputs_sha256(path)
        except PhotographError as error:
            seen.skipped.append((name, str(error).removeprefix(f"{path}: ")))
            continue
        if key in seen.found:
            seen.skipped.append((name, f"the same picture as {names[key]}, which is taken"))
            continue
        seen.found[key], names[key] = (path, short_form(path.stem) or UNNAMED), name
    return seen


def picture_files(source: Source, folder: Path, skipped: list[tuple[str, str]]) -> Iterator[Path]:
    """The files of a folder in the order of their names, without keypoint files, then those of its subfolders.

    What is passed over is added to `skipped`, with the reason.
    """
    entries = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    folders = [path for path in entries if path.is_dir()]
    files = [path for path in entries if path.is_file()]
    keypoints = {keypoint_file(path) for path in files if path.suffix.lower() != ".json"}
    for path in entries:
        if not path.exists():
            skipped.append((shown(path.relative_to(source.folder)), "a link to nothing. Mend or remove it"))
    yield from (path for path in files if path not in keypoints)
    for path in folders:
        name = f"{shown(path.relative_to(source.folder))}/"
        if not source.nested:
            skipped.append((name, "a folder: set [photographs] nested = true to search it"))
        elif path.is_symlink():
            skipped.append((name, "a link to a folder, not searched"))
        else:
            yield from picture_files(source, path, skipped)
