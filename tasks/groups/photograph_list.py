"""From the user's arguments to photographs, and from photographs to names of folders. Free of prefect and torch."""

import glob
import hashlib
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from hmr.detection.brought_keypoints import keypoint_file
from hmr.detection.photograph import PhotographError

LONGEST = 40  # characters of a folder's name, before its digest
UNREADABLE_NAME = "its name is not UTF-8 text, which no table can keep. Rename it"

UNNAMED = "photograph"
"""Short name for a file whose name has no usable character."""

RESERVED = {"index.html", "results.parquet", "readme.txt"}
"""Names of files beside the folders, in lower case."""


def photographs_of(arguments: Sequence[str]) -> tuple[list[Path], list[tuple[str, str]]]:
    """The files that arguments name, in order, each once; and (argument, reason) for arguments that name none.

    An argument is a file, a folder (its files, without hidden files, keypoint files and subfolders), or a pattern with
    *, ? or [...]. If a file with exactly that name exists, the argument is no pattern.
    """
    files: dict[Path, None] = {}
    faults: list[tuple[str, str]] = []
    for argument in arguments:
        named = Path(argument).expanduser()
        if os.path.isdir(named):
            found = _files_of(named)
            if not found:
                faults.append((argument, "no files in this folder. Give one with photographs in it."))
        elif os.path.exists(named):  # a name that is too long is not there
            found = [named]
        elif glob.has_magic(argument):
            matches = sorted(glob.glob(str(named), recursive=True))
            found = _without_keypoints([path for match in matches if (path := Path(match)).is_file()])
            if not found:
                faults.append((argument, "matches no file. Put the pattern in quotes and check its folder."))
        else:
            found = []
            faults.append((argument, "there is no such file or folder. Check the path."))
        faults += [(shown(path), UNREADABLE_NAME) for path in found if not is_text(path)]
        files.update(dict.fromkeys(path.absolute() for path in found if is_text(path)))
    return list(files), faults


def is_text(path: Path) -> bool:
    """Whether a path is valid text for a table or a page: file names may be any bytes."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True


def shown(path: Path) -> str:
    """A path as text that any terminal and table can show."""
    return os.fsencode(path).decode("utf-8", "replace")


def name_of(argument: str) -> str:
    """A name for the results of an argument: that of the file or folder, or of the folder that a pattern searches."""
    path = Path(argument).expanduser()
    if not os.path.exists(path) and glob.has_magic(argument):
        fixed = [part for part in path.parts if not glob.has_magic(part)]
        path = Path(*fixed) if fixed else Path()
    path = path.absolute()
    return short_form(path.name if path.is_dir() else path.stem) or "photographs"


def folder_names(photographs: Sequence[Path], taken: Mapping[str, Path]) -> list[str]:
    """A folder name for each photograph: its stem, in a safe short form, with a digest of its path where needed.

    A digest is needed if the stem had to be changed, if another photograph has the same one (ignoring case), or if the
    folder is `taken` by a photograph that still exists: folder's name -> its photograph. A photograph that has a folder
    keeps it.
    """
    kept = {photograph: name for name, photograph in taken.items()}
    others = {name.lower() for name, photograph in taken.items() if photograph.exists()}
    plain = [short_form(path.stem) for path in photographs]
    common = Counter(name.lower() for name in plain)
    names = []
    for path, name in zip(photographs, plain):
        if path in kept:
            names.append(kept[path])
            continue
        clear = name == path.stem and name.lower() not in others | RESERVED and common[name.lower()] == 1
        digest = hashlib.sha256(str(path).encode("utf-8", "surrogateescape")).hexdigest()[:8]
        names.append(name if clear else f"{name or UNNAMED}-{digest}")
    return names


def short_form(text: str) -> str:
    """Letters, digits, dots, dashes and underscores of a name, at most LONGEST; accents are removed, the rest becomes
    "-".
    """
    plain = unicodedata.normalize("NFKD", text.replace("ß", "ss")).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9._-]+", "-", plain)[:LONGEST].strip(".-_")


def inputs_sha256(photograph: Path) -> str:
    """Digest of a photograph's bytes and of the keypoints that the user put beside it.

    Raises PhotographError if a file cannot be read.
    """
    total = hashlib.sha256()
    try:
        for path in (photograph, keypoint_file(photograph)):
            if path is not None:
                total.update(path.read_bytes())
    except OSError as error:
        raise PhotographError(f"{photograph}: cannot be read ({error.strerror}). Give a picture file.") from error
    return total.hexdigest()


def _files_of(folder: Path) -> list[Path]:
    return _without_keypoints(sorted(p for p in folder.iterdir() if p.is_file() and not p.name.startswith(".")))


def _without_keypoints(files: list[Path]) -> list[Path]:
    keypoints = {keypoint_file(path) for path in files if path.suffix.lower() != ".json"}
    return [path for path in files if path not in keypoints]
