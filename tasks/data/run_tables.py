"""The tables that lie beside a store: overlays, metrics, the run itself, and the memory of its critic."""

import json
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa

from storage.finished_file import read_again
from storage.memory_store import MemoryStore
from storage.schema import StoreError
from storage.upkeep.tables import NAMES, SCHEMAS, Tables, tables_of_store
from tasks.groups.overlays import kept_pictures
from tasks.run.plan import Plan

_UNITS = {"_mm": "mm", "_m": "m", "_px": "px", "_deg": "degrees"}


def tables_of_run(plan: Plan) -> Tables:
    """All tables of a run, by name; those of which it has nothing are without rows."""
    found = {
        **tables_of_store(plan.store),
        "overlays": lambda: _overlays(plan),
        "metrics": lambda: iter([_table("metrics", _metrics(plan))]),
        "runs": lambda: iter([_table("runs", _runs(plan))]),
        "rules": lambda: iter([_table("rules", _memory(plan, "rules"))]),
        "prototypes": lambda: iter([_table("prototypes", _memory(plan, "prototypes"))]),
    }
    return {name: found[name] for name in NAMES}


def _table(name: str, rows: list[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=SCHEMAS[name])


def _overlays(plan: Plan) -> Iterator[pa.Table]:
    """The pictures that critics of this run looked at, as they are kept."""
    store = plan.store
    sight = plan.sight
    if sight is None:
        return
    for gen in store.gens():
        for shard in store.group_shards(gen):
            rows = []
            for group in store.read_groups(gen, shard):
                digest, file = kept_pictures(group, plan.body_path, plan.settings.overlay, sight, plan.store_root)
                for name, content in (read_again(file, _files) or {}).items():
                    view, _, number = Path(name).stem.partition("_")
                    rows.append(
                        {
                            "gen": gen, "group_id": group.person.group_id, "digest": digest, "picture": content,
                            "hypothesis": int(number) if number else None,
                            "view": "side" if view == "side" else "front",
                        }
                    )  # fmt: skip
            yield _table("overlays", rows)


def _files(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _metrics(plan: Plan) -> list[dict[str, Any]]:
    summary = read_again(plan.folder / "summary.json", lambda path: json.loads(path.read_text()))
    return [
        {
            "run": plan.settings.run.name, "model": model, "choice": choice, "metric": metric, "value": value,
            "unit": next((unit for ending, unit in _UNITS.items() if metric.endswith(ending)), ""),
        }
        for model, choices in (summary or {}).get("benchmark", {}).items()
        for choice, metrics in choices.items()
        for metric, value in metrics.items()
        if isinstance(value, float)
    ]  # fmt: skip


def _runs(plan: Plan) -> list[dict[str, Any]]:
    kept = read_again(plan.folder / "settings.json", lambda path: json.loads(path.read_text()))
    if kept is None:
        return []
    made_with = kept["made_with"]
    return [
        {
            "run": plan.settings.run.name, "critic": plan.critic_name, "base": made_with.get("base"),
            "body": made_with.get("body"), "detector": made_with.get("detector"), "settings_sha256": kept["sha256"],
            "settings": json.dumps(kept["settings"], sort_keys=True),
        }
    ]  # fmt: skip


def _memory(plan: Plan, table: str) -> list[dict[str, Any]]:
    if plan.memory is None:
        return []
    with suppress(StoreError):
        return MemoryStore(plan.memory).read()[table]
    return []
