"""The study of the detector: errors on the studio's splits (real and simulated), and on annotated photographs."""

from pathlib import Path
from typing import Any

from prefect import flow

from flows.cli.measurements import cells
from flows.record.run_labels import labelled
from hmr.studio.studio import Split
from tasks.benchmarking import StudioPeople
from tasks.benchmarks.detector_quality import photograph_quality, studio_quality
from tasks.groups.sampled_groups import body
from tasks.run.artifacts import leave_table
from tasks.run.plan import Plan, studio_cache
from tasks.run.settings import Settings

SPLITS: tuple[Split, ...] = ("lab", "broad", "easy_val", "val", "test")


@flow(name="experiment-detector", **labelled("experiment detector"))
def detector(settings: Settings, annotations: Path | None = None, folder: Path | None = None) -> list[dict[str, Any]]:
    """Errors of the real and the simulated detector on each split, and on annotated photographs if given.

    Returns measurement rows.
    """
    frame, plan, rows = body(None), Plan(settings), []
    for split in SPLITS:
        people = plan.studio(split)
        if split in ("lab", "broad"):
            count = getattr(settings.studio, split)
            people = StudioPeople(split, count, studio_cache(settings.run.out), settings.run.processes)
        for kind, found in studio_quality(frame, people).items():
            rows += [_row(f"detector.{split}.{kind}.{name}", value) for name, value in found.items()]
    if annotations is not None and folder is not None:
        found = photograph_quality(annotations, folder)
        rows += [_row(f"detector.photographs.{name}", value) for name, value in found.items()]
    leave_table("experiment detector", list(map(cells, rows)), "how the detector errs, real and simulated")
    return rows


def _row(metric: str, value: float) -> dict[str, Any]:
    name = metric.rsplit(".", 1)[-1]
    unit = "mm" if name.startswith("world_") and "size" not in name else "px of 256" if "error" in name else ""
    return {"metric": metric, "value": value, "unit": unit, "baseline": None, "ratio": None}
