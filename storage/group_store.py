"""The group store: people, groups of hypotheses and verdicts in Parquet files. Append and read.

    images.parquet                                the photographs: see `storage.image_list`
    people/<shard>.parquet
    groups/gen=V/<shard>.parquet                  one row per group: the person, and what its hypotheses share
    hyps/gen=V/<shard>.parquet                    one row per hypothesis, in the order of `groups`
    scores/critic=C/gen=V/run=R/<shard>.parquet   one row per hypothesis, in the order of `hyps`
    replies/critic=C/gen=V/run=R/<shard>.parquet  one row per call to a remote critic
    scores/critic=C/_about.json                   what the critic's name and version stand for

Verdicts on a part of a shard's groups are in `<shard>+1.parquet`, `+2` and so on: groups that were pending and were
judged later, or were judged again. Of several verdicts on a group the newest counts. A hypothesis that was not
judged is a row with a status and a NULL score. Writing a shard again with equal content does nothing (durations do
not count); with other content it is an error. An empty shard is a shard. What is of a photograph that has changed or
gone since stays in the files, and no method hands it out.

    pandas.read_parquet("store/scores")           all scores, with columns critic, gen and run

Source: the layout and its measurements are our own.
"""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, unquote

import pyarrow as pa

from storage.finished_file import read_again, write_bytes
from storage.image_list import ImageList, read_images, write_images
from storage.manifest import Manifest, natural
from storage.records import PASSING, Group, Person, Verdict
from storage.rows import (
    content_digest,
    groups_of_rows,
    people_of_rows,
    rows_of_groups,
    rows_of_people,
    rows_of_verdicts,
    verdicts_of_rows,
)
from storage.schema import TABLES, StoreError, decode, encode

__all__ = ["GroupStore", "StoreError", "VerdictSummary"]

# Which tables are committed together, and the folders under each that have a manifest of their own.
_SETS = {
    ("people",): "",
    ("groups", "hyps"): "gen=*",
    ("scores", "replies"): "critic=*/gen=*/run=*",
}


class VerdictSummary(NamedTuple):
    """What became of the judgements of one critic in one generation; counts hypotheses but for `groups`."""

    groups: int
    scored: int
    abstained: int  # without a score, for whatever reason
    statuses: dict[str, int]  # by status, 'ok' too; only those that occur


class _Part(NamedTuple):
    """One file of verdicts on a shard, or on some groups of it."""

    written_ns: int
    run: str
    name: str
    manifest: Manifest


