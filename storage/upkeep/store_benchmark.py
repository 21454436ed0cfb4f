"""Speed of the store: groups written and read beside pyarrow alone, one group of many, commits, judging again.

Everything is on the disk of `folder`, with fsync on both sides. The baselines are below: plain code with numpy and
pyarrow, without checksums, digests, manifests and records.
"""

import json
import os
import shutil
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from storage.finished_file import write_text
from storage.group_store import GroupStore
from storage.records import Group, Person, Verdict
from storage.remote_path import RemotePath
from storage.rows import rows_of_verdicts
from storage.schema import GROUPS, HYPS, Encoded, shape_of
from storage.shards.entries import StoredFile, entry_of
from storage.shards.journal import write_journal
from storage.shards.manifest import Manifest
from storage.shards.notes import notes_of_verdicts

HYPOTHESES, SHARDS, GROUPS_A_SHARD, MANY = 20, 1250, 64, 33_000
"""A default group; 1.6 million rows of scores; the shards of 2.1 million photographs."""

WRITERS = (1, 2, 8)
"""Threads that write verdicts, of which the fastest count: disks flush many files in the time of one, while Python
works in one thread at a time."""

CRITIC = "made-up@1"

Row = dict[str, Any]


def measure_store(*, folder: Path | None = None, rounds: int = 7, share: float = 0.1) -> list[Row]:
    """All measurements, each with metric, value, unit, baseline and ratio (above 1 is better).

    folder: where to write, a temporary one if none is given. share: of the 1,250 shards to judge again; their time is
    counted 1 / share times.
    """
    with TemporaryDirectory(dir=folder) as found:
        root = Path(found)
        return [
            *_throughput(root / "throughput", rounds),
            *(_one_of(root / f"one_of_{many}", many, rounds) for many in (GROUPS_A_SHARD, 512)),
            *_commits(root / "commits", 10 * rounds),
            _rescoring(root / "rescoring", max(1, round(SHARDS * share)), share),
        ]


def measure_remote(place: RemotePath, *, rounds: int = 7) -> list[Row]:
    """Groups written to and read from a new store at an address, and a commit, against the same bytes sent alone."""
    store, groups = GroupStore(place), made_up(np.random.default_rng(0), GROUPS_A_SHARD)
    ours: dict[str, list[float]] = {"write": [], "read": [], "commit": []}
    plain: dict[str, list[float]] = {"write": [], "read": [], "commit": []}
    with TemporaryDirectory() as folder:
        files = [Path(folder) / f"{table}.parquet" for table in ("groups", "hyps")]
        for k in range(rounds):
            objects = [place / f"plain/{k}-{file.name}" for file in files]

            def send(objects: list[RemotePath] = objects) -> None:
                write_plainly(groups, *files)
                for file, one in zip(files, objects):
                    one.write_bytes(file.read_bytes())

            def fetch(objects: list[RemotePath] = objects) -> list[dict[str, NDArray]]:
                return [_arrays(pq.ParquetFile(pa.BufferReader(one.read_bytes())).read()) for one in objects]

            plain["write"].append(_seconds(send))
            ours["write"].append(_seconds(store.write_groups, "round0", str(k), groups))
            plain["read"].append(_seconds(fetch))
            ours["read"].append(_seconds(store.read_groups, "round0", str(k)))
            plain["commit"].append(_seconds((place / f"plain/{k}.jsonl").create, b"x" * 300))
            ours["commit"].append(_seconds(store.write_people, str(k), []))
    ratios = {what: median(plain[what]) / median(ours[what]) for what in ours}
    rates = {what: len(groups) / median(ours[what]) for what in ("write", "read")}
    return [
        *(
            _row(f"store.remote_{what}", rates[what], f"groups of {HYPOTHESES}/s", "the same bytes sent alone", ratio)
            for what, ratio in ratios.items() if what != "commit"
        ),
        _row("store.remote_commit_ms", 1000 * median(ours["commit"]), "ms", "one object created", ratios["commit"]),
    ]  # fmt: skip


def _row(metric: str, value: float, unit: str, baseline: str | None = None, ratio: float | None = None) -> Row:
    return {"metric": metric, "value": value, "unit": unit, "baseline": baseline, "ratio": ratio}


