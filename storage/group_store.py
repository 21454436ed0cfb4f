"""The group store: people, groups of hypotheses and verdicts in Parquet files. Append and read.

    images.parquet                                the photographs: see `storage.image_list`
    people/<shard>.parquet
    groups/gen=V/<shard>.parquet                  one row per group: the person, and what its hypotheses share
    hyps/gen=V/<shard>.parquet                    one row per hypothesis, in the order of `groups`
    meshes/                                       of hypotheses without a pose: see `storage.mesh_store`
    scores/critic=C/gen=V/run=R/<shard>.parquet   one row per hypothesis, in the order of `hyps`
    replies/critic=C/gen=V/run=R/<shard>.parquet  one row per call to a remote critic
    scores/critic=C/_about.json                   what the critic's name and version stand for

Verdicts on a part of a shard's groups are in `<shard>+1.parquet`, `+2` and so on: groups that were pending and were
judged later, or were judged again. Of several verdicts on a group the newest counts. A hypothesis that was not
judged is a row with a status and a NULL score. Writing a shard again with equal content does nothing (durations do
not count); with other content it is an error. An empty shard is a shard; a table without rows has no file. Rows of a
photograph that has since changed or been removed stay in the files, but no method returns them.

Lists, counts, plans and the writing of verdicts read only manifests (see `storage.shards.notes`), and one small column
of `groups` for which groups there are: a critic that judges again reads only the meshes that it needs.

    pandas.read_parquet("store/scores")           all scores, with columns critic, gen and run

Source: the layout and its measurements are our own.
"""

import hashlib
import json
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache, partial
from itertools import accumulate, groupby
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar
from urllib.parse import quote, unquote

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from storage.finished_file import read_again
from storage.image_list import ImageList, read_images, write_images
from storage.mesh_store import MeshStore
from storage.records import PASSING, Group, Person, Verdict
from storage.remote_path import Place, tables_of, write_whole
from storage.rows import (
    content_digest,
    earlier_content_digest,
    groups_of_rows,
    people_of_rows,
    rows_of_groups,
    rows_of_people,
    rows_of_verdicts,
)
from storage.schema import TABLES, StoreError, encode
from storage.shards.entries import natural
from storage.shards.files import groups_in_file, read_columns, read_rows, read_table, sizes_of
from storage.shards.manifest import Manifest
from storage.shards.notes import (
    COVERS,
    ORDER,
    PLACES,
    SIZES,
    notes_of_groups,
    notes_of_verdicts,
    order_of,
    unsureness,
)
from storage.shards.verdict_parts import (
    Lacking,
    VerdictPart,
    drawn_again,
    lacking_by_notes,
    part_of,
    unsure_by_notes,
    verdicts_in,
    whole_name,
)

__all__ = ["GroupStore", "Lacking", "StoreError", "VerdictSummary"]

# Which tables are committed together, and the folders under each that have a manifest of their own.
_SETS = {
    ("people",): "",
    ("groups", "hyps"): "gen=*",
    ("scores", "replies"): "critic=*/gen=*/run=*",
}


T = TypeVar("T")

_AT_ONCE = 8  # files of which a list reads columns at once


class VerdictSummary(NamedTuple):
    """Counts of one critic's verdicts in one generation: `groups` counts groups, the others hypotheses."""

    groups: int
    scored: int
    abstained: int  # without a score, for any reason
    statuses: dict[str, int]  # by status, 'ok' too; only those that occur


