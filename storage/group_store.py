"""The group store: people, groups of hypotheses and verdicts in Parquet files. Append and read.

    people/<shard>.parquet
    groups/gen=V/<shard>.parquet                  one row per group: the person, and what its hypotheses share
    hyps/gen=V/<shard>.parquet                    one row per hypothesis, in the order of `groups`
    scores/critic=C/gen=V/run=R/<shard>.parquet   one row per hypothesis, in the order of `hyps`
    replies/critic=C/gen=V/run=R/<shard>.parquet  one row per call to a remote critic

A judgement that failed is a row with a status and a NULL score. Writing a shard again with equal content does
nothing (durations do not count); with other content it is an error. An empty shard is a shard.

    pandas.read_parquet("store/scores")           all scores, with columns critic, gen and run

Source: the layout and its measurements are our own.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, unquote

import pyarrow as pa

from storage.manifest import Manifest, natural
from storage.records import Group, Person, Verdict
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


@dataclass(frozen=True)
class GroupStore:
    """All that was found, drawn and judged, under one folder; many processes may write at once."""

    root: Path

    def write_people(self, shard: str, people: Sequence[Person]) -> None:
        """Add the people found in one shard of the photographs (none, if none were found)."""
        self._write(self._people(), shard, rows_of_people(people))

    def people_shards(self) -> list[str]:
        return list(self._people().shards())

    def read_people(self, shard: str | None = None) -> list[Person]:
        """The people of one shard, or of all."""
        shards = self.people_shards() if shard is None else [shard]
        return [person for name in shards for person in people_of_rows(_read(self._people(), "people", name))]

    def write_groups(self, gen: str, shard: str, groups: Sequence[Group]) -> None:
        """Add the groups drawn for one shard of people in one generation (for example "round0")."""
        self._write(self._groups(gen), shard, rows_of_groups(groups))

    def gens(self) -> list[str]:
        """The generations that have groups."""
        found = self.root.glob("groups/gen=*/_manifest.json")
        return sorted((path.parent.name.removeprefix("gen=") for path in found), key=natural)

    def group_shards(self, gen: str) -> list[str]:
        return list(self._groups(gen).shards())

    def group_contents(self, gen: str) -> dict[str, str]:
        """A digest of what each shard of groups says; another one if the shard was lost and drawn anew."""
        return {name: shard.content for name, shard in self._groups(gen).shards().items()}

    def read_groups(self, gen: str, shard: str) -> list[Group]:
        manifest = self._groups(gen)
        groups, hyps = (_read(manifest, table, shard) for table in manifest.folders)
        return groups_of_rows(groups, hyps)

    def group_sizes(self, gen: str, shard: str) -> list[int]:
        """Hypotheses of each group of a shard."""
        return _read(self._groups(gen), "groups", shard, "hypotheses")["hypotheses"].to_pylist()

    def write_verdicts(
        self, gen: str, critic: str, run: str, shard: str, verdicts: Sequence[Verdict]
    ) -> None:
        """Add a critic's verdicts on one shard of groups: one on each, in the order of the groups."""
        strangers = sorted({verdict.critic for verdict in verdicts} - {critic})
        if strangers:
            raise StoreError(
                f"shard '{shard}' of {gen}: verdicts of {', '.join(strangers)} among those of {critic}; "
                "write each critic's verdicts under its own name"
            )
        groups = _read(self._groups(gen), "groups", shard, "group_id", "hypotheses")
        drawn = list(zip(groups["group_id"].to_pylist(), groups["hypotheses"].to_pylist()))
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

    def critics(self, gen: str) -> list[str]:
        """The critics that have judged groups of a generation."""
        found = self.root.glob(f"scores/critic=*/gen={_name('generation', gen)}")
        return sorted({unquote(path.parent.name.removeprefix("critic=")) for path in found})

    def verdict_shards(self, gen: str, critic: str) -> list[str]:
        """The shards that this critic has judged in any run."""
        return list(self._newest(gen, critic))

    def read_verdicts(self, gen: str, critic: str, shard: str) -> list[Verdict]:
        """The verdicts on one shard, from the run that judged it last."""
        newest = self._newest(gen, critic)
        if shard not in newest:
            raise StoreError(
                f"{self.root}: no verdicts of critic '{critic}' on shard '{shard}' of '{gen}'; score it first"
            )
        return self._verdicts(newest[shard], critic, shard)

    def lacking(self, gen: str, critic: str) -> list[str]:
        """The shards of groups that this critic has not judged yet."""
        judged = self._newest(gen, critic)
        return [shard for shard in self.group_shards(gen) if shard not in judged]

    def judged(self, gen: str, critic: str) -> Iterator[tuple[Group, Verdict]]:
        """Every judged group with its newest verdict. One shard is in memory at a time."""
        for shard, manifest in self._newest(gen, critic).items():
            yield from self._pairs(gen, shard, manifest, critic)

    def verdict_summary(self, gen: str, critic: str) -> VerdictSummary:
        """Counts of what the newest verdicts of a critic say."""
        groups, statuses = 0, Counter()
        for shard, manifest in self._newest(gen, critic).items():
            scores = _read(manifest, "scores", shard, "group_id", "status")
            groups += len(scores["group_id"].unique())
            statuses.update(scores["status"].to_pylist())
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

    def _verdicts(self, manifest: Manifest, critic: str, shard: str) -> list[Verdict]:
        scores, replies = (_read(manifest, table, shard) for table in manifest.folders)
        return verdicts_of_rows(scores, replies, critic)

    def _pairs(
        self, gen: str, shard: str, manifest: Manifest, critic: str
    ) -> Iterator[tuple[Group, Verdict]]:
        groups, verdicts = self.read_groups(gen, shard), self._verdicts(manifest, critic, shard)
        for group, verdict in zip(groups, verdicts, strict=True):
            if (group.person.group_id, len(group)) != (verdict.group_id, len(verdict.scores)):
                raise StoreError(
                    f"{manifest.file('scores', shard)}: does not follow the groups of '{gen}', which "
                    "were drawn again since; score this shard in a new run"
                )
            yield group, verdict

    def _newest(self, gen: str, critic: str) -> dict[str, Manifest]:
        """For each shard that the critic judged, the manifest of the run that judged it last."""
        found: dict[str, tuple[int, str, Manifest]] = {}
        runs = self.root.glob(f"scores/{_critic(critic)}/gen={_name('generation', gen)}/run=*")
        for run in (path.name.removeprefix("run=") for path in runs):
            manifest = self._scores(critic, gen, run)
            for name, shard in manifest.shards().items():
                this = (shard.written_ns, run, manifest)
                found[name] = max(found.get(name, this), this, key=lambda entry: entry[:2])
        return {name: found[name][2] for name in sorted(found, key=natural)}

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


def _read(manifest: Manifest, table: str, shard: str, *columns: str) -> pa.Table:
    """One file of a shard: all its columns, or those named."""
    schema = TABLES[table]
    wanted = pa.schema([schema.field(name) for name in columns or schema.names])
    return decode(manifest.read(table, shard), wanted, str(manifest.file(table, shard)))


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