def _throughput(root: Path, rounds: int) -> list[Row]:
    store, groups = GroupStore(root / "store"), made_up(np.random.default_rng(0), GROUPS_A_SHARD)
    ours: dict[str, list[float]] = {"write": [], "read": []}
    plain: dict[str, list[float]] = {"write": [], "read": []}
    for k in range(rounds):
        files = [root / f"{k}-{table}.parquet" for table in ("groups", "hyps")]
        plain["write"].append(_seconds(write_plainly, groups, *files))
        ours["write"].append(_seconds(store.write_groups, "round0", str(k), groups))
        plain["read"].append(_seconds(read_plainly, *files))
        ours["read"].append(_seconds(store.read_groups, "round0", str(k)))
    return [
        _row(
            f"store.{what}", len(groups) / median(ours[what]), f"groups of {HYPOTHESES}/s",
            f"pyarrow alone, the same columns and encodings{' with fsync' if what == 'write' else ', as arrays'}",
            median(plain[what]) / median(ours[what]),
        )
        for what in ours
    ]  # fmt: skip


def _one_of(root: Path, many: int, rounds: int) -> Row:
    """One group by name, of a shard of many, of which no group was read before."""
    store, random = GroupStore(root), np.random.default_rng(1)
    groups = made_up(random, many)
    ours, plain = [], []
    for k in range(rounds):
        shard = str(k)
        store.write_groups("round0", shard, groups)
        place = int(random.integers(many))
        ours.append(_seconds(store.read_group, "round0", shard, groups[place].person.group_id))
        first, second = (root / f"{table}/gen=round0/{shard}.parquet" for table in ("groups", "hyps"))
        plain.append(_seconds(read_one_plainly, first, second, place))
    ratio = median(plain) / median(ours)
    details = "pyarrow reading the row groups whose numbers it is told, unchecked"
    return _row(f"store.random_group_of_{many}_ms", 1000 * median(ours), "ms", details, ratio)


def _commits(root: Path, rounds: int) -> list[Row]:
    """Milliseconds of a commit to an empty manifest and to a large one, and seconds until a large one is open."""
    content = np.random.default_rng(2).bytes(20_000)
    file = Encoded(1280, memoryview(content), (len(content),))
    random = np.random.default_rng(2)
    noted = notes_of_verdicts([_verdict(group, random) for group in made_up(random, GROUPS_A_SHARD, blank=True)])
    files = {"scores": lambda: file}
    empty, large = (Manifest({"scores": root / name}) for name in ("empty", "large"))
    _fill(root / "large", entry_of(file), noted)
    one: list[float] = []
    many: list[float] = []
    for k in range(rounds):
        one.append(_seconds(empty.commit, f"new-{k}", lambda: "c" * 64, files, noted))
        many.append(_seconds(large.commit, f"new-{k}", lambda: "c" * 64, files, noted))
    shutil.copytree(root / "large", root / "unknown")  # readings of the first are cached
    opened = _seconds(Manifest({"scores": root / "unknown"}).shards)
    ratio = median(one) / median(many)
    return [
        _row(f"store.commit_{MANY}_ms", 1000 * median(many), "ms", "a commit to an empty manifest", ratio),
        _row(f"store.open_{MANY}_s", opened, "s until all shards are listed"),
    ]


def _fill(folder: Path, file: StoredFile, noted: Row) -> None:
    """A manifest of many shards, as its docstring describes it; their files do not exist."""
    numbers = file.as_list()
    lines = [
        json.dumps([f"free-{k:05d}", f"{k:064x}", 1_795_957_495_577_572_834 + k, {"scores": numbers}, noted]) + "\n"
        for k in range(MANY)
    ]
    write_journal(folder / "_journal-1.jsonl", "".join(lines).encode())
    write_text(folder / "_manifest.json", json.dumps({"schema": 2, "journal": 1}))


