"""The tables of a store under the names of the field, whole, for programs that know nothing of shards.

    images people hypotheses verdicts      from the store
    overlays metrics runs                  from the run's folder (tasks/data/run_tables.py)
    rules prototypes                       from the critic's memory

Only what counts: the newest verdict on each group, and nothing of photographs that have changed or gone. Units and
shapes are in the fields' metadata, the schema version in that of the file.
"""

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import pyarrow as pa

from storage.group_store import GroupStore
from storage.image_list import SCHEMA as IMAGES
from storage.memory_store import MEMORY_TABLES
from storage.rows import rows_of_groups, rows_of_people, rows_of_verdicts
from storage.schema import GROUPS, HYPS, PEOPLE, SCORES

__all__ = ["NAMES", "SCHEMAS", "Tables", "tables_of_store"]

NAMES = ("images", "people", "hypotheses", "overlays", "verdicts", "metrics", "runs", "rules", "prototypes")

Tables = Mapping[str, Callable[[], Iterator[pa.Table]]]
"""By name, how to read a table piece by piece; a shard is in memory at a time."""


def _text(name: str, about: str, nullable: bool = False) -> pa.Field:
    return pa.field(name, pa.string(), nullable, {"about": about, "unit": ""})


_GEN = _text("gen", "generation: which policy drew the group")
_SHARED = [GROUPS.field(name) for name in ("model_digest", "temperature", "betas")]

SCHEMAS: dict[str, pa.Schema] = {
    "images": IMAGES,
    "people": PEOPLE,
    "hypotheses": pa.schema([_GEN, *HYPS, *_SHARED]),
    "verdicts": pa.schema([_GEN, _text("critic", "name and version"), *SCORES]),
    "overlays": pa.schema(
        [
            _GEN,
            _text("group_id", "one person in one photograph"),
            pa.field(
                "hypothesis", pa.int32(), True, {"about": "place in the group; NULL = the photograph", "unit": ""}
            ),
            _text("view", "front or side"),
            _text("digest", "of all that the group's pictures depend on"),
            pa.field(
                "picture",
                pa.binary(),
                False,
                {
                    "about": "lossless WebP or PNG; overlays are transparent where they equal the photograph",
                    "unit": "0..255",
                },
            ),
        ]
    ),
    "metrics": pa.schema(
        [
            _text("run", "name of the run"),
            _text("model", "before or after alignment"),
            _text("choice", "which hypothesis of a group was measured"),
            _text("metric", "what was measured"),
            pa.field("value", pa.float64(), False, {"about": "mean over people", "unit": "see `unit`"}),
            _text("unit", "of the value"),
        ]
    ),
    "runs": pa.schema(
        [
            _text("run", "name of the run"),
            _text("critic", "name and version", True),
            _text("base", "the model that alignment starts from: sha256 of its weights", True),
            _text("body", "the body: its digest", True),
            _text("detector", "the detector: its digest", True),
            _text("settings_sha256", "of all settings"),
            _text("settings", "all settings, as JSON"),
        ]
    ),
    "rules": MEMORY_TABLES["rules"],
    "prototypes": MEMORY_TABLES["prototypes"],
}
"""The schema of each table; one column more than in the store where folders name a value there."""


def tables_of_store(store: GroupStore) -> Tables:
    """The four tables that a store has."""
    return {
        "images": lambda: iter([_images(store)]),
        "people": lambda: _people(store),
        "hypotheses": lambda: _hypotheses(store),
        "verdicts": lambda: _verdicts(store),
    }


def _images(store: GroupStore) -> pa.Table:
    rows = [image._asdict() for image in store.images.images]
    return pa.Table.from_pylist(rows, schema=IMAGES)


def _people(store: GroupStore) -> Iterator[pa.Table]:
    images = store.images
    for shard in store.people_shards():
        yield rows_of_people([images.as_stored(person) for person in store.read_people(shard)])["people"]


def _hypotheses(store: GroupStore) -> Iterator[pa.Table]:
    for gen in store.gens():
        for shard in store.group_shards(gen):
            tables = rows_of_groups(store.read_groups(gen, shard))
            groups, hyps = tables["groups"], tables["hyps"]
            places = pa.array(np.repeat(np.arange(len(groups)), groups["hypotheses"].to_numpy()))
            shared = groups.select([field.name for field in _SHARED]).take(places)
            columns = [_all(gen, len(hyps)), *hyps.columns, *shared.columns]
            yield pa.table(columns, schema=SCHEMAS["hypotheses"])


def _verdicts(store: GroupStore) -> Iterator[pa.Table]:
    for gen in store.gens():
        for critic in store.critics(gen):
            for shard in store.verdict_shards(gen, critic):
                scores = rows_of_verdicts(store.read_verdicts(gen, critic, shard))["scores"]
                columns = [_all(gen, len(scores)), _all(critic, len(scores)), *scores.columns]
                yield pa.table(columns, schema=SCHEMAS["verdicts"])


def _all(value: str, rows: int) -> pa.Array:
    return pa.array([value] * rows, pa.string())
