"""Stored verdicts of a critic -> a small judge; and how unsure a judge is of each group."""

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from critique.evidence import finite, members
from critique.judge.distilled import doubt, points_of
from critique.judge.features import FEATURES, features
from critique.judge.fitting import Lessons, TooFewGroups, fit, provenance
from critique.judge.network import Judge, read_judge, stored
from storage.finished_file import finished_file, read_again
from storage.group_store import GroupStore
from tasks.critics.judges import answers_of, write_judge
from tasks.groups.overlays import drawn_groups
from tasks.run.settings import OverlaySection, SettingsError
from tasks.run.shard_task import task

Floats = NDArray[np.float64]


class Read(NamedTuple):
    """What a judge reads of the groups of one shard."""

    ids: list[str]
    photographs: list[str]  # digest of the one that each group is in
    features: list[Floats]  # per group (G, features); a row of NaN = a hypothesis that is not finite


@task(task_run_name="read {gen} {shard}")
def read_features(shard: str, gen: str, store_root: Path, body_path: Path | None) -> Path:
    """Compute what a judge reads of a shard's groups, and keep it beside the store; returns the file.

    A file of the same groups and features is kept.
    """
    store = GroupStore(store_root)
    details = repr((store.group_contents(gen)[shard], FEATURES, str(body_path)))
    path = _folder(store_root, gen) / f"{shard}-{hashlib.sha256(details.encode()).hexdigest()[:16]}.npz"
    if read_again(path, _load) is None:
        groups = store.read_groups(gen, shard)
        rows = []
        for drawn in drawn_groups(groups, body_path, OverlaySection(), sight=None):
            sound, row = np.flatnonzero(finite(drawn)), np.full((len(drawn.group), len(FEATURES)), np.nan)
            if len(sound):
                row[sound] = features(members(drawn, sound))
            rows.append(row)
        with finished_file(path) as unfinished:
            np.savez(
                unfinished,
                ids=np.array([group.person.group_id for group in groups], str),
                photographs=np.array([group.person.photo_sha256 for group in groups], str),
                sizes=np.array([len(row) for row in rows], int),
                rows=np.concatenate(rows).astype(np.float32) if rows else np.empty((0, len(FEATURES)), np.float32),
            )
    return path


def _folder(store_root: Path, gen: str) -> Path:
    return store_root.parent / "prepared" / f"judge-{gen}"


def _load(path: Path) -> Read:
    with path.open("rb") as file, np.load(file) as kept:
        rows = kept["rows"].astype(np.float64)
        parts = np.split(rows, np.cumsum(kept["sizes"])[:-1]) if len(kept["sizes"]) else []
        return Read(kept["ids"].tolist(), kept["photographs"].tolist(), parts)


def joined(files: Iterable[Path]) -> Read:
    """What several files of `read_features` hold, as one."""
    found = [_load(file) for file in files]
    return Read(*([item for part in column for item in part] for column in zip(*found))) if found else Read([], [], [])


@task(task_run_name="learn from {teacher}")
def learn(
    teacher: str, files: dict[str, list[Path]], store_root: Path, target: Path, start: Path | None = None
) -> dict[str, Any]:
    """Fit a judge to all verdicts of `teacher` on generations whose files of `read_features` are given, and write it.

    start: file of the judge that learns on. Returns how well it does on photographs that it did not see, and its
    digest. Raises SettingsError if there are too few verdicts.
    """
    store, first = GroupStore(store_root), None if start is None else read_judge(start)
    rows: list[Floats] = []
    scores: list[Floats] = []
    photographs, names = [], []
    for gen, own in files.items():
        answers, read = answers_of(store, gen, teacher), joined(own)
        for group_id, photograph, row in zip(*read):
            if group_id in answers and (~np.isnan(answers[group_id].scores)).sum() > 1:
                rows.append(row)
                scores.append(answers[group_id].scores)
                photographs.append(photograph)
                names.append(f"{gen}/{group_id}")
    try:
        fitted = fit(Lessons(rows, scores, photographs), first)
    except TooFewGroups as error:
        raise SettingsError(f"{store_root}: {teacher} teaches too little: {error}") from None
    about = provenance(fitted, teacher, names) | ({} if first is None else {"start": first.digest})
    write_judge(stored(fitted.judge, about), target)
    return {**fitted.quality._asdict(), "digest": fitted.judge.digest}


def doubts(judge: Judge, read: Read) -> dict[str, float]:
    """How unsure the judge is of each group, 0 to 1, by group id; groups without a finite hypothesis are left out."""
    found = {}
    for group_id, row in zip(read.ids, read.features):
        sound = np.isfinite(row).all(-1)
        if sound.any():
            found[group_id] = doubt(points_of(judge.worths(row[sound])))
    return found


def shards_with(store: GroupStore, gen: str, wanted: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """The shards of a generation that hold some of these groups, and the groups' places in them."""
    found = {}
    for shard in store.group_shards(gen):
        names = store.hypotheses_of(gen, shard).keys() & set(wanted)
        found[shard] = tuple(place for place, one in enumerate(store.group_ids(gen, shard)) if one in names)
    return {shard: places for shard, places in found.items() if places}