def _rescoring(root: Path, shards: int, share: float) -> Row:
    """Seconds to list what a critic has not judged, to write its verdicts from some threads, and to list again.

    The groups' pictures are black and their numbers zeros: a re-score reads none of them.
    """
    random, store, drawn = np.random.default_rng(3), GroupStore(root / "store"), dict[str, list[Verdict]]()
    black = made_up(random, GROUPS_A_SHARD, blank=True)
    for k in range(shards):
        named = [replace(g, person=replace(g.person, group_id=f"{k}-{g.person.group_id}")) for g in black]
        store.write_groups("round0", f"free-{k:04d}", named)
        drawn[f"free-{k:04d}"] = [_verdict(group, random) for group in named]
    tables = {shard: rows_of_verdicts(verdicts)["scores"] for shard, verdicts in drawn.items()}

    def ours(critic: str, judged: dict[str, list[Verdict]], writers: int) -> None:
        lacking = store.lacking("round0", critic)
        with ThreadPoolExecutor(writers) as pool:
            list(pool.map(lambda shard: store.write_verdicts("round0", critic, "r", shard, judged[shard]), lacking))
        left = store.lacking("round0", critic)
        if len(lacking) != shards or left:
            raise RuntimeError(f"{len(lacking)} of {shards} shards lacked verdicts before, and {len(left)} after")

    def plainly(writers: int) -> None:
        folder = root / f"plain{writers}"
        folder.mkdir()
        with ThreadPoolExecutor(writers) as pool:
            list(pool.map(lambda shard: _write_table(tables[shard], folder / f"{shard}.parquet"), tables))

    plain, took = [], []
    for writers in WRITERS:
        critic = f"made-up@{writers}"
        judged = {shard: [replace(one, critic=critic) for one in verdicts] for shard, verdicts in drawn.items()}
        plain.append(_seconds(plainly, writers))
        took.append(_seconds(ours, critic, judged, writers))
    rows = round(shards * GROUPS_A_SHARD * HYPOTHESES / share / 1e5) / 10
    details = f"s for {rows} M rows in {round(shards / share)} shards, {WRITERS[int(np.argmin(took))]} threads"
    details += f", from {share:.0%}" if share < 1 else ""
    compared = f"pyarrow's writer on ready tables, fsync, {WRITERS[int(np.argmin(plain))]} threads"
    return _row("store.rescore_s", min(took) / share, details, compared, min(plain) / min(took))


def _verdict(group: Group, random: np.random.Generator) -> Verdict:
    scores = random.uniform(0, 100, len(group)).round(1)
    comments = [f"knee {score:.0f} degrees off" for score in scores]
    return Verdict(group.person.group_id, CRITIC, scores, ("ok",) * len(group), tuple(comments), seconds=0.1)


def made_up(random: np.random.Generator, count: int, *, blank: bool = False) -> list[Group]:
    """Groups of random numbers, which no encoding compresses; or of zeros, if `blank`."""

    def floats(*shape: int) -> NDArray[np.float32]:
        return np.zeros(shape, np.float32) if blank else random.normal(size=shape).astype(np.float32)

    def picture(*shape: int) -> NDArray[np.uint8]:
        return np.zeros(shape, np.uint8) if blank else random.integers(0, 256, shape, dtype=np.uint8)

    size = HYPOTHESES
    return [
        Group(
            person=Person(
                group_id=f"street-{random.bytes(8).hex()}-p{place}", photo=f"street/{place}.jpg",
                photo_sha256=random.bytes(32).hex(), width=1280, height=720, box=floats(4), detection=0.9,
                crop=floats(3), camera=floats(4), landmarks=floats(33, 4), world_landmarks=floats(33, 3),
                mask=picture(64, 64),
                picture=picture(128, 128, 3), second_look=floats(33, 7),
            ),
            model_digest="0123456789abcdef", temperature=1.0, betas=floats(10),
            seeds=random.integers(0, 2**62, size), zero_start=np.arange(size) == 0, synthetic=np.zeros(size, bool),
            latents=floats(size, 133), pose=floats(size, 24, 3), translation=floats(size, 3),
            joints=floats(size, 29, 3), keypoints=floats(size, 23, 3),
        )
        for place in range(count)
    ]  # fmt: skip


_BROUGHT = ("made_by", "shape", "mesh")
"""Columns that only other models' answers fill."""


