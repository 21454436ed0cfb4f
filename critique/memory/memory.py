"""The critic's memory: rules, prototypes and the ledger of their changes, and which of them a case is shown.

A memory is an immutable value. Judging reads it and changes nothing, so evaluation and the scoring of training
groups use a fixed memory. Only reflection (reflection.py) adds to it, by making a new value.
`tasks` keeps memories in a store of Parquet files, version by version; people read and write them as TOML:

    [[rule]]
    id = "r-1f0c2a9b"
    text = "When a knee bends backwards, take 10 points off."
    tags = ["limb_alignment", "physical_plausibility"]
    state = "admitted"   # or "candidate", "retired"; only admitted rules are shown
    uses = 7             # groups whose critic was shown it
    successes = 4        # of them, those that were ranked well

    [[prototype]]
    id = "p-1"
    rationale = "Score 34: the left knee bends backwards."
    tags = ["limb_alignment"]
    picture = "p-1.jpg"  # a file of the same folder; may be left out
    embedder = "pose@1"  # what made the embedding
    embedding = [0.1, 0.7]
"""

import hashlib
import io
import json
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import numpy as np
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from critique.memory.embedders import CaseEmbedder, PoseEmbedder, ngrams
from critique.memory.memory_settings import NEAR_COPY, RecallSettings
from critique.memory.prototypes import Prototype, nearest_prototypes
from critique.memory.rules import Line, Rule, TextEmbedder, best_rules, form_faults, near_copy, united
from storage.records import Bytes, Person

PIXEL_LIMIT = 4096  # px, longest side of a prototype's picture
TOML_LIMIT = 20_000_000  # bytes of a file that is imported

Rows = Mapping[str, Sequence[Mapping[str, Any]]]
"""A memory as plain rows: "rules", "prototypes", "events"."""


class MemoryStoreError(ValueError):
    """A memory that cannot be read; the message says where, what is wrong and how to fix it."""


