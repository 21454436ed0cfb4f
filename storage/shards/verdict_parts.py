"""The files with a critic's verdicts on one shard, newest first, and what their notes tell without reading them."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from storage.records import Verdict
from storage.rows import verdicts_of_rows
from storage.schema import StoreError
from storage.shards.entries import StoredShard
from storage.shards.files import read_table
from storage.shards.manifest import Manifest
from storage.shards.notes import COVERS, ORDER, PENDING, PLACES, sizes_noted, unsure_noted


class Lacking(NamedTuple):
    """Groups of a shard that a critic has not judged."""

    sizes: NDArray[np.int64]  # hypotheses of each
    places: NDArray[np.int64] | None  # among the groups of the shard, see `group_ids`; None = all of them


class VerdictPart(NamedTuple):
    """One file of verdicts on a shard, or on some groups of it."""

    written_ns: int
    run: str
    name: str
    manifest: Manifest
    final: bool  # by the manifest, all its verdicts are final
    covers: bool  # it has a verdict on every group of the shard
    noted: Mapping[str, Any]  # in the manifest

    def places(self, order: str | None, groups: int) -> NDArray[np.int64] | None:
        """The places of the judged groups, if the manifest knows them for groups in this order."""
        if order is None or self.noted.get(ORDER) != order:
            return None
        if self.covers:
            return np.arange(groups)
        return np.array(self.noted[PLACES], np.int64) if PLACES in self.noted else None


def verdicts_in(part: VerdictPart, critic: str) -> list[Verdict]:
    """The verdicts in a file, in their order. Raises StoreError if it is lost or damaged."""
    scores, replies = (read_table(part.manifest, table, part.name) for table in part.manifest.folders)
    return verdicts_of_rows(scores, replies, critic)


def drawn_again(part: VerdictPart, gen: str) -> StoreError:
    """What to raise where verdicts do not fit the groups of a generation."""
    return StoreError(
        f"{part.manifest.file('scores', part.name)}: does not follow the groups of '{gen}', which "
        "were drawn again since; score this shard in a new run"
    )


def part_of(run: str, name: str, of: str, manifest: Manifest, shard: StoredShard) -> VerdictPart:
    """A file of verdicts, as the manifest of a run knows it. of: the shard whose groups it is about."""
    noted = shard.noted
    return VerdictPart(
        shard.written_ns, run, name, manifest, noted.get(PENDING) == 0, noted.get(COVERS, name == of), noted
    )


def whole_name(name: str) -> str:
    """The shard that a part `+k` is of."""
    return re.sub(r"\+[0-9]+$", "", name) if "+" in name else name


def lacking_by_notes(noted: Mapping[str, Any], parts: Sequence[VerdictPart]) -> Lacking | None:
    """Which groups of a shard have no verdict, by manifests alone; None if they do not tell. `parts`: newest first."""
    sizes = sizes_noted(noted)
    if sizes is None:
        return None
    lacks = np.ones(len(sizes), bool)
    for part in parts:
        if not part.final:
            return None
        if part.covers:
            return Lacking(sizes[:0], np.empty(0, np.int64))
        places = part.places(noted.get(ORDER), len(sizes))
        if places is None:
            return None
        lacks[places] = False
    return Lacking(sizes, None) if lacks.all() else Lacking(sizes[lacks], np.flatnonzero(lacks))


def unsure_by_notes(
    noted: Mapping[str, Any], parts: Sequence[VerdictPart], wanted: Lacking
) -> NDArray[np.float32] | None:
    """How unsure the first choices in some groups of a shard are, by manifests alone; None if they do not tell."""
    if not parts:
        return np.full(len(wanted.sizes), np.inf, np.float32)
    sizes = sizes_noted(noted)
    if sizes is None:
        return None
    found, known = np.full(len(sizes), np.inf, np.float32), np.zeros(len(sizes), bool)
    for part in parts:
        places, unsure = part.places(noted.get(ORDER), len(sizes)), unsure_noted(part.noted)
        if places is None or unsure is None or len(places) != len(unsure):
            return None
        new = ~known[places]
        found[places[new]], known[places] = unsure[new], True
        if part.covers:
            break
    return found if wanted.places is None else found[wanted.places]
