"""Photographs per second of the search for people, against a search through every square, and of the quick one."""

import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from hmr.detection.people import PersonFinder
from hmr.detection.photograph import read_photograph
from hmr.detection.pose_networks import Landmarks, Square, pose_networks
from hmr.detection.tile_search import Level, Scale, TileSearch
from hmr.processes import AHEAD, in_processes

EVERY = "every square of every scale, and every look with a mask"


class EverySquare(TileSearch):
    """The baseline: the search without any shortcuts."""

    def _worthwhile(self, scale: Scale) -> list[tuple[float, float, float]]:
        return scale.squares

    def _consider_all(self, least: float) -> None:
        if least == 0:  # once, when all squares have been looked at
            super()._consider_all(least)

    def _taken(self, square: Square, seen: Landmarks | None = None) -> bool:
        return False  # the second look decides

    def _glance(self, level: Level, square: Square) -> Landmarks:
        return pose_networks().landmarks(level.pixels, square)

    def _second(self, level: Level, seen: Landmarks) -> Landmarks:
        return pose_networks(heavy=True).landmarks(level.pixels, seen.better)


def measure_people(photographs: Sequence[Path], *, rounds: int = 3, processes: int = 2) -> list[dict[str, Any]]:
    """Photographs per second in one process and in several; squares looked at and people found by both searches.

    Every round takes each photograph with each search in turn, so that other work on the machine slows both alike; a
    value is the median of the rounds. Only the row of several processes includes the reading of files; no row includes
    the start of processes. Each result has metric, value, unit, baseline and ratio (above 1 is better).
    """
    pictures = [read_photograph(path).pixels for path in photographs]
    ours, plain = ([search().through(one) for one in pictures] for search in (TileSearch, EverySquare))
    seconds: dict[type[TileSearch], list[float]] = {TileSearch: [], EverySquare: []}
    for _ in range(rounds):
        for spent in seconds.values():
            spent.append(0.0)
        for one in pictures:
            for search, spent in seconds.items():
                start = time.perf_counter()
                search().through(one)
                spent[-1] += time.perf_counter() - start
    rate, slow = (len(pictures) / median(spent) for spent in seconds.values())
    several = _rate_in_processes(photographs, rounds, processes)

    def row(
        metric: str, value: float | int, unit: str, ratio: float | None = None, baseline: str = EVERY
    ) -> dict[str, Any]:
        return {"metric": metric, "value": value, "unit": unit, "baseline": baseline if ratio else None, "ratio": ratio}

    squares = [sum(one.squares for one in looked) / len(pictures) for looked in (ours, plain)]
    people = [sum(len(one.kept) for one in looked) for looked in (ours, plain)]
    return [
        row("people.photographs", rate, "photographs/s", rate / slow),
        row("people.processes", several, f"photographs/s in {processes} processes", several / rate, "one process"),
        row("people.squares", squares[0], "a photograph", squares[1] / squares[0]),
        row("people.found", people[0], "people", people[0] / people[1] if people[1] else None),
    ]


def measure_quick(pictures: Sequence[Path], *, rounds: int = 3) -> list[dict[str, Any]]:
    """Milliseconds of one process to search a picture of one person quickly, and people found, against thoroughly.

    The larger network looks at who was found in both, as evidence for critics. Rounds and results as above.
    """
    read = [read_photograph(path).pixels for path in pictures]
    searches = {kind: PersonFinder(thorough=kind == "thorough", second_look=True) for kind in ("quick", "thorough")}
    found = {kind: sum(len(finder.find(one)) for one in read) for kind, finder in searches.items()}
    seconds: dict[str, list[float]] = {kind: [] for kind in searches}
    for _ in range(rounds):
        for kind, finder in searches.items():
            start = time.perf_counter()
            for one in read:
                finder.find(one)
            seconds[kind].append(time.perf_counter() - start)
    quick, thorough = (1e3 * median(seconds[kind]) / len(read) for kind in ("quick", "thorough"))
    of, against = f"{len(read)} drawn pictures of one person", f"the thorough search: {thorough:.0f} ms"
    people, also = found["thorough"], f"{found['thorough']} by the thorough search"
    return [
        {"metric": "people.quick_ms", "value": quick, "unit": f"ms, {of}", "baseline": against,
         "ratio": thorough / quick},
        {"metric": "people.quick_found", "value": found["quick"], "unit": f"people, {of}", "baseline": also,
         "ratio": found["quick"] / people if people else None},
    ]  # fmt: skip


def _rate_in_processes(photographs: Sequence[Path], rounds: int, processes: int) -> float:
    """Photographs per second once all processes have started: each of them loads the networks first."""
    begin = AHEAD * processes
    jobs = [*photographs] * (rounds + -(-begin // len(photographs)))
    start = 0.0
    for k, _ in enumerate(in_processes(_found, jobs, processes)):
        if k == begin - 1:
            start = time.perf_counter()
    return (len(jobs) - begin) / (time.perf_counter() - start)


def _found(path: Path) -> int:
    return len(PersonFinder().find(read_photograph(path).pixels))
