"""Photographs a second from file to verdict, alone and through Prefect, and what a second process adds."""

import resource
import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from importlib import resources
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from tasks.run.settings import Run, Settings

STAGES = ("find people", "sample", "score")
SHARD, FEW = 16, 2  # photographs in a shard that is one of several processes', and in one of the few free ones


class Way(NamedTuple):
    """How the stages are run in one measurement."""

    recorded: bool  # as flows of Prefect, else as plain functions
    runner: str = "threads"
    processes: int = 1
    shard: int = SHARD  # photographs


USUAL: int = Run.model_fields["shard_size"].default
WAYS = {
    "plain": Way(False, shard=USUAL),
    "recorded": Way(True, shard=USUAL),
    "one": Way(True, "processes", 1),
    "two": Way(True, "processes", 2),
}


def measure_pipeline(photographs: int = 192, rounds: int = 3) -> list[dict[str, Any]]:
    """Photographs per second: find people, sample 20 hypotheses each, judge by `evidence`; drawn and free photographs.

    Ways of running alternate; medians over rounds. Each result has metric, value, unit, baseline and ratio (above 1 is
    better). The start of worker processes is included, but in `scaling_going`.
    """
    from flows.record.recording import recorded

    taken: dict[str, list[dict[str, float]]] = {name: [] for name in WAYS}
    with tempfile.TemporaryDirectory() as folder, recorded():
        from tasks.photographs import save_scenes  # only now: threads of Prefect use the settings at its import

        drawn, free = Path(folder) / "drawn", Path(folder) / "free"
        save_scenes("val", range(photographs), drawn)
        free.mkdir()
        for shipped in resources.files("tasks").joinpath("assets", "photographs").iterdir():
            if shipped.name.endswith(".jpg"):
                (free / shipped.name).write_bytes(shipped.read_bytes())
        run_stages(WAYS["plain"], drawn, Path(folder) / "warm", few=True)
        for turn in range(rounds):
            for name, way in WAYS.items():
                taken[name].append(run_stages(way, drawn, Path(folder) / f"{name}{turn}"))
        begun = {
            name: [
                run_stages(WAYS[name]._replace(shard=1), drawn, Path(folder) / f"begun-{name}{turn}", few=True)
                for turn in range(rounds)
            ]
            for name in ("one", "two")
        }
        two = WAYS["two"]._replace(shard=FEW)
        found = [run_stages(two, free, Path(folder) / f"free{turn}") for turn in range(rounds)]
        count = len(list(free.iterdir()))
        idle = [run_stages(WAYS["recorded"], drawn, Path(folder) / "recorded0") for _ in range(rounds)]
    whole = {name: median(sum(one.values()) for one in runs) for name, runs in taken.items()}
    work = {name: median(one["find people"] + one["sample"] for one in runs) for name, runs in taken.items()}
    start = {name: median(one["find people"] + one["sample"] for one in runs) for name, runs in begun.items()}
    going = {name: max(work[name] - start[name], 1e-3) for name in start}
    stages = {stage: median(one[stage] for one in taken["two"]) for stage in STAGES}
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) / 1024

    def row(metric: str, value: float, unit: str, baseline: str | None = None, ratio: float | None = None) -> dict:
        return {"metric": f"pipeline.{metric}", "value": value, "unit": unit, "baseline": baseline, "ratio": ratio}

    details = "one process of the same runner, finding and sampling"
    return [
        row("photos_per_second", photographs / whole["two"], "1/s, one drawn person each, two processes",
            "one process", whole["one"] / whole["two"]),
        row("scaling", work["one"] / work["two"], f"x, {photographs} photographs", details, work["one"] / work["two"]),
        row("scaling_going", going["one"] / going["two"], "x, less what the first two photographs took",
            details, going["one"] / going["two"]),
        row("start_seconds", start["two"], "s, two processes' start and a photograph by each"),
        row("free_photos_per_second", count / median(sum(one.values()) for one in found),
            f"1/s, {count} free photographs, two processes"),
        row("prefect_percent", 100 * (whole["recorded"] / whole["plain"] - 1),
            f"% more than plain calls, {photographs} photographs in shards of {USUAL}",
            "the same calls without Prefect", whole["plain"] / whole["recorded"]),
        row("nothing_to_do", median(sum(one.values()) for one in idle), "s, three stages with nothing left to do"),
        *(row(f"share_{stage.replace(' ', '_')}", 100 * seconds / sum(stages.values()), "% of the time")
          for stage, seconds in stages.items()),
        row("memory_mb", peak, "MB, the largest process"),
    ]  # fmt: skip


def run_stages(
    way: Way, photographs: Path, out: Path, few: bool = False, hypotheses: int = 20, critic: str = "evidence",
) -> dict[str, float]:  # fmt: skip
    """Seconds of each of STAGES on a folder of photographs; few: on two of them."""
    from flows.find_people import find_people
    from flows.record.shard_runner import ShardRunner
    from flows.sample_groups import sample_groups
    from flows.score_groups import score_groups

    if few:
        some = out / "photographs"
        some.mkdir(parents=True)
        for path in sorted(photographs.iterdir())[:2]:
            shutil.copy(path, some)
        photographs = some
    settings = Settings.model_validate(
        {
            "run": {"out": out, "shard_size": way.shard, "runner": way.runner, "processes": way.processes},
            "photographs": {"folder": photographs},
            "sample": {"hypotheses": hypotheses},
            "critic": {"name": critic},
        }
    )
    stages: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {
        "find people": (find_people if way.recorded else find_people.fn, {}),
        "sample": (sample_groups if way.recorded else sample_groups.fn, {"find": False}),
        "score": (score_groups if way.recorded else score_groups.fn, {}),
    }
    seconds: dict[str, float] = {}
    workers: AbstractContextManager[Any] = ShardRunner() if way.recorded else nullcontext()
    with workers:  # as inside `align`: the stages share them
        for name, (stage, given) in stages.items():
            start = time.perf_counter()
            stage(settings, **given)
            seconds[name] = time.perf_counter() - start
    return seconds
