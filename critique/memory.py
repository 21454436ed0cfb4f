"""The critic's memory, read only: rules and prototypes from a folder, and which of them a group is shown.

A folder holds rules in `rules.toml` or `rules.parquet`, and prototypes in `prototypes.toml` or `.parquet`:

    [[rule]]
    id = "r1"
    text = "When a knee bends backwards, take 10 points off."
    tags = ["limb_alignment"]
    used = 7        # groups whose critic was shown it
    succeeded = 4   # of them, those that were ranked well

    [[prototype]]
    id = "p1"
    rationale = "Score 34: the left knee bends backwards."
    tags = ["limb_alignment"]
    picture = "p1.jpg"       # in the same folder; may be left out
    embedding = [0.1, 0.7]   # of its group, by the embedding that the critic uses

In Parquet the columns have the same names. Nothing is learned here and no count moves: the memory is frozen.
"""

import hashlib
import math
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import numpy as np
import pyarrow.parquet as parquet
from numpy.typing import NDArray
from PIL import Image
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from critique.reply import plain_text
from storage.records import Bytes, DrawnGroup

RULES_SHOWN = 5  # K_r
PROTOTYPES_SHOWN = 3  # K_p
EXPLORATION = 0.5  # C


class MemoryStoreError(ValueError):
    """A memory folder that cannot be read; the message says which file, what is wrong and the mend."""


def _tame(limit: int) -> BeforeValidator:
    """Memory text is untrusted: one line, no markup, a length cap."""

    def tame(text: object) -> object:
        return (
            plain_text(text.translate(str.maketrans("`<>", "'()")), limit) if isinstance(text, str) else text
        )

    return BeforeValidator(tame)


Tag = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
Tags = Annotated[tuple[Tag, ...], AfterValidator(lambda tags: tuple(sorted(set(tags))))]


class Rule(BaseModel):
    """One sentence that names a visible condition and its effect on the score."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: Annotated[str, Field(min_length=1, max_length=80)]
    text: Annotated[str, _tame(300), Field(min_length=1)]
    tags: Tags = ()
    used: Annotated[int, Field(ge=0)] = 0  # N_u: groups whose critic was shown it
    succeeded: Annotated[int, Field(ge=0)] = 0  # N_s: of them, those ranked as the truth ranks them
    status: Literal["active", "retired"] = "active"
    provenance: str = ""
    created: str = ""


class Prototype(BaseModel):
    """An overlay that was judged before, as a yardstick."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: Annotated[str, Field(min_length=1, max_length=80)]
    rationale: Annotated[str, _tame(300), Field(min_length=1)]  # including its score
    tags: Tags = ()
    picture: Annotated[str, Field(pattern=r"^[\w-][\w.-]*\.(jpg|jpeg|png)$")] | None = (
        None  # a file of the folder
    )
    embedding: tuple[float, ...]


@dataclass(frozen=True)
class Recalled:
    """What one group's critic is shown."""

    rules: tuple[Rule, ...] = ()
    prototypes: tuple[Prototype, ...] = ()
    pictures: tuple[Bytes | None, ...] = ()  # one per prototype


@dataclass(frozen=True)
class Memory:
    """All rules and prototypes of one folder."""

    rules: tuple[Rule, ...] = ()
    prototypes: tuple[Prototype, ...] = ()
    folder: Path | None = None

    @property
    def digest(self) -> str:
        """Changes with anything that a critic may be shown, or the choice of it; pictures by name only."""
        items = sorted(item.model_dump_json() for item in (*self.rules, *self.prototypes))
        return hashlib.sha256("\n".join(items).encode()).hexdigest()

    def recall(self, query: NDArray[np.floating]) -> Recalled:
        """The nearest prototypes, then the best rules for their tags."""
        prototypes = nearest_prototypes(self.prototypes, query)
        tags = frozenset(tag for prototype in prototypes for tag in prototype.tags)
        return Recalled(
            best_rules(self.rules, tags),
            prototypes,
            tuple(self._picture(prototype) for prototype in prototypes),
        )

    def _picture(self, prototype: Prototype) -> Bytes | None:
        if prototype.picture is None or self.folder is None:
            return None
        path = self.folder / prototype.picture
        try:
            with Image.open(path) as picture:
                return np.asarray(picture.convert("RGB"))
        except OSError as error:
            raise MemoryStoreError(
                f"{path}: the picture of prototype '{prototype.id}' cannot be read ({error}); "
                "restore the file or drop the prototype's `picture`"
            ) from error


