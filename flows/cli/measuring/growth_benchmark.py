"""How the time from photograph to verdict grows with photographs, hypotheses and critics."""

import math
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from flows.cli.measuring.pipeline_benchmark import WAYS, run_stages

CRITICS = ("evidence", "scorer")
PHOTOGRAPHS, SIZES = (50, 100, 200, 400), (20, 50, 100, 200)


def measure_growth(
    photographs: Sequence[int] = PHOTOGRAPHS, sizes: Sequence[int] = SIZES, rounds: int = 3
) -> list[dict[str, Any]]:
    """Seconds of finding people, sampling and judging, without Prefect, in one process; medians over rounds.

    Drawn photographs with one person each. First with 20 hypotheses and more and more photographs, then with the
    fewest photographs and more and more hypotheses. `growth.*_exponent` is the slope of log time over log count: 1 =
    as many times longer as there is more to do, below 1 where something is done once for all.
    """
    from flows.record.recording import recorded

    with tempfile.TemporaryDirectory() as folder, recorded():
        from tasks.photographs import save_scenes  # only now: threads of Prefect use the settings at its import

        place = Path(folder)
        for count in photographs:
            save_scenes("val", range(count), place / f"drawn{count}")
        first = place / f"drawn{photographs[0]}"
        run_stages(WAYS["plain"], first, place / "warm", few=True)
        of_photographs: dict[int, list[dict[str, float]]] = {count: [] for count in photographs}
        of_sizes: dict[int, list[dict[str, float]]] = {size: [] for size in sizes}
        of_critics: dict[str, list[float]] = {critic: [] for critic in CRITICS}
        for turn in range(rounds):
            for count in photographs:
                out = place / f"count{count}-{turn}"
                of_photographs[count].append(run_stages(WAYS["plain"], place / f"drawn{count}", out))
            for size in sizes:
                out = place / f"size{size}-{turn}"
                of_sizes[size].append(run_stages(WAYS["plain"], first, out, hypotheses=size))
            for critic in CRITICS:
                out = place / f"critic-{critic}-{turn}"
                of_critics[critic].append(run_stages(WAYS["plain"], first, out, critic=critic)["score"])
    rows = []
    for name, found, unit in (
        ("photographs", of_photographs, f"s, {{}} photographs of one person, {sizes[0]} hypotheses each"),
        ("hypotheses", of_sizes, f"s, {photographs[0]} photographs of one person, {{}} hypotheses each"),
    ):
        seconds = {count: median(sum(one.values()) for one in runs) for count, runs in found.items()}
        rows += [_row(f"{name}_{count}", value, unit.format(count)) for count, value in seconds.items()]
        for stage in ("find people", "sample", "score"):
            some = {count: median(one[stage] for one in runs) for count, runs in found.items()}
            rows.append(_row(f"{name}_{stage.replace(' ', '_')}_ms",
                             1e3 * (some[max(some)] - some[min(some)]) / (max(some) - min(some)),
                             f"ms for each further one of {name}"))  # fmt: skip
        rows.append(_row(f"{name}_exponent", exponent(seconds), "of time over count; 1 = linear"))
    rows += [_row(f"critic_{critic}_ms", 1e3 * median(taken) / photographs[0], "ms a group of 20, stored")
             for critic, taken in of_critics.items()]  # fmt: skip
    return rows


def exponent(seconds: dict[int, float]) -> float:
    """Slope of the logarithm of seconds over that of the count, by least squares; two counts at least."""
    counts, taken = ([math.log(value) for value in values] for values in (seconds.keys(), seconds.values()))
    return float(np.polyfit(counts, taken, 1)[0])


def _row(metric: str, value: float, unit: str) -> dict[str, Any]:
    return {"metric": f"growth.{metric}", "value": value, "unit": unit, "baseline": None, "ratio": None}