@dataclass(frozen=True)
class GroupStore:
    """All that was found, drawn and judged, under one folder; many processes may write at once."""

    root: Path

    def write_people(self, shard: str, people: Sequence[Person]) -> None:
        """Add the people found in one shard of the photographs (none, if none were found)."""
        self._write(self._people(), shard, rows_of_people([self.images.as_stored(person) for person in people]))

    @property
    def images(self) -> ImageList:
        """The photographs; none are named where the store keeps no list of them."""
        return read_images(self.root) or ImageList(Path(), ())

    def write_images(self, images: ImageList) -> None:
        """Put a list of photographs in the place of the one before; what is of those that went is hidden."""
        write_images(self.root, images)

    def people_shards(self) -> list[str]:
        return self._shown(self._people())

    def read_people(self, shard: str | None = None) -> list[Person]:
        """The people of one shard, or of all."""
        shards = self.people_shards() if shard is None else [shard]
        images = self.images
        return [
            images.placed(person)
            for name in shards
            for person in people_of_rows(_read(self._people(), "people", name))
            if images.holds(person.group_id)
        ]

    def write_groups(self, gen: str, shard: str, groups: Sequence[Group]) -> None:
        """Add the groups drawn for one shard of people in one generation (for example "round0")."""
        stored = [replace(group, person=self.images.as_stored(group.person)) for group in groups]
        self._write(self._groups(gen), shard, rows_of_groups(stored))

    def gens(self) -> list[str]:
        """The generations that have groups."""
        found = self.root.glob("groups/gen=*/_manifest.json")
        return sorted((path.parent.name.removeprefix("gen=") for path in found), key=natural)

    def group_shards(self, gen: str) -> list[str]:
        return self._shown(self._groups(gen))

    def group_contents(self, gen: str) -> dict[str, str]:
        """A digest of what each shard of groups says; another one if it was drawn anew, or if photographs went."""
        hidden: dict[str, list[str]] = {}
        for image in self.images.exceptions.values():
            if not image.present:
                hidden.setdefault(image.shard, []).append(image.image_id)
        found = self._groups(gen).shards()
        return {name: _digest(found[name].content, hidden.get(name, [])) for name in self.group_shards(gen)}

    def read_groups(self, gen: str, shard: str) -> list[Group]:
        manifest = self._groups(gen)
        groups, hyps = (_read(manifest, table, shard) for table in manifest.folders)
        images = self.images
        return [
            replace(group, person=images.placed(group.person))
            for group in groups_of_rows(groups, hyps)
            if images.holds(group.person.group_id)
        ]

    def group_sizes(self, gen: str, shard: str) -> list[int]:
        """Hypotheses of each group of a shard."""
        return list(self.hypotheses_of(gen, shard).values())

    def write_verdicts(self, gen: str, critic: str, run: str, shard: str, verdicts: Sequence[Verdict]) -> None:
        """Add a critic's verdicts on one shard of groups: one on each, in the order of the groups."""
        self._check_names(gen, critic, shard, verdicts)
        drawn = list(self._drawn(gen, shard).items())
        judged = [(verdict.group_id, len(verdict.scores)) for verdict in verdicts]
        if drawn != judged:
            counts = (len(drawn), len(judged))
            unlike = next((pair for pair in zip(drawn, judged) if pair[0] != pair[1]), counts)
            raise StoreError(
                f"shard '{shard}' of {gen}: the verdicts of {critic} do not follow the groups "
                f"(first unlike: {unlike[0]} drawn, {unlike[1]} judged); give one verdict per group in "
                "the groups' order, and one score per hypothesis (NaN for one that was not judged)"
            )
        self._write(self._scores(critic, gen, run), shard, rows_of_verdicts(verdicts))

    def add_verdicts(self, gen: str, critic: str, run: str, shard: str, verdicts: Sequence[Verdict]) -> None:
        """Add a critic's verdicts on some groups of a shard; those that it judged before are superseded."""
        drawn, manifest = self._drawn(gen, shard), self._scores(critic, gen, run)
        taken = [_part(name, drawn_shard=shard) for name in manifest.shards()]
        numbers = [number for number in taken if number is not None]
        if not numbers and [verdict.group_id for verdict in verdicts] == list(drawn):
            self.write_verdicts(gen, critic, run, shard, verdicts)
            return
        self._check_names(gen, critic, shard, verdicts)
        for verdict in verdicts:
            if drawn.get(verdict.group_id) != len(verdict.scores):
                raise StoreError(
                    f"shard '{shard}' of {gen}: the verdict of {critic} on {verdict.group_id} is of no group of the "
                    "shard, or of another number of hypotheses; judge the groups that are stored"
                )
        if verdicts:
            self._write(manifest, f"{shard}+{max(numbers, default=0) + 1}", rows_of_verdicts(verdicts))

    def describe_critic(self, critic: str, about: Mapping[str, Any]) -> None:
        """Keep what a critic's name and version stand for, beside its verdicts; what was kept before is replaced."""
        path = self._about(critic)
        content = json.dumps(about, indent=1, sort_keys=True).encode()
        if not path.exists() or path.read_bytes() != content:
            write_bytes(path, content)

    def critic_description(self, critic: str) -> dict[str, Any] | None:
        """What was kept of a critic's name and version; None for verdicts from before it was."""
        return read_again(self._about(critic), lambda path: json.loads(path.read_bytes()))

    def all_critics(self) -> list[str]:
        """The critics that have judged, or were about to judge, groups of any generation."""
        return sorted({unquote(path.name.removeprefix("critic=")) for path in self.root.glob("scores/critic=*")})

    def _about(self, critic: str) -> Path:
        return self.root / "scores" / _critic(critic) / "_about.json"

    def _check_names(self, gen: str, critic: str, shard: str, verdicts: Sequence[Verdict]) -> None:
        strangers = sorted({verdict.critic for verdict in verdicts} - {critic})
        if strangers:
            raise StoreError(
                f"shard '{shard}' of {gen}: verdicts of {', '.join(strangers)} among those of {critic}; "
                "write each critic's verdicts under its own name"
            )

    def hypotheses_of(self, gen: str, shard: str) -> dict[str, int]:
        """The groups of a shard in their order, and how many hypotheses each has."""
        images = self.images
        return {key: size for key, size in self._drawn(gen, shard).items() if images.holds(key)}

    def _drawn(self, gen: str, shard: str) -> dict[str, int]:
        """The same of all that is in the files."""
        groups = _read(self._groups(gen), "groups", shard, "group_id", "hypotheses")
        return dict(zip(groups["group_id"].to_pylist(), groups["hypotheses"].to_pylist()))

    def critics(self, gen: str) -> list[str]:
        """The critics that have judged groups of a generation."""
        found = self.root.glob(f"scores/critic=*/gen={_name('generation', gen)}")
        return sorted({unquote(path.parent.name.removeprefix("critic=")) for path in found})

    def verdict_shards(self, gen: str, critic: str) -> list[str]:
        """The shards of which this critic has judged a group in any run."""
        return list(self._parts(gen, critic))

    def read_verdicts(self, gen: str, critic: str, shard: str) -> list[Verdict]:
        """The newest verdict on each group of one shard, in the groups' order; groups without one are left out."""
        parts = self._parts(gen, critic)
        if shard not in parts:
            raise StoreError(
                f"{self.root}: no verdicts of critic '{critic}' on shard '{shard}' of '{gen}'; score it first"
            )
        images = self.images
        return [one for one in self._verdicts(gen, critic, shard, parts[shard]) if images.holds(one.group_id)]

    def lacking(self, gen: str, critic: str) -> list[str]:
        """The shards of groups of which this critic has not judged every one yet."""
        parts = self._parts(gen, critic)
        return [
            shard
            for shard in self.group_shards(gen)
            if self.unjudged(gen, critic, shard) or (shard not in parts and not self._drawn(gen, shard))
        ]

    def unjudged(self, gen: str, critic: str, shard: str) -> list[str]:
        """Groups of a shard without a verdict, or whose newest one is of a fault that can pass, as older stores have.

        They are to be asked about again.
        """
        judged: dict[str, bool] = {}
        for part in self._parts(gen, critic).get(shard, ()):
            rows = _read(part.manifest, "scores", part.name, "group_id", "status")
            own: dict[str, bool] = {}
            for group_id, status in zip(rows["group_id"].to_pylist(), rows["status"].to_pylist()):
                own[group_id] = own.get(group_id, True) and status not in PASSING
            judged = own | judged
        return [group_id for group_id in self.hypotheses_of(gen, shard) if not judged.get(group_id, False)]

    def judged(self, gen: str, critic: str) -> Iterator[tuple[Group, Verdict]]:
        """Every judged group with its newest verdict. One shard is in memory at a time."""
        for shard, parts in self._parts(gen, critic).items():
            yield from self._pairs(gen, shard, parts, critic)

    def verdict_summary(self, gen: str, critic: str) -> VerdictSummary:
        """Counts of what the newest verdicts of a critic say."""
        groups, statuses, images = 0, Counter(), self.images
        for shard, parts in self._parts(gen, critic).items():
            for verdict in self._verdicts(gen, critic, shard, parts):
                if not images.holds(verdict.group_id):
                    continue
                groups += 1
                statuses.update(verdict.statuses)
        return VerdictSummary(groups, statuses["ok"], statuses.total() - statuses["ok"], dict(statuses))

    def verify(self) -> list[str]:
        """What is wrong with the files of the store, one sentence each; reads them all."""
        problems = []
        for manifest in self._manifests():
            try:
                for shard in manifest.shards():
                    problems += manifest.damage(shard)
            except StoreError as error:
                problems.append(str(error))
        return problems

    def sweep(self, damaged: bool = False) -> list[Path]:
        """Remove and name the files that no manifest knows: what killed writers left.

        With `damaged`, shards with a damaged or lost file go too, so that the next run makes them again.
        """
        return [path for manifest in self._manifests() for path in manifest.sweep(damaged)]

    def _write(self, manifest: Manifest, shard: str, tables: dict[str, pa.Table]) -> None:
        files = {name: (len(table), encode(table)) for name, table in tables.items()}
        manifest.commit(_name("shard", shard), content_digest(tables), files)

    def _verdicts(self, gen: str, critic: str, shard: str, parts: Sequence[_Part]) -> list[Verdict]:
        """The newest verdict on each group, in the groups' order. `parts`: newest first."""
        if len(parts) == 1 and parts[0].name == shard:
            return _verdicts_in(parts[0], critic)
        drawn, found = self._drawn(gen, shard), dict[str, Verdict]()
        for part in parts:
            for verdict in _verdicts_in(part, critic):
                if drawn.get(verdict.group_id) != len(verdict.scores):
                    raise _drawn_again(part, gen)
                found.setdefault(verdict.group_id, verdict)
            if len(found) == len(drawn):
                break
        return [found[group_id] for group_id in drawn if group_id in found]

    def _pairs(self, gen: str, shard: str, parts: Sequence[_Part], critic: str) -> Iterator[tuple[Group, Verdict]]:
        groups = {group.person.group_id: group for group in self.read_groups(gen, shard)}
        images = self.images
        verdicts = [one for one in self._verdicts(gen, critic, shard, parts) if images.holds(one.group_id)]
        for place, verdict in enumerate(verdicts):
            group = groups.pop(verdict.group_id, None)
            verdicts[place] = None  # type: ignore[call-overload]  # what was handed out is not held
            if group is None or len(group) != len(verdict.scores):
                raise _drawn_again(parts[0], gen)
            yield group, verdict

    def _parts(self, gen: str, critic: str) -> dict[str, list[_Part]]:
        """For each shard of which the critic judged a group, the files with its verdicts, newest first."""
        found: dict[str, list[_Part]] = {}
        drawn = set(self.group_shards(gen))
        runs = self.root.glob(f"scores/{_critic(critic)}/gen={_name('generation', gen)}/run=*")
        for run in (path.name.removeprefix("run=") for path in runs):
            manifest = self._scores(critic, gen, run)
            for name, shard in manifest.shards().items():
                base = name if name in drawn else re.sub(r"\+[0-9]+$", "", name)
                found.setdefault(base, []).append(_Part(shard.written_ns, run, name, manifest))
        for parts in found.values():
            parts.sort(key=lambda part: part[:2], reverse=True)
        emptied = self.images.emptied
        return {name: found[name] for name in sorted(found, key=natural) if name not in emptied}

    def _shown(self, manifest: Manifest) -> list[str]:
        """The shards but for those whose photographs have all gone."""
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
        return Manifest({table: self.root / table / version for table in tables})

    def _manifests(self) -> list[Manifest]:
        """All of them, also those that were never written because their first writer was killed."""
        return [
            self._manifest(tables, version)
            for tables, pattern in _SETS.items()
            for version in sorted(
                {
                    str(folder.relative_to(self.root / table))
                    for table in tables
                    for folder in self.root.glob(f"{table}/{pattern}")
                    if folder.is_dir()
                }
            )
        ]