def silhouette_embedding(group: DrawnGroup) -> NDArray[np.float64]:
    """A picture's place among the prototypes, (256,): its person mask at 16 x 16, centred, of length 1.

    It needs no downloaded network and tells poses and views apart, not clothes or scenes.
    """
    coarse = group.group.person.mask.reshape(16, 4, 16, 4).mean((1, 3)).ravel()
    centred = coarse - coarse.mean()
    return centred / max(float(np.linalg.norm(centred)), 1e-9)


def rule_scores(rules: Sequence[Rule], tags: frozenset[str]) -> NDArray[np.float64]:
    """How useful each rule promises to be for a query with these tags, (rules,).

        |tags_q & tags_i| + (N_s,i + 1) / (N_u,i + 2) + C sqrt(log max(N_total, 1) / (N_u,i + 1))

    with N_total the sum of all N_u. Source: the paper's rule retrieval; its 0/0 for a new rule is filled by a
    uniform prior.
    """
    spread = math.log(max(sum(rule.used for rule in rules), 1))
    return np.array(
        [
            len(tags.intersection(rule.tags))
            + (rule.succeeded + 1) / (rule.used + 2)
            + EXPLORATION * math.sqrt(spread / (rule.used + 1))
            for rule in rules
        ]
    )


def best_rules(rules: Sequence[Rule], tags: frozenset[str], count: int = RULES_SHOWN) -> tuple[Rule, ...]:
    """The `count` active rules of highest score, best first, ties by id."""
    active = [rule for rule in rules if rule.status == "active"]
    ranked = sorted(zip(rule_scores(active, tags), active), key=lambda pair: (-pair[0], pair[1].id))
    return tuple(rule for _, rule in ranked[:count])


def nearest_prototypes(
    prototypes: Sequence[Prototype], query: NDArray[np.floating], count: int = PROTOTYPES_SHOWN
) -> tuple[Prototype, ...]:
    """The `count` prototypes of highest cosine with the query, nearest first, ties by id."""

    def distance(prototype: Prototype) -> float:
        embedding = np.array(prototype.embedding)
        if embedding.shape != query.shape:
            raise MemoryStoreError(
                f"prototype '{prototype.id}' has an embedding of {embedding.size} numbers and the query one "
                f"of {query.size}; write the prototypes with the embedding that the critic uses"
            )
        lengths = float(np.linalg.norm(embedding) * np.linalg.norm(query))
        return -float(embedding @ query) / lengths if lengths > 0 else 0.0

    return tuple(sorted(prototypes, key=lambda prototype: (distance(prototype), prototype.id))[:count])


Item = TypeVar("Item", bound=BaseModel)


def _read_table(folder: Path, table: str, key: str, kind: type[Item]) -> tuple[Item, ...]:
    """All rows of `folder/table.toml` or `folder/table.parquet`; none if neither is there."""
    path = next(
        (path for path in (folder / f"{table}.toml", folder / f"{table}.parquet") if path.exists()), None
    )
    if path is None:
        return ()
    try:
        rows = (
            tomllib.loads(path.read_text()).get(key, [])
            if path.suffix == ".toml"
            else parquet.read_table(path).to_pylist()
        )
        items = tuple(kind.model_validate(row) for row in rows)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "row"
        raise MemoryStoreError(f"{path}: `{where}` of a [[{key}]] is unusable: {first['msg']}") from error
    except (OSError, ValueError) as error:
        raise MemoryStoreError(f"{path}: unreadable ({error}); mend or remove the file") from error
    ids = [item.id for item in items]  # type: ignore[attr-defined]
    if repeated := sorted({id for id in ids if ids.count(id) > 1}):
        raise MemoryStoreError(
            f"{path}: the id '{repeated[0]}' is given to more than one [[{key}]]; make ids unique"
        )
    return items


def read_memory(folder: Path) -> Memory:
    """The memory that lies in a folder."""
    rules = _read_table(folder, "rules", "rule", Rule)
    prototypes = _read_table(folder, "prototypes", "prototype", Prototype)
    if not rules and not prototypes:
        raise MemoryStoreError(
            f"{folder}: no rules and no prototypes; expected rules.toml, rules.parquet, prototypes.toml or "
            "prototypes.parquet with at least one entry, or leave the critic's `memory` setting out"
        )
    return Memory(rules, prototypes, folder)
