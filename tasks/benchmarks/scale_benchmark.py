"""A store of millions of photographs' groups and verdicts, made up: time to open it, to list, plan and do a re-score.

Its groups are their names and its people black pictures, for no mesh is read; one critic has judged them all, another
none. So it takes 3 GB for 2.1 million photographs where a real one takes 240. A share of the shards is made, and a
tenth of that for comparison: what takes ten times as long for ten times as many can be counted up. Times are seconds of
a processor, since nothing waits for a disk that has the files in memory.
"""

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa

from storage.group_store import GroupStore
from storage.records import Verdict
from storage.rows import rows_of_groups, rows_of_verdicts
from storage.shards.notes import notes_of
from storage.upkeep.store_benchmark import HYPOTHESES, made_up
from tasks.rescoring.chosen_groups import Choice, choose
from tasks.run.settings import Settings

IMAGES, SHARD_SIZE = 2_100_000, 64
"""InstaVariety, with a person in each; photographs of a shard."""
GEN, OLDER, NEWER = "round0", "made-up@1", "made-up@2"
JUDGED = "store_100_verdicts"
"""The step that takes what it takes with any number of shards."""

Row = dict[str, Any]


def measure_scale(*, images: int = IMAGES, share: float = 0.1, folder: Path | None = None) -> list[Row]:
    """All measurements, counted up to all images, each with what a tenth of the store took beside it.

    share: of the shards that are made. folder: on whose disk; a temporary one if none is given.
    """
    shards = max(10, round(images / SHARD_SIZE * share))
    with TemporaryDirectory(dir=folder) as found:
        few, many = (_measured(Path(found) / str(count), count) for count in (shards // 10, shards))
        size = sum(path.stat().st_size for path in (Path(found) / str(shards)).rglob("*.parquet"))
    whole = images / (shards * SHARD_SIZE)
    note = f", counted up from {shards:,} shards" if share < 1 else f" in {shards:,} shards"
    rows = [
        {
            "metric": f"scale.{what}_s", "value": seconds * whole,
            "unit": f"s of a processor, {images / 1e6:.3g} M images{note}",
            "baseline": "as many times a tenth of the shards (1 = in proportion)",
            "ratio": few[what] * shards / (shards // 10) / seconds,
        }
        for what, seconds in many.items()
        if what != JUDGED
    ]  # fmt: skip
    others = {
        f"{JUDGED}_s": (many[JUDGED], f"s of a processor, 100 groups of as many shards, in a store of {shards:,}"),
        "made_up_gb": (size * whole / 1e9, "GB"),
    }
    for what, (value, unit) in others.items():
        rows.append({"metric": f"scale.{what}", "value": value, "unit": unit, "baseline": None, "ratio": None})
    return rows


def _measured(root: Path, shards: int) -> dict[str, float]:
    """Seconds of each step in a store of so many shards."""
    make_store(root / "run" / "store", shards)
    shutil.copytree(root / "run", root / "again", copy_function=_linked)  # readings of the first are cached
    store = GroupStore(root / "again" / "store")

    def planned(**how: Any) -> Choice:
        settings = {"run": {"name": "again", "out": root}, "critic": {"name": "evidence"}, "rescore": how}
        choice = choose(Settings.model_validate(settings), NEWER, store)
        if choice.groups != min(how.get("groups", np.inf), choice.matching) or choice.against != OLDER:
            raise RuntimeError(f"the plan has {choice.groups} groups, against {choice.against}")
        return choice

    steps: dict[str, Callable[[], Any]] = {
        "open": lambda: (store.group_shards(GEN), store.verdict_shards(GEN, OLDER)),
        "list_done": lambda: _none(store.lacking(GEN, OLDER)),
        "plan": planned,
        "plan_100_groups": lambda: planned(groups=100),
        "plan_uncertain": lambda: planned(order="uncertain"),
        "plan_by_name": lambda: planned(where="*-p7-*"),
    }
    found = {name: _seconds(step) for name, step in steps.items()}
    chosen = planned(order="uncertain", groups=100)

    def judge() -> None:
        for portion in chosen.portions:
            ids = store.group_ids(GEN, portion.shard)
            verdicts = [_verdict(np.random.default_rng(0), ids[place], NEWER) for place in portion.all_places]
            store.add_verdicts(GEN, NEWER, "run", portion.shard, verdicts)

    judged = _seconds(judge)
    if planned().lacking != shards * SHARD_SIZE - chosen.groups:
        raise RuntimeError("groups that were judged again still count as not judged")
    return found | {JUDGED: judged}


def make_store(root: Path, shards: int) -> None:
    """A store whose groups and verdicts repeat but for their names; its hypotheses have no rows."""
    random, store = np.random.default_rng(0), GroupStore(root)
    black = made_up(random, SHARD_SIZE, blank=True)
    groups = rows_of_groups(black)
    verdicts = rows_of_verdicts([_verdict(random, group.person.group_id, OLDER) for group in black])
    empty = {"hyps": groups["hyps"].slice(0, 0)}
    for k in range(shards):
        shard = f"wild-{k:05d}"
        named = {"groups": _named(groups["groups"], k), **empty}
        store._write(store._groups(GEN), shard, named, notes_of(named))
        judged = {name: _named(table, k) for name, table in verdicts.items()}
        store._write(store._scores(OLDER, GEN, "run"), shard, judged, notes_of(judged))


def _verdict(random: np.random.Generator, group_id: str, critic: str) -> Verdict:
    comments = ("left knee too far forward",) * HYPOTHESES
    scores = random.uniform(0, 100, HYPOTHESES).round(1)
    return Verdict(group_id, critic, scores, ("ok",) * HYPOTHESES, comments, seconds=0.1)


def _named(table: pa.Table, shard: int) -> pa.Table:
    """The same rows, of the groups of another shard."""
    place = table.schema.get_field_index("group_id")
    names = pa.array([f"{name}-{shard}" for name in table["group_id"].to_pylist()], table.schema.field(place).type)
    return table.set_column(place, table.schema.field(place), names)


def _none(found: list[str]) -> None:
    if found:
        raise RuntimeError(f"{len(found)} shards are judged and count as not")


def _linked(source: str, target: str) -> None:
    Path(target).hardlink_to(source) if source.endswith(".parquet") else shutil.copy(source, target)


def _seconds(work: Callable[[], Any]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start
