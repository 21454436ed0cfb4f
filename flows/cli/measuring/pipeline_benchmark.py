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

from PIL import Image, ImageOps

from tasks.run.settings import Run, Settings

STAGES = ("find people", "sample", "score")
SHARD, FEW = 16, 4  # photographs in a shard that is one of several processes', and in one of the few free ones
LEAST = 1.0  # s beyond the start, below which a rate without the start means nothing and is left out
CUT = 25  # each edge of a photograph loses one part in so many


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

    Drawn pictures show one person and are searched quickly, as by the embedded default. Free ones are the shipped
    photographs, each in four forms, and are searched as the user's are. Ways of running alternate; medians over rounds.
    Each result has metric, value, unit, baseline and ratio (above 1 is better). The start of worker processes is
    included, but in the rows with `going`, which are left out where there is too little work to tell it apart.
    """
    from flows.record.recording import recorded

    taken: dict[str, list[dict[str, float]]] = {}
    with tempfile.TemporaryDirectory() as folder, recorded():
        place = Path(folder)
        drawn, free = _pictures(place, photographs)
        run_stages(WAYS["plain"], drawn, place / "warm", few=True)

        def run(name: str, way: Way, turn: int, of: Path = drawn, few: bool = False) -> None:
            out, search = place / f"{name}{turn}", "quick" if of is drawn else "thorough"
            taken.setdefault(name, []).append(run_stages(way, of, out, few=few, search=search))

        for turn in range(rounds):
            for name, way in WAYS.items():
                run(name, way, turn)
            for name in ("one", "two"):
                run(f"{name}, begun", WAYS[name]._replace(shard=1), turn, few=True)
            run("free", WAYS["two"]._replace(shard=FEW), turn, free)
            run("free, begun", WAYS["two"]._replace(shard=1), turn, free, few=True)
        for _ in range(max(rounds, 3)):
            run("recorded", WAYS["recorded"], 0)  # again, with nothing left to do
        taken["idle"] = taken["recorded"][rounds:]
        del taken["recorded"][rounds:]
        count = len(list(free.iterdir()))
    return pipeline_rows(taken, photographs, count)


def pipeline_rows(taken: dict[str, list[dict[str, float]]], photographs: int, free: int) -> list[dict[str, Any]]:
    """The rows, from the seconds of each stage in every run of each way. free: how many free photographs there were."""
    whole = {name: median(sum(one.values()) for one in runs) for name, runs in taken.items()}
    work = {name: median(one["find people"] + one["sample"] for one in runs) for name, runs in taken.items()}
    going = {name: work[name] - work[f"{name}, begun"] for name in ("one", "two", "free")}
    rate = {
        name: (count - 2) / (whole[name] - whole[f"{name}, begun"])
        for name, count in (("one", photographs), ("two", photographs), ("free", free))
        if going[name] > LEAST
    }
    stages = {stage: median(one[stage] for one in taken["two"]) for stage in STAGES}
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) / 1024

    def row(metric: str, value: float, unit: str, baseline: str | None = None, ratio: float | None = None) -> dict:
        return {"metric": f"pipeline.{metric}", "value": value, "unit": unit, "baseline": baseline, "ratio": ratio}

    one, of_runner = "one process", "one process of the same runner, finding and sampling"
    less = "less what the first two photographs took"
    without = []
    if "one" in rate and "two" in rate:
        without += [
            row("going_photos_per_second", rate["two"], f"1/s, {less}", one, rate["two"] / rate["one"]),
            row("scaling_going", going["one"] / going["two"], f"x, {less}", of_runner, going["one"] / going["two"]),
        ]
    if "free" in rate:
        without.append(row("going_free_photos_per_second", rate["free"], f"1/s, {free} photographs, {less}"))
    return [
        row("photos_per_second", photographs / whole["two"],
            f"1/s, {photographs} drawn pictures of one person, two processes", one, whole["one"] / whole["two"]),
        row("scaling", work["one"] / work["two"], f"x, {photographs} drawn pictures", of_runner,
            work["one"] / work["two"]),
        row("start_seconds", work["two, begun"], "s, two processes' start and a picture by each"),
        row("free_photos_per_second", free / whole["free"], f"1/s, {free} photographs, two processes"),
        *without,
        row("prefect_percent", 100 * (whole["recorded"] / whole["plain"] - 1),
            f"% more than plain calls, {photographs} drawn pictures in shards of {USUAL}",
            "the same calls without Prefect", whole["plain"] / whole["recorded"]),
        row("nothing_to_do", whole["idle"], "s, three stages with nothing left to do"),
        *(row(f"share_{stage.replace(' ', '_')}", 100 * seconds / sum(stages.values()), "% of the time")
          for stage, seconds in stages.items()),
        row("memory_mb", peak, "MB, the largest process"),
    ]  # fmt: skip


def _pictures(place: Path, count: int) -> tuple[Path, Path]:
    """Folders of drawn pictures, and of the shipped photographs: as they are, mirrored, and both cut at the edges."""
    from tasks.photographs import save_scenes  # only now: threads of Prefect use the settings at its import

    drawn, free = place / "drawn", place / "free"
    save_scenes("val", range(count), drawn)
    free.mkdir()
    with resources.as_file(resources.files("tasks") / "assets" / "photographs") as shipped:
        for path in sorted(shipped.glob("*.jpg")):
            with Image.open(path) as picture:
                width, height = picture.size
                edges = (width // CUT, height // CUT, width - width // CUT, height - height // CUT)
                for cut, seen in (("", picture.copy()), ("cut-", picture.crop(edges))):
                    seen.save(free / f"{cut}{path.name}", quality=95)
                    ImageOps.mirror(seen).save(free / f"{cut}mirrored-{path.name}", quality=95)
    return drawn, free


def run_stages(
    way: Way, photographs: Path, out: Path, few: bool = False, hypotheses: int = 20, critic: str = "evidence",
    search: str = "thorough",
) -> dict[str, float]:  # fmt: skip
    """Seconds of each of STAGES on a folder of photographs; few: on two of them."""
    from flows.record.shard_runner import ShardRunner
    from flows.stages.find_people import find_people
    from flows.stages.sample_groups import sample_groups
    from flows.stages.score_groups import score_groups

    if few:
        some = out / "photographs"
        some.mkdir(parents=True)
        for path in sorted(photographs.iterdir())[:2]:
            shutil.copy(path, some)
        photographs = some
    settings = Settings.model_validate(
        {
            "run": {"out": out, "shard_size": way.shard, "runner": way.runner, "processes": way.processes},
            "photographs": {"folder": photographs, "search": search},
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