def write_plainly(groups: Sequence[Group], first: Path, second: Path) -> None:
    """The baseline: columns stacked and written, each table to its file."""
    first.parent.mkdir(parents=True, exist_ok=True)
    ids = [group.person.group_id for group in groups]
    one = {name: [getattr(group.person, name, None) for group in groups] for name in GROUPS.names}
    one |= {name: [getattr(group, name) for group in groups] for name in ("model_digest", "temperature", "betas")}
    one["hypotheses"] = [len(group) for group in groups]
    _write_table(pa.table([_stacked(field, one[field.name]) for field in GROUPS], schema=GROUPS), first)
    many = {"group_id": np.repeat(ids, HYPOTHESES), "hypothesis": np.tile(np.arange(HYPOTHESES), len(groups))}
    many["seed"] = np.concatenate([group.seeds for group in groups])
    many |= {
        name: np.concatenate([getattr(group, name) for group in groups])
        for name in HYPS.names[3:]
        if name not in _BROUGHT
    }
    many |= dict.fromkeys(_BROUGHT, [None] * len(many["seed"]))
    _write_table(pa.table([_stacked(field, many[field.name]) for field in HYPS], schema=HYPS), second)


def _stacked(field: pa.Field, values: Any) -> pa.Array:
    if all(value is None for value in values):
        return pa.nulls(len(values), field.type)
    if pa.types.is_fixed_size_list(field.type):
        return pa.FixedSizeListArray.from_arrays(np.stack(values).reshape(-1), type=field.type)
    if pa.types.is_fixed_size_binary(field.type):
        return pa.Array.from_buffers(field.type, len(values), [None, pa.py_buffer(np.stack(values))])
    return pa.array(values, field.type)


def _write_table(table: pa.Table, path: Path) -> None:
    arrays = [field.name for field in table.schema if pa.types.is_fixed_size_list(field.type)]
    words = [field.name for field in table.schema if pa.types.is_string(field.type)]
    encodings = {f"{name}.list.element": "BYTE_STREAM_SPLIT" for name in arrays}
    with open(path, "wb") as file:
        pq.write_table(
            table, file, compression="zstd", compression_level=1, column_encoding=encodings,
            use_dictionary=words,  # type: ignore[arg-type]  # a list of names is documented, the stubs say bool
        )  # fmt: skip
        file.flush()
        os.fsync(file.fileno())


def read_plainly(*files: Path) -> list[dict[str, NDArray]]:
    """The baseline: the columns of each file as arrays (rows, *shape), each in its unit in the schema."""
    return [_arrays(pq.ParquetFile(file).read()) for file in files]


def read_one_plainly(first: Path, second: Path, place: int) -> list[dict[str, NDArray]]:
    """The baseline: the rows of the group at `place` as arrays (rows, *shape), each in its unit in the schema."""
    found = []
    for path, start, stop in ((first, place, place + 1), (second, place * HYPOTHESES, (place + 1) * HYPOTHESES)):
        file = pq.ParquetFile(path)
        size = file.metadata.row_group(0).num_rows
        groups = range(start // size, (stop - 1) // size + 1)
        found.append(_arrays(file.read_row_groups(groups)[start - groups[0] * size : stop - groups[0] * size]))
    return found


def _arrays(table: pa.Table) -> dict[str, NDArray]:
    found = {}
    for field in table.schema:
        column, shape = table[field.name].combine_chunks(), shape_of(field)
        if pa.types.is_fixed_size_list(field.type):
            found[field.name] = column.flatten().to_numpy(zero_copy_only=False).reshape(-1, *shape)
        elif pa.types.is_fixed_size_binary(field.type):
            start, size = column.offset, column.type.byte_width
            bytes_ = np.frombuffer(column.buffers()[1], np.uint8)[start * size : (start + len(column)) * size]
            found[field.name] = bytes_.reshape(-1, *shape)
        else:
            found[field.name] = column.to_numpy(zero_copy_only=False)
    return found


def _seconds(work: Callable[..., Any], *given: Any) -> float:
    start = time.perf_counter()
    work(*given)
    return time.perf_counter() - start
