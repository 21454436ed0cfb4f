"""What a dry run did: its stages with their time, from what the run stored."""

import json
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq

from tasks.data.record_people import records_file
from tasks.data.selection import files_of
from tasks.run.plan import Plan
from tasks.run.settings import SettingsError

HEADS = ["stage", "items", "seconds"]


def found_by_dataset(plan: Plan) -> dict[str, int]:
    """How many people of each dataset were found."""
    found = Counter[str]()
    for shard in plan.store.people_shards():
        file: Path = records_file(plan.folder, shard)
        found.update(pq.read_table(file, columns=["dataset"])["dataset"].to_pylist())
    return dict(found)


def refuse_unseen(plan: Plan) -> None:
    """Raises SettingsError if nobody of some dataset was found: the real run would go on without it."""
    skipped = json.loads(plan.people_found.read_text())["skipped"]
    why = "; ".join(f"{many} {reason}" for many, reason in skipped) or "no reason was kept"
    found = found_by_dataset(plan)
    for one in plan.settings.data.train:
        names = pq.read_table(files_of(one.records)[0], columns=["dataset"])["dataset"].unique().to_pylist()
        if not any(found.get(name) for name in names):
            raise SettingsError(
                f"[data] train, {one.records}: none of its people was found ({why}). The run would train without them"
            )


def walked(plan: Plan) -> list[tuple[str, ...]]:
    """The stages of a run in the order in which they ended, with what each worked on and how long."""
    stages = json.loads((plan.folder / "stages.json").read_text())
    return [(name, str(one["items"]), f"{one['seconds']:.1f}") for name, one in stages.items()]