class Event(BaseModel):
    """One line of the ledger: what happened to a rule, and on what evidence."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    what: Literal[
        "imported",
        "proposed",
        "malformed",
        "merged",
        "admitted",
        "undecided",
        "refused",
        "kept",
        "retired",
        "placebo refused",
        "placebo passed",
        "audit failed",
    ]
    rule: Line = ""  # id of the rule
    text: Line = ""
    detail: Line = ""
    lift: Annotated[float, Field(allow_inf_nan=False)] | None = None  # mean gain of SRCC
    low: Annotated[float, Field(allow_inf_nan=False)] | None = None  # its bootstrap bound
    groups: Annotated[int, Field(ge=0)] = 0  # on which it was measured
    critic: Line = ""  # name and version that judged
    session: Line = ""  # digest of the memory that the session started from
    time: Line = ""  # UTC


@dataclass(frozen=True)
class Recalled:
    """What the critic of one group is shown from the memory."""

    rules: tuple[Rule, ...] = ()
    prototypes: tuple[Prototype, ...] = ()
    pictures: tuple[Bytes | None, ...] = ()  # one per prototype


@dataclass(frozen=True)
class Memory:
    """All rules, prototypes and events, and how many of them a case is shown."""

    rules: tuple[Rule, ...] = ()
    prototypes: tuple[Prototype, ...] = ()
    events: tuple[Event, ...] = ()
    settings: RecallSettings = field(default_factory=RecallSettings)
    embed: CaseEmbedder = field(default_factory=PoseEmbedder)  # to find the prototypes nearest to a case
    pinned: tuple[Rule, ...] = ()  # shown first, for every case; used to test a rule

    @cached_property
    def digest(self) -> str:
        """Digest of all that a critic may be shown and of how it is chosen; the ledger does not count."""
        shown = [rule for rule in self.rules if rule.state == "admitted"]
        items = sorted(item.model_dump_json() for item in (*shown, *self.prototypes))
        items += [self.settings.model_dump_json(), *(rule.text for rule in self.pinned)]
        return hashlib.sha256("\n".join(items).encode()).hexdigest()

    @property
    def embedder(self) -> str | None:
        """Name of the embedder that made the prototypes' embeddings; None without prototypes.

        Raises MemoryStoreError if they come from several embedders.
        """
        names = {prototype.embedder for prototype in self.prototypes}
        if len(names) > 1:
            raise MemoryStoreError(
                f"the prototypes were written with several embedders ({', '.join(sorted(names))}), which cannot be "
                "compared; drop those of all but one"
            )
        return next(iter(names), None)

    def recall(self, person: Person) -> Recalled:
        """What the critic of a group about this person is shown: the nearest prototypes, and the best rules for their
        tags.

        Raises MemoryStoreError if the prototypes come from another embedder, or a prototype's picture cannot be read.
        """
        prototypes = self._nearest(person)
        return Recalled(self._best(prototypes), prototypes, tuple(map(_pixels, prototypes)))

    def rules_for(self, person: Person) -> tuple[Rule, ...]:
        """The rules that `recall` shows."""
        return self._best(self._nearest(person))

    def _best(self, prototypes: Sequence[Prototype]) -> tuple[Rule, ...]:
        tags = frozenset(tag for prototype in prototypes for tag in prototype.tags)
        rules = best_rules(self.rules, tags if self.settings.tags == "prototypes" else frozenset(), self.settings)
        pinned = {rule.id for rule in self.pinned}
        shown = (*self.pinned, *(rule for rule in rules if rule.id not in pinned))
        return shown[: max(self.settings.rules, len(pinned))]

    def _nearest(self, person: Person) -> tuple[Prototype, ...]:
        if not self.prototypes or not self.settings.prototypes:
            return ()
        query = self.embed(person)
        sizes = {len(prototype.embedding) for prototype in self.prototypes}
        if sizes != {query.size} or self.embedder not in ("", self.embed.name):
            raise MemoryStoreError(
                f"the prototypes were written with the embedder '{self.embedder}' ({min(sizes)} numbers), and cases "
                f"are placed by '{self.embed.name}' ({query.size}); choose the embedder that they were written with"
            )
        return nearest_prototypes(self.prototypes, query, self.settings)

    def without(self, rule: Rule) -> "Memory":
        """The memory as if this rule had never been admitted."""
        return replace(self, rules=tuple(other for other in self.rules if other.id != rule.id))


def _pixels(prototype: Prototype) -> Bytes | None:
    if prototype.picture is None:
        return None
    try:
        with Image.open(io.BytesIO(prototype.picture), formats=("JPEG", "PNG")) as picture:
            if max(picture.size) > PIXEL_LIMIT:
                raise OSError(f"{picture.width} x {picture.height} px, more than {PIXEL_LIMIT}")
            return np.asarray(picture.convert("RGB"))
    except OSError as error:
        raise MemoryStoreError(
            f"the picture of prototype '{prototype.id}' cannot be read ({error}); "
            "restore it or drop the prototype's `picture`"
        ) from error


# --- rows and TOML ----------------------------------------------------------------------------------------

_KINDS: dict[str, type[BaseModel]] = {"rules": Rule, "prototypes": Prototype, "events": Event}
_HEADS = {"rules": "rule", "prototypes": "prototype", "events": "event"}
_PICTURE = re.compile(r"[\w-][\w.-]*\.(jpg|jpeg|png)")

Item = TypeVar("Item", bound=BaseModel)


def to_rows(memory: Memory) -> dict[str, list[dict[str, Any]]]:
    """The memory as plain rows, for a store."""
    return {
        "rules": [rule.model_dump() for rule in memory.rules],
        "prototypes": [prototype.model_dump() for prototype in memory.prototypes],
        "events": [event.model_dump() for event in memory.events],
    }


def from_rows(
    rows: Rows, where: str, settings: RecallSettings | None = None, embed: CaseEmbedder | None = None
) -> Memory:
    """The memory in plain rows, checked and cleaned; `where` names their source in error messages.

    Raises MemoryStoreError if a row is invalid, an id occurs twice, or prototypes come from several embedders.
    """
    found: dict[str, tuple[Any, ...]] = {
        table: _items(rows.get(table, ()), kind, f"{where}: [[{_HEADS[table]}]]") for table, kind in _KINDS.items()
    }
    for table in ("rules", "prototypes"):
        ids = [item.id for item in found[table]]
        if repeated := sorted({id for id in ids if ids.count(id) > 1}):
            raise MemoryStoreError(
                f"{where}: the id '{repeated[0]}' is given to more than one [[{_HEADS[table]}]]; make ids unique"
            )
    return Memory(
        found["rules"], found["prototypes"], found["events"], settings or RecallSettings(), embed or PoseEmbedder()
    )


def _items(rows: Iterable[Mapping[str, Any]], kind: type[Item], where: str) -> tuple[Item, ...]:
    try:
        return tuple(kind.model_validate(row) for row in rows)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"])) or "row"
        raise MemoryStoreError(f"{where}: `{key}` is unusable: {first['msg']}") from error


def to_toml(memory: Memory) -> tuple[str, dict[str, bytes]]:
    """The memory as TOML text for people, and the pictures that it names: {file name: bytes}."""
    blocks, pictures = [], {}
    for table, rows in to_rows(memory).items():
        for row in rows:
            row = {key: value for key, value in row.items() if value is not None and value != "" and value != ()}
            if "picture" in row:
                kind = "png" if row["picture"].startswith(b"\x89PNG") else "jpg"
                name = f"picture-{len(pictures):04d}.{kind}"
                pictures[name] = row["picture"]
                row["picture"] = name
            lines = [f"{key} = {_toml(value)}" for key, value in row.items()]
            blocks.append("\n".join([f"[[{_HEADS[table]}]]", *lines]))
    return "\n\n".join(blocks) + "\n", pictures


def _toml(value: Any) -> str:
    if isinstance(value, tuple):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return repr(value) if isinstance(value, float) else json.dumps(value, ensure_ascii=False)


def read_toml(path: Path) -> Memory:
    """The memory in a TOML file and the pictures beside it. Its text is untrusted: checked, cleaned and cut to length.

    Raises MemoryStoreError if the file or a picture cannot be read, an entry is unknown or invalid, or a rule does not
    have the form of a rule, whoever wrote it.
    """
    try:
        if path.stat().st_size > TOML_LIMIT:
            raise ValueError(f"more than {TOML_LIMIT // 1_000_000} MB")
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise MemoryStoreError(f"{path}: unreadable ({error}); mend the file") from error
    unknown = sorted(set(tables) - set(_HEADS.values()))
    if unknown:
        raise MemoryStoreError(f"{path}: there is no [[{unknown[0]}]] in a memory; known: {', '.join(_HEADS.values())}")
    rows = {table: tables.get(head, []) for table, head in _HEADS.items()}
    for table, given in rows.items():
        if not isinstance(given, list) or not all(isinstance(row, dict) for row in given):
            raise MemoryStoreError(f"{path}: write each of the {table} under [[{_HEADS[table]}]]")
    rows["prototypes"] = [_with_picture(row, path) for row in rows["prototypes"]]
    memory = from_rows(rows, str(path))
    for rule in memory.rules:
        if faults := form_faults(rule.text, rule.tags):
            raise MemoryStoreError(
                f"{path}: the rule '{rule.id}' {' and '.join(faults)}; write one short sentence like 'When a foot "
                "floats, take 10 points off.' with two or three tags"
            )
    return memory


def _with_picture(row: dict[str, Any], path: Path) -> dict[str, Any]:
    """The row with the bytes of the picture that it names; only files beside the TOML file are looked at."""
    name = row.get("picture")
    if name is None:
        return row
    if not isinstance(name, str) or not _PICTURE.fullmatch(name):
        raise MemoryStoreError(f"{path}: `picture` of a [[prototype]] is no name of a .jpg or .png file beside it")
    try:
        return {**row, "picture": (path.parent / name).read_bytes()}
    except OSError as error:
        raise MemoryStoreError(f"{path.parent / name}: unreadable ({error}); restore it or drop `picture`") from error


def untrusted(memory: Memory) -> Memory:
    """The memory with all rules as candidates without counts, and with an empty ledger: nothing was tested here."""
    unproven = {"uses": 0, "successes": 0, "lift": None}
    rules = tuple(
        rule.model_copy(update={**unproven, "state": "retired" if rule.state == "retired" else "candidate"})
        for rule in memory.rules
    )
    return replace(memory, rules=rules, events=())


def with_imported(
    memory: Memory, other: Memory, time: str, likeness: TextEmbedder = ngrams, least: float = NEAR_COPY
) -> Memory:
    """Both memories in one; where an id is in both, the entry of `memory` stays. New rules are named in the ledger.

    A new rule that is nearly a copy of a known one adds its counts and tags to that one, once. Raises MemoryStoreError
    if the prototypes come from two embedders.
    """
    known = {item.id for item in (*memory.rules, *memory.prototypes)}
    known |= {event.rule for event in memory.events if event.what == "merged"}
    rules, events = list(memory.rules), []
    for rule in other.rules:
        if rule.id in known:
            continue
        twin = near_copy(rule.text, rules, likeness, least)
        if twin is not None:
            rules[rules.index(twin)] = united(twin, [rule])
            details = f"says what {twin.id} says, which is {twin.state}"
            events.append(Event(what="merged", rule=rule.id, text=rule.text, detail=details, time=time))
            continue
        rules.append(rule)
        if memory.events or memory.rules:
            events.append(Event(what="imported", rule=rule.id, text=rule.text, detail=f"as {rule.state}", time=time))
    both = replace(
        memory,
        rules=tuple(rules),
        prototypes=(*memory.prototypes, *(one for one in other.prototypes if one.id not in known)),
        events=(*memory.events, *(event for event in other.events if event not in memory.events), *events),
    )
    both.embedder  # noqa: B018  raises if there are prototypes of two embedders
    return both