def _digest(content: str, hidden: Sequence[str]) -> str:
    """Of a shard's content without what is hidden of it."""
    return hashlib.sha256("/".join([content, *sorted(hidden)]).encode()).hexdigest() if hidden else content


def _read(manifest: Manifest, table: str, shard: str, *columns: str) -> pa.Table:
    """One file of a shard: all its columns, or those named."""
    schema = TABLES[table]
    wanted = pa.schema([schema.field(name) for name in columns or schema.names])
    return decode(manifest.read(table, shard), wanted, str(manifest.file(table, shard)))


def _verdicts_in(part: _Part, critic: str) -> list[Verdict]:
    scores, replies = (_read(part.manifest, table, part.name) for table in part.manifest.folders)
    return verdicts_of_rows(scores, replies, critic)


def _drawn_again(part: _Part, gen: str) -> StoreError:
    return StoreError(
        f"{part.manifest.file('scores', part.name)}: does not follow the groups of '{gen}', which "
        "were drawn again since; score this shard in a new run"
    )


def _part(name: str, drawn_shard: str) -> int | None:
    """0 for the whole shard, k for its part `+k`, None for what is of another shard."""
    if name == drawn_shard:
        return 0
    number = name.removeprefix(f"{drawn_shard}+")
    return int(number) if number != name and number.isdecimal() else None


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
