"""Leakage: what training, memory and test share of subjects, sequences and pictures, and which rewards knew the truth.

A set is a file of records, a run's folder, a memory, a folder of pictures or a checkpoint, with a role. What a set
does not tell is said; it is never taken for "nothing shared".
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from itertools import combinations
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from storage.group_store import GroupStore
from storage.image_list import image_of
from storage.memory_store import MemoryStore
from storage.sources import SourceError
from tasks.data.importing import open_records
from tasks.data.picture_hash import WORDS, difference_hash, near_pairs
from tasks.run.settings import kept_settings

ROLES = ("test", "val", "train", "pretraining", "memory")
JUDGED = ("test", "val")
"""Roles that must share nothing with the others."""
KINDS = ("subjects", "sequences", "picture paths", "photographs of runs", "pictures byte by byte")
"""Records tell paths, runs and memories the names that runs give to photographs: the two are not compared."""
CONTENTS, PATHS, NAMED = KINDS[4], KINDS[2], KINDS[3]
PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
SHOWN = 5
"""Examples of each kind that are named."""
TRUTHFUL = ("oracle",)
"""Critics whose rewards are the ground truth."""


class AuditSet(NamedTuple):
    """What one set tells of itself."""

    name: str
    role: str  # of ROLES, or "" where the user gave none
    parts: dict[str, frozenset[str]]  # kind of KINDS -> names; a kind that it does not tell is missing
    hashes: NDArray[np.uint64]  # (n, 4) of pictures that could be read
    pictures: tuple[str, ...]  # (n,) their names
    rewards: str = ""  # what its rewards were; "" = not a set with rewards
    unknown: tuple[str, ...] = ()  # what could not be looked at, and why


class Shared(NamedTuple):
    """What two sets have in common."""

    first: str
    second: str
    counts: dict[str, int]  # kind, and "near-duplicates" -> how many
    examples: dict[str, tuple[str, ...]]
    compared: tuple[str, ...]  # kinds that both tell
    matters: bool  # whether one of them is to be judged by


class Audit(NamedTuple):
    """The outcome."""

    sets: tuple[AuditSet, ...]
    shared: tuple[Shared, ...]
    verdict: str
    clean: bool


def audit(sets: Sequence[AuditSet]) -> Audit:
    """Compare every two sets. With roles, only what `test` and `val` share with others is a leak; else anything is."""
    roles = any(one.role for one in sets)
    shared = tuple(compare(a, b, matters=not roles or _matter(a.role, b.role)) for a, b in combinations(sets, 2))
    leaks = [one for one in shared if one.matters and one.counts]
    return Audit(tuple(sets), shared, _verdict(sets, shared, leaks), not leaks)


def _matter(first: str, second: str) -> bool:
    return first != second and (first in JUDGED or second in JUDGED)


def compare(first: AuditSet, second: AuditSet, *, matters: bool = True) -> Shared:
    """What two sets share; kinds that one of them does not tell are not compared."""
    counts: dict[str, int] = {}
    examples: dict[str, tuple[str, ...]] = {}
    compared = [kind for kind in KINDS if kind in first.parts and kind in second.parts]
    for kind in compared:
        if both := first.parts[kind] & second.parts[kind]:
            counts[kind], examples[kind] = len(both), tuple(sorted(both)[:SHOWN])
    if len(first.hashes) and len(second.hashes):
        compared.append("near-duplicates")
        pairs = near_pairs(first.hashes, second.hashes)
        if len(pairs):
            counts["near-duplicates"] = len(np.unique(pairs[:, 1]))
            examples["near-duplicates"] = tuple(
                f"{first.pictures[a]} ~ {second.pictures[b]}" for a, b in pairs[:SHOWN].tolist()
            )
    return Shared(first.name, second.name, counts, examples, tuple(compared), matters)


def _verdict(sets: Sequence[AuditSet], shared: Sequence[Shared], leaks: Sequence[Shared]) -> str:
    """Two or three plain sentences."""
    said = []
    for one in leaks:
        what = ", ".join(f"{count:,} {kind}" for kind, count in one.counts.items())
        said.append(f"LEAK: {one.first} and {one.second} share {what}.")
    mattering = [one for one in shared if one.matters]
    if not mattering:
        said.append("NOTHING TO JUDGE: no two sets of which one is test or val.")
    elif not leaks:
        kinds = sorted({kind for one in mattering for kind in one.compared})
        said.append(f"Nothing shared was found; compared: {', '.join(kinds) or 'nothing'}.")
    blind = [one for one in mattering if not one.compared]
    said += [f"NOT COMPARED: {one.first} and {one.second}, which tell nothing of the same kind." for one in blind]
    said += [f"Rewards of {one.name}: {one.rewards}." for one in sets if one.rewards]
    unknown = [f"{one.name}: {text}" for one in sets for text in one.unknown]
    if unknown:
        said.append(f"Not known: {'; '.join(unknown)}.")
    return " ".join(said)


def rows(found: Audit) -> list[tuple[str, str, str, str]]:
    """Two sets, what they share, examples, what was compared: for a table."""
    return [
        (f"{one.first} / {one.second}", ", ".join(f"{count:,} {kind}" for kind, count in one.counts.items()) or
         ("nothing" if one.compared else "not comparable"),
         "; ".join(text for texts in one.examples.values() for text in texts[:2]), ", ".join(one.compared))
        for one in found.shared
    ]  # fmt: skip


def as_json(found: Audit) -> str:
    """The audit for `--json`, and for pages that carry its verdict."""
    return json.dumps({
        "verdict": found.verdict, "clean": found.clean,
        "sets": [
            {"name": one.name, "role": one.role, "counts": {kind: len(part) for kind, part in one.parts.items()},
             "pictures_read": len(one.pictures), "rewards": one.rewards, "unknown": one.unknown}
            for one in found.sets
        ],
        "shared": [one._asdict() for one in found.shared],
    }, indent=1) + "\n"  # fmt: skip


def kept_verdict(path: Path) -> str | None:
    """The verdict in a file of `as_json`; None if there is no file. Raises SourceError if it is damaged."""
    try:
        return str(json.loads(path.read_text())["verdict"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SourceError(f"{path}: no audit could be read ({error}). Write it anew: `data audit --json`.") from None


# --- what a set is --------------------------------------------------------------------------------------------


def read_set(given: str, photos: Path | None = None, progress: Callable[[str], object] = lambda name: None) -> AuditSet:
    """A set from "PATH" or "ROLE=PATH".

    photos: where the pictures of records lie; without it near-duplicates of records are not searched. Raises
    SourceError if there is no such file, or if it is none that can be read.
    """
    role, path = _split(given)
    if not path.exists():
        raise SourceError(
            f"{path}: there is no such file or folder. Give ROLE=PATH, or a path; roles: {', '.join(ROLES)}."
        )
    progress(path.name)
    if path.suffix == ".parquet":
        return _of_records(path, role, photos)
    if path.is_dir() and (path / "settings.json").exists():
        return _of_run(path, role or "train")
    if path.is_dir() and ((path / "rules").is_dir() or (path / "prototypes").is_dir()):
        return _of_memory(path, role or "memory")
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.suffix.lower() in PICTURES)
        if not files:
            raise SourceError(f"{path}: holds no pictures, and is no run and no memory.")
        return _with_pictures(_label(role, path), role, {}, {str(file.relative_to(path)): file for file in files})
    nothing = np.zeros((0, WORDS), np.uint64)
    text = "a checkpoint does not say what it was trained on; give its training data as pretraining=FILE.parquet"
    return AuditSet(_label(role, path), role or "pretraining", {}, nothing, (), unknown=(text,))


def _split(given: str) -> tuple[str, Path]:
    role, equals, rest = given.partition("=")
    if equals and role in ROLES:
        return role, Path(rest)
    if equals and not Path(given).exists():
        raise SourceError(f"{given}: '{role}' is no role. Known: {', '.join(ROLES)}.")
    return "", Path(given)


def _label(role: str, path: Path) -> str:
    return f"{role} {path.name}" if role else path.name


def _of_records(path: Path, role: str, photos: Path | None) -> AuditSet:
    with open_records(path) as held:
        table = held.read(columns=["dataset", "subject_id", "sequence", "image_path"])
    columns = {name: table[name].to_pylist() for name in table.column_names}
    parts, unknown = {}, []
    for kind, name in (("subjects", "subject_id"), ("sequences", "sequence"), (PATHS, "image_path")):
        known = {
            _path_end(value) if kind == PATHS else f"{of}: {value}"
            for of, value in zip(columns["dataset"], columns[name])
            if value
        }
        if known:
            parts[kind] = frozenset(known)
        else:
            unknown.append(f"its {kind}")
    pictures = {}
    if photos is None:
        unknown.append("near-duplicates (give --photos)")
    else:
        pictures = {name: photos / name for name in dict.fromkeys(filter(None, columns["image_path"]))}
    return _with_pictures(_label(role, path), role, parts, pictures, unknown=unknown)


def _path_end(path: str) -> str:
    """The last folder and the name: imports of one dataset may begin their paths at different folders."""
    return "/".join(PurePosixPath(path).parts[-2:])


def _of_run(path: Path, role: str) -> AuditSet:
    kept = kept_settings(path)
    settings: dict[str, Any] = (kept or {}).get("settings", {})
    store = GroupStore(path / "store")
    people = store.read_people() if (path / "store").is_dir() else []
    names = {image_of(person.group_id) for person in people}
    parts = {CONTENTS: frozenset(person.photo_sha256 for person in people if person.photo_sha256)}
    critic = settings.get("critic", {}).get("name", "unknown")
    truth = critic in TRUTHFUL
    rewards = f"GROUND TRUTH ({critic}), declared" if truth else f"critic {critic}, not the ground truth"
    files = {str(name): Path(name) for name in dict.fromkeys(person.photo for person in people if person.photo)}
    drawn = sum(not person.photo for person in people)
    unknown = ["subjects and sequences of its photographs"] + (
        [f"{drawn} drawn people without photograph"] if drawn else []
    )
    found = _with_pictures(_label(role, path), role, parts, files, rewards=rewards, unknown=unknown)
    return found._replace(parts={**found.parts, NAMED: frozenset(names)})


def _of_memory(path: Path, role: str) -> AuditSet:
    """Its prototypes name the photographs that they were drawn over."""
    prototypes = MemoryStore(path).read()["prototypes"]
    names = {image_of(str(one["overlay"]).partition("#")[0]) for one in prototypes if one["overlay"]}
    nothing = np.zeros((0, WORDS), np.uint64)
    lacking = sum(not one["overlay"] for one in prototypes)
    unknown = ["subjects and sequences of its prototypes", "photographs from which rules were learned"]
    unknown += [f"{lacking} prototypes that name no overlay"] if lacking else []
    parts = {NAMED: frozenset(names)} if names else {}
    return AuditSet(_label(role, path), role, parts, nothing, (), unknown=tuple(unknown))


def _with_pictures(
    name: str, role: str, parts: dict[str, frozenset[str]], files: dict[str, Path], *, rewards: str = "",
    unknown: Sequence[str] = (),
) -> AuditSet:  # fmt: skip
    """The set with contents and hashes of those pictures that can be read."""
    read = list(_read_pictures(files))
    lost = len(files) - len(read)
    contents = frozenset(sha for _, sha, _ in read) | parts.get(CONTENTS, frozenset())
    hashes = np.stack([bits for *_, bits in read]) if read else np.zeros((0, WORDS), np.uint64)
    notes = [*unknown, *([f"{lost:,} of its {len(files):,} pictures, which cannot be read"] if lost else [])]
    held = {**parts, CONTENTS: contents} if contents else parts
    return AuditSet(name, role, held, hashes, tuple(picture for picture, *_ in read), rewards, tuple(notes))


def _read_pictures(files: dict[str, Path]) -> Iterator[tuple[str, str, NDArray[np.uint64]]]:
    for name, path in files.items():
        try:
            content = hashlib.sha256(path.read_bytes()).hexdigest()
            with Image.open(path) as opened:
                opened.draft("L", (256, 256))
                yield name, content, difference_hash(opened)
        except (OSError, UnidentifiedImageError, Image.DecompressionBombError):
            continue