@dataclass(frozen=True)
class GroupStore:
    """All people, groups and verdicts, under one folder; many processes may write at once.

    Methods that read or write tables raise StoreError if a file is damaged or lost, has another schema version, or if
    a shard is not in the store.
    """

    root: Place  # a folder, which may name another place for its tables, or a prefix in an object store

    @cached_property
    def place(self) -> Any:
        """Where the tables lie: a `Place`."""
        return tables_of(self.root)

    def write_people(self, shard: str, people: Sequence[Person]) -> None:
        """Add the people found in one shard of the photographs (none, if none were found).

        Raises StoreError if the shard is there with other content, or if a person occurs twice.
        """
        images = self.images
        self._write(self._people(), shard, rows_of_people([images.as_stored(person) for person in people]), {})

    @property
    def images(self) -> ImageList:
        """The photographs; an empty list if the store keeps none."""
        return read_images(self.place) or ImageList(Path(), ())

    def write_images(self, images: ImageList) -> None:
        """Replace the list of photographs; rows of removed photographs are hidden from then on."""
        write_images(self.place, images)

    def people_shards(self) -> list[str]:
        """The shards of people, without those whose photographs have all changed or gone."""
        return self._shown(self._people())

    def read_people(self, shard: str | None = None) -> list[Person]:
        """The people of one shard, or of all; raises StoreError if the shard is unknown or damaged."""
        shards = self.people_shards() if shard is None else [shard]
        images = self.images
        return [
            person
            for name in shards
            for person in people_of_rows(read_table(self._people(), "people", name), images.path_of)
            if images.holds(person.group_id)
        ]

    def write_groups(self, gen: str, shard: str, groups: Sequence[Group]) -> None:
        """Add the groups drawn for one shard of people in one generation (for example "round0").

        Raises StoreError if the shard is there with other content, or if arrays do not fit the schema.
        """
        images = self.images
        for mesh in (mesh for group in groups for mesh in group.meshes if mesh is not None):
            self._meshes.write(mesh)
        stored = [replace(group, person=images.as_stored(group.person)) for group in groups]
        drawn = {group.person.group_id: len(group) for group in groups}
        self._write(self._groups(gen), shard, rows_of_groups(stored), notes_of_groups(drawn))

    def gens(self) -> list[str]:
        """The generations that have groups."""
        found = [path.name.removeprefix("gen=") for path in self.place.glob("groups/gen=*")]
        return sorted((gen for gen in found if self._groups(gen).begun()), key=natural)

    def group_shards(self, gen: str) -> list[str]:
        """The shards of groups of a generation, without those whose photographs have all changed or gone."""
        return self._shown(self._groups(gen))

    def group_contents(self, gen: str) -> dict[str, str]:
        """A digest of each shard of groups; it changes if the shard was drawn again or photographs were removed."""
        hidden: dict[str, list[str]] = {}
        for image in self.images.exceptions.values():
            if not image.present:
                hidden.setdefault(image.shard, []).append(image.image_id)
        found = self._groups(gen).shards()
        return {name: _digest(found[name].content, hidden.get(name, [])) for name in self.group_shards(gen)}

    def read_groups(self, gen: str, shard: str) -> list[Group]:
        """The groups of one shard, in order; raises StoreError if the shard is unknown or damaged."""
        manifest = self._groups(gen)
        with ThreadPoolExecutor(2) as pool:
            groups, hyps = pool.map(lambda table: read_table(manifest, table, shard), manifest.folders)
        images = self.images
        found = groups_of_rows(groups, hyps, self._meshes.read, images.path_of)
        return [group for group in found if images.holds(group.person.group_id)]

    def read_group(self, gen: str, shard: str, group_id: str) -> Group:
        """One group; reads a few MB, for any number of groups in the shard.

        Raises StoreError if the shard has no such group, or is unknown or damaged.
        """
        manifest, drawn, images = self._groups(gen), self._drawn(gen, shard), self.images
        if group_id not in drawn or not images.holds(group_id):
            raise StoreError(f"{manifest.path.parent}: shard '{shard}' has no group '{group_id}'")
        place, ends = list(drawn).index(group_id), list(accumulate(drawn.values()))
        groups = read_rows(manifest, "groups", shard, place, place + 1)
        hyps = read_rows(manifest, "hyps", shard, ends[place] - drawn[group_id], ends[place])
        (group,) = groups_of_rows(groups, hyps, self._meshes.read, images.path_of)
        return group

    def columns(self, table: Literal["groups", "hyps"], gen: str, shard: str, *names: str) -> pa.Table:
        """Some columns of a shard's groups or hypotheses, in order, as Arrow: for lists of very many groups.

        Of the file only these columns are read, so its checksums are not; raises StoreError if that fails.
        """
        manifest, path = self._groups(gen), self._groups(gen).file(table, shard)
        if manifest.stored(table, shard) is None:
            return pa.schema([TABLES[table].field(name) for name in names]).empty_table()
        try:
            found = read_columns(path, list(dict.fromkeys(["group_id", *names])))
        except (OSError, ValueError, KeyError, pa.ArrowException) as error:
            raise StoreError(f"{path}: cannot be read ({error}); `GroupStore.verify` says what is damaged") from error
        return self._held(found).select(list(names))

    def verdict_columns(self, gen: str, critic: str, shard: str, *names: str) -> pa.Table:
        """Some columns of `scores`, of the newest verdict on each group of a shard, as Arrow; empty without verdicts.

        Groups may be in any order, the hypotheses of one follow each other. Raises StoreError if a file is damaged.
        """
        wanted = dict.fromkeys(["group_id", *names])
        found, seen = [pa.schema([TABLES["scores"].field(name) for name in wanted]).empty_table()], set[str]()
        for part in self._parts_of(gen, critic, shard):
            rows = read_table(part.manifest, "scores", part.name, *wanted)
            keys = rows["group_id"].to_pylist()
            found.append(rows.filter(pa.array([key not in seen for key in keys], pa.bool_())) if seen else rows)
            seen |= set(keys)
        return self._held(pa.concat_tables(found)).select(list(names))

    def _held(self, rows: pa.Table) -> pa.Table:
        """Without the rows of photographs that have changed or gone."""
        images = self.images
        if not images.exceptions:
            return rows
        return rows.filter(pa.array([images.holds(key) for key in rows["group_id"].to_pylist()], pa.bool_()))

    def group_rows(self, gen: str, shard: str) -> pa.Table:
        """Table `groups` of a shard as it is stored, rows of removed photographs too."""
        return read_table(self._groups(gen), "groups", shard)

    @property
    def _meshes(self) -> MeshStore:
        return MeshStore(self.place / "meshes")

    def group_sizes(self, gen: str, shard: str) -> list[int]:
        """The number of hypotheses of each group of a shard, in order."""
        return list(self.hypotheses_of(gen, shard).values())

    def write_verdicts(self, gen: str, critic: str, run: str, shard: str, verdicts: Sequence[Verdict]) -> None:
        """Add a critic's verdicts on one shard of groups: one per group, in the order of the groups.

        Raises StoreError if the verdicts do not match the groups and their hypotheses, are of another critic, or are
        there with other content.
        """
        self._check_names(gen, critic, shard, verdicts)
        judged = {verdict.group_id: len(verdict.scores) for verdict in verdicts}
        if len(judged) < len(verdicts) or self._order_of(gen, shard) != order_of(judged):
            drawn = list(self._drawn(gen, shard).items())
            judged = [(verdict.group_id, len(verdict.scores)) for verdict in verdicts]
            counts = (len(drawn), len(judged))
            unlike = next((pair for pair in zip(drawn, judged) if pair[0] != pair[1]), counts)
            raise StoreError(
                f"shard '{shard}' of {gen}: the verdicts of {critic} do not follow the groups "
                f"(first unlike: {unlike[0]} drawn, {unlike[1]} judged); give one verdict per group in "
                "the groups' order, and one score per hypothesis (NaN for one that was not judged)"
            )
        self._write_verdicts(gen, critic, run, shard, shard, verdicts, {})

    def add_verdicts(self, gen: str, critic: str, run: str, shard: str, verdicts: Sequence[Verdict]) -> None:
        """Add a critic's verdicts on some groups of a shard; they replace its earlier ones on these groups.

        Raises StoreError if a verdict is of another critic, of no group of the shard, or has another number of
        hypotheses.
        """
        judged = {one.group_id: len(one.scores) for one in verdicts}
        taken = self._scores(critic, gen, run).numbered(shard)
        if not taken and self._order_of(gen, shard) == order_of(judged):
            self.write_verdicts(gen, critic, run, shard, verdicts)
            return
        self._check_names(gen, critic, shard, verdicts)
        drawn = self._drawn(gen, shard)
        for group_id, size in judged.items():
            if drawn.get(group_id) != size:
                raise StoreError(
                    f"shard '{shard}' of {gen}: the verdict of {critic} on {group_id} is of no group of the "
                    "shard, or of another number of hypotheses; judge the groups that are stored"
                )
        if verdicts:
            numbers = [int(name.removeprefix(f"{shard}+")) for name in taken if name != shard]
            place = {key: k for k, key in enumerate(drawn)}
            of_shard = {ORDER: order_of(drawn), PLACES: [place[verdict.group_id] for verdict in verdicts]}
            name = f"{shard}+{max(numbers, default=0) + 1}"
            self._write_verdicts(gen, critic, run, shard, name, verdicts, of_shard)

    def describe_critic(self, critic: str, about: Mapping[str, Any]) -> None:
        """Write what a critic's name and version stand for, beside its verdicts; replaces an earlier description."""
        path = self._about(critic)
        content = json.dumps(about, indent=1, sort_keys=True).encode()
        if not path.exists() or path.read_bytes() != content:
            write_whole(path, content)

    def critic_description(self, critic: str) -> dict[str, Any] | None:
        """The description that `describe_critic` wrote; None if there is none, as in older stores."""
        return read_again(self._about(critic), lambda path: json.loads(path.read_bytes()))

    def all_critics(self) -> list[str]:
        """The critics that have judged, or were about to judge, groups of any generation."""
        return sorted({unquote(path.name.removeprefix("critic=")) for path in self.place.glob("scores/critic=*")})

    def _about(self, critic: str) -> Any:
        return self.place / "scores" / _critic(critic) / "_about.json"

    def _check_names(self, gen: str, critic: str, shard: str, verdicts: Sequence[Verdict]) -> None:
        strangers = sorted({verdict.critic for verdict in verdicts} - {critic})
        if strangers:
            raise StoreError(
                f"shard '{shard}' of {gen}: verdicts of {', '.join(strangers)} among those of {critic}; "
                "write each critic's verdicts under its own name"
            )

    def hypotheses_of(self, gen: str, shard: str) -> dict[str, int]:
        """The groups of a shard in their order, and how many hypotheses each has."""
        images, drawn = self.images, self._drawn(gen, shard)
        return {key: size for key, size in drawn.items() if images.holds(key)} if images.exceptions else dict(drawn)

    def _drawn(self, gen: str, shard: str) -> dict[str, int]:
        """The same, of all groups in the files, hidden ones too."""
        manifest, found = self._groups(gen), self._groups(gen).find(shard)
        if found and ORDER in found.noted:
            path, sizes = manifest.file("groups", shard), tuple(found.noted.get(SIZES, ()))
            try:
                return groups_in_file(path, found.noted[ORDER], sizes)
            except (StoreError, OSError, ValueError, pa.ArrowException):  # reported when all of the file is read
                pass
        return sizes_of(read_table(manifest, "groups", shard, "group_id", "hypotheses"))

    def _noted_order(self, gen: str, shard: str) -> str | None:
        """The digest of the groups' order in the manifest; None in older manifests."""
        found = self._groups(gen).find(shard)
        return found.noted.get(ORDER) if found else None

    def _order_of(self, gen: str, shard: str) -> str:
        return self._noted_order(gen, shard) or order_of(self._drawn(gen, shard))

    def critics(self, gen: str) -> list[str]:
        """The critics that have judged groups of a generation."""
        found = self.place.glob(f"scores/critic=*/gen={_name('generation', gen)}")
        return sorted({unquote(path.parent.name.removeprefix("critic=")) for path in found})

    def verdict_shards(self, gen: str, critic: str) -> list[str]:
        """The shards of which this critic has judged a group in any run."""
        return list(self.parts(gen, critic))

    def last_judged(self, gen: str, critic: str) -> int:
        """When this critic last judged groups of a generation, ns since 1970; 0 = never. Reads manifests only."""
        return max((part.written_ns for parts in self.parts(gen, critic).values() for part in parts), default=0)

    def read_verdicts(self, gen: str, critic: str, shard: str) -> list[Verdict]:
        """The newest verdict on each group of one shard, in the groups' order; groups without one are left out.

        Raises StoreError if the critic has no verdicts on the shard, or if they no longer fit the groups.
        """
        parts = self._parts_of(gen, critic, shard)
        if not parts:
            raise StoreError(
                f"{self.place}: no verdicts of critic '{critic}' on shard '{shard}' of '{gen}'; score it first"
            )
        images = self.images
        return [one for one in self._verdicts(gen, critic, shard, parts) if images.holds(one.group_id)]

    def lacking(self, gen: str, critic: str) -> list[str]:
        """The shards with groups that this critic has not judged yet."""
        parts, hidden = self.parts(gen, critic), self.images.shards_with_hidden
        return [
            shard
            for shard in self.group_shards(gen)
            if (shard not in parts and shard not in hidden)
            or self._unjudged(gen, shard, parts.get(shard, ()))
            or (shard not in parts and not self._drawn(gen, shard))
        ]

    def lacking_groups(self, gen: str, critic: str) -> dict[str, Lacking]:
        """For each shard of `lacking`, which groups they are and how many hypotheses each has.

        Of a shard that this program wrote only the manifests are read, unless photographs of it are gone.
        """
        parts, images = self.parts(gen, critic), self.images
        found: dict[str, Lacking | None] = {}
        for shard, stored in self._groups(gen).shards().items():
            if shard not in images.emptied:
                whole = shard not in images.shards_with_hidden
                found[shard] = lacking_by_notes(stored.noted, parts.get(shard, ())) if whole else None

        def read(shard: str) -> Lacking:
            drawn, open_ids = self._drawn(gen, shard), set(self._unjudged(gen, shard, parts.get(shard, ())))
            places = np.array([k for k, key in enumerate(drawn) if key in open_ids], np.int64)
            sizes = np.array(list(drawn.values()), np.int64)
            return Lacking(sizes[places], None if len(places) == len(sizes) else places)

        found |= _at_once(read, [shard for shard, one in found.items() if one is None])
        return {
            shard: one
            for shard, one in found.items()
            if one and (len(one.sizes) or (shard not in parts and one.places is None))
        }

    def unsureness(self, gen: str, critic: str, lacking: Mapping[str, Lacking]) -> dict[str, NDArray[np.float32]]:
        """How unsure a critic's newest first choice was in each of these groups of shards, points.

        Infinite for groups that it has not judged. See `storage.shards.notes.unsureness`.
        """
        parts, drawn = self.parts(gen, critic), self._groups(gen).shards()
        found: dict[str, NDArray[np.float32]] = {}
        for shard, one in lacking.items():
            if (noted := unsure_by_notes(drawn[shard].noted, parts.get(shard, ()), one)) is not None:
                found[shard] = noted

        def read(shard: str) -> NDArray[np.float32]:
            rows = self.verdict_columns(gen, critic, shard, "group_id", "score", "uncertainty")
            runs = [(key, len(list(same))) for key, same in groupby(rows["group_id"].to_pylist())]
            scores, errors = (rows[name].to_numpy() for name in ("score", "uncertainty"))  # NULL becomes NaN
            each = unsureness(np.array([size for _, size in runs], np.int64), scores, errors)
            known = dict(zip((key for key, _ in runs), each.tolist()))
            own = np.array([known.get(key, np.inf) for key in self._drawn(gen, shard)], np.float32)
            return own if (places := lacking[shard].places) is None else own[places]

        return found | _at_once(read, [shard for shard in lacking if shard not in found])

    def group_ids(self, gen: str, shard: str) -> list[str]:
        """The groups of a shard as its file has them, those of removed photographs too."""
        return list(self._drawn(gen, shard))

    def unjudged(self, gen: str, critic: str, shard: str) -> list[str]:
        """Groups of a shard without a verdict, or whose newest one is a temporary fault, as in older stores.

        They should be judged again.
        """
        return self._unjudged(gen, shard, self._parts_of(gen, critic, shard))

    def _unjudged(self, gen: str, shard: str, parts: Sequence[VerdictPart]) -> list[str]:
        """The same, given the files with verdicts, newest first."""
        for part in parts:
            if not part.final:
                break
            if part.covers:  # it and the newer ones have a final verdict on every group
                return []
        judged: dict[str, bool] = {}
        for part in parts:
            rows = read_table(part.manifest, "scores", part.name, "group_id", "status")
            own: dict[str, bool] = {}
            for group_id, status in zip(rows["group_id"].to_pylist(), rows["status"].to_pylist()):
                own[group_id] = own.get(group_id, True) and status not in PASSING
            judged = own | judged
        return [group_id for group_id in self.hypotheses_of(gen, shard) if not judged.get(group_id, False)]

    def judged(self, gen: str, critic: str) -> Iterator[tuple[Group, Verdict]]:
        """Every judged group with its newest verdict; one shard is in memory at a time. Raises as `read_verdicts`."""
        for shard, parts in self.parts(gen, critic).items():
            yield from self._pairs(gen, shard, parts, critic)

    def verdict_summary(self, gen: str, critic: str) -> VerdictSummary:
        """Counts over the newest verdicts of a critic."""
        groups, statuses, images = 0, Counter(), self.images
        for shard, parts in self.parts(gen, critic).items():
            for verdict in self._verdicts(gen, critic, shard, parts):
                if not images.holds(verdict.group_id):
                    continue
                groups += 1
                statuses.update(verdict.statuses)
        return VerdictSummary(groups, statuses["ok"], statuses.total() - statuses["ok"], dict(statuses))

    def merge_verdicts(self, gen: str, critic: str, run: str, shard: str, names: Sequence[str]) -> Manifest:
        """Commit the newest verdict on each group of some parts of a run as one more part, as old as their newest.

        Returns the manifest of the run, which still has the old parts. Raises StoreError if they are damaged.
        """
        manifest = self._scores(critic, gen, run)
        parts = sorted(
            (part for part in self._parts_of(gen, critic, shard) if part.run == run and part.name in names),
            key=lambda part: part[:2],
            reverse=True,
        )
        verdicts = self._verdicts(gen, critic, shard, parts)
        number = max(int(name.rpartition("+")[2]) for name in manifest.numbered(shard) if name != shard) + 1
        drawn = self._drawn(gen, shard)
        place = {key: k for k, key in enumerate(drawn)}
        places = [place[verdict.group_id] for verdict in verdicts]
        of_shard = {ORDER: order_of(drawn), PLACES: places, COVERS: len(places) == len(drawn)}
        noted = notes_of_verdicts(verdicts) | of_shard
        self._write(manifest, f"{shard}+{number}", rows_of_verdicts(verdicts), noted, parts[0].written_ns)
        return manifest

    def verify(self) -> list[str]:
        """Faults of the store's files, one sentence each; reads all files."""
        return [problem for manifest in self.manifests() for problem in manifest.all_damage()]

    def sweep(self, damaged: bool = False) -> list[Any]:
        """Remove the files that no manifest knows, left by killed writers, and return their paths.

        With `damaged`, shards with a damaged or lost file are removed too, so that the next run makes them again.
        """
        return [path for manifest in self.manifests() for path in manifest.sweep(damaged)]

    def _write_verdicts(
        self, gen: str, critic: str, run: str, shard: str, name: str, verdicts: Sequence[Verdict], noted: dict[str, Any]
    ) -> None:
        """Commit verdicts on groups of a shard under a name, as the critic's newest on them.

        Their time is later than that of all others on the shard, also where the clock of those that wrote them is ahead
        of ours: otherwise these would count as the older ones.
        """
        manifest, tables = self._scores(critic, gen, run), rows_of_verdicts(verdicts)
        newest = max((part.written_ns for part in self._parts_of(gen, critic, shard)), default=0)
        noted = notes_of_verdicts(verdicts) | noted
        self._write(manifest, name, tables, noted, max(time.time_ns(), newest + 1))

    def _write(
        self,
        manifest: Manifest,
        shard: str,
        tables: dict[str, pa.Table],
        noted: Mapping[str, Any],
        written_ns: int | None = None,
    ) -> None:
        files = {name: lambda table=table: encode(table) for name, table in tables.items() if len(table)}
        content, earlier = partial(content_digest, tables), partial(earlier_content_digest, tables)
        manifest.commit(_name("shard", shard), content, files, noted, earlier, written_ns)

    def _verdicts(self, gen: str, critic: str, shard: str, parts: Sequence[VerdictPart]) -> list[Verdict]:
        """The newest verdict on each group, in the groups' order. `parts`: newest first."""
        if len(parts) == 1 and parts[0].covers:
            return verdicts_in(parts[0], critic)
        drawn, found = self._drawn(gen, shard), dict[str, Verdict]()
        for part in parts:
            for verdict in verdicts_in(part, critic):
                if drawn.get(verdict.group_id) != len(verdict.scores):
                    raise drawn_again(part, gen)
                found.setdefault(verdict.group_id, verdict)
            if len(found) == len(drawn):
                break
        return [found[group_id] for group_id in drawn if group_id in found]

    def _pairs(
        self, gen: str, shard: str, parts: Sequence[VerdictPart], critic: str
    ) -> Iterator[tuple[Group, Verdict]]:
        groups = {group.person.group_id: group for group in self.read_groups(gen, shard)}
        images = self.images
        verdicts = [one for one in self._verdicts(gen, critic, shard, parts) if images.holds(one.group_id)]
        for place, verdict in enumerate(verdicts):
            group = groups.pop(verdict.group_id, None)
            verdicts[place] = None  # type: ignore[call-overload]  # free what was yielded
            if group is None or len(group) != len(verdict.scores):
                raise drawn_again(parts[0], gen)
            yield group, verdict

    def parts(self, gen: str, critic: str) -> dict[str, list[VerdictPart]]:
        """For each shard of which the critic judged a group, the files with its verdicts, newest first."""
        groups, emptied = self._groups(gen), self.images.emptied
        drawn = groups.shards().keys() - emptied
        found: dict[str, list[VerdictPart]] = {}
        for run, manifest in self._runs(gen, critic):
            for name, shard in manifest.shards().items():
                of = name if name in drawn else whole_name(name)
                found.setdefault(of, []).append(part_of(run, name, of, manifest, shard))
        for parts in found.values():
            parts.sort(key=lambda part: part[:2], reverse=True)
        return {name: found[name] for name in sorted(found, key=natural) if name not in emptied}

    def _parts_of(self, gen: str, critic: str, shard: str) -> list[VerdictPart]:
        """Those of one shard, without reading the others."""
        groups, emptied = self._groups(gen), self.images.emptied

        def drawn(name: str) -> bool:
            return groups.find(name) is not None and name not in emptied

        found = [
            part_of(run, name, shard, manifest, stored)
            for run, manifest in self._runs(gen, critic)
            for name in manifest.numbered(shard)
            if shard == (name if drawn(name) else whole_name(name)) and (stored := manifest.find(name))
        ]
        return [] if shard in emptied else sorted(found, key=lambda part: part[:2], reverse=True)

    def _runs(self, gen: str, critic: str) -> list[tuple[str, Manifest]]:
        """The runs in which a critic judged groups of a generation."""
        runs = self.place.glob(f"scores/{_critic(critic)}/gen={_name('generation', gen)}/run=*")
        return [(run, self._scores(critic, gen, run)) for run in (path.name.removeprefix("run=") for path in runs)]

    def _shown(self, manifest: Manifest) -> list[str]:
        """The shards, without those whose photographs have all changed or gone."""
        emptied = self.images.emptied
        return [shard for shard in manifest.shards() if shard not in emptied]

    def _people(self) -> Manifest:
        return self._manifest(("people",), "")

    def _groups(self, gen: str) -> Manifest:
        return self._manifest(("groups", "hyps"), f"gen={_name('generation', gen)}")

    def _scores(self, critic: str, gen: str, run: str) -> Manifest:
        version = f"{_critic(critic)}/gen={_name('generation', gen)}/run={_name('run', run)}"
        return self._manifest(("scores", "replies"), version)

    def _manifest(self, tables: tuple[str, ...], version: str) -> Manifest:
        return _manifest_at(self.place, tables, version)

    def manifests(self) -> list[Manifest]:
        """All manifests, also those never written because their first writer was killed."""
        return [
            self._manifest(tables, version)
            for tables, pattern in _SETS.items()
            for version in sorted(
                {
                    str(folder.relative_to(self.place / table))
                    for table in tables
                    for folder in self.place.glob(f"{table}/{pattern}")
                    if folder.is_dir()
                }
            )
        ]


@lru_cache(maxsize=64)
def _manifest_at(place: Place, tables: tuple[str, ...], version: str) -> Manifest:
    """Kept, as its paths take longer to make than to use."""
    return Manifest({table: place / table / version for table in tables})


def _digest(content: str, hidden: Sequence[str]) -> str:
    """Digest of a shard's content and of what is hidden of it."""
    return hashlib.sha256("/".join([content, *sorted(hidden)]).encode()).hexdigest() if hidden else content


def _at_once(read: Callable[[str], T], shards: Sequence[str]) -> dict[str, T]:
    """What is read of many shards, several at a time, in their order."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return dict(zip(shards, pool.map(read, shards)))


def _name(kind: str, name: str) -> str:
    """`name`, if it can be part of a path that every reader of Parquet folders understands."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._+-]*", name):
        raise StoreError(
            f"{kind} '{name}' cannot name a file; use letters, digits and . + - _ (not one of these first)"
        )
    return name


def _critic(name: str) -> str:
    """Folder of a critic; readers of Parquet folders turn %2F in it back into a slash."""
    return f"critic={quote(name, safe='@')}"
