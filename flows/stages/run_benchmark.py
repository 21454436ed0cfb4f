"""A model against the truth of people: of the embedded benchmark, or of the user's own val and test."""

import hashlib
import json
from pathlib import Path
from typing import Any, cast

from prefect import flow

from flows.cli.measurements import cells, measured
from flows.record.progress import stage
from flows.record.run_folder import alone_in_its_folder
from flows.record.run_labels import labelled
from hmr.models.weights_file import SHIPPED
from hmr.studio.studio import Split
from tasks.benchmarking import (
    benchmark_model,
    extras,
    floor_rows,
    look_at,
    measured_against,
    quality,
    sure_rows,
    table,
    uncertainty,
)
from tasks.data.imported_people import ImportedPeople
from tasks.report.report_tables import METRICS, PROTOCOLS, estimate_names
from tasks.run.artifacts import leave_table
from tasks.run.plan import Plan
from tasks.run.settings import Settings, SettingsError
from tasks.sampling import body, model

CHOSEN = ("selected", "fused")
"""Estimates that depend on a critic."""

SPLITS = ("test", "val", "easy_test", "easy_val")


def measure(plan: Plan, name: str, model_path: str, split: Split) -> Path:
    """Measure a model on a split; returns the file of each person's errors, `name` in the run's benchmark folder."""
    settings = plan.settings
    with stage(plan, f"benchmark {name}") as progress:
        people = plan.people(split)
        progress.items = look_at(people)
        return benchmark_model(
            name,
            model_path,
            plan.body_path,
            people,
            settings.benchmark,
            settings.sample,
            settings.critic,
            settings.overlay,
            plan.benchmark(name),
            plan.folder,
            settings.run.processes,
        )


@flow(name="run-benchmark", **labelled("benchmark"))
@alone_in_its_folder
def run_benchmark(
    settings: Settings, round_number: int = 0, split: str = "test", keep_as: str | None = None
) -> list[dict[str, Any]]:
    """Benchmark the policy after `round_number` rounds (0 = the base) on `test`, `val`, `easy_test` or `easy_val`.

    Returns measurement rows: means by estimate and metric, the joints that the groups are least sure of, the floors
    (mean pose, liftings), and the same on sure detections. Rows that depend on a critic name it.

    keep_as: name for the errors among the run's benchmarks; then no floors are measured. None: a name made from the
    inputs. Raises SettingsError for an unknown split.
    """
    if split not in SPLITS:
        raise SettingsError(f"the benchmark has no split '{split}'; it has {', '.join(SPLITS)}")
    plan = Plan(settings)
    model_path = plan.policy(round_number)
    name = keep_as or f"{split}-round{round_number}-{model(model_path).digest()}-{_how(settings)}"
    result = measure(plan, name, model_path, cast(Split, split))
    found = {**table(result), "extras": extras(result), "uncertainty": _uncertain(uncertainty(result))}
    if keep_as is None:
        body_model, people = body(plan.body_path), plan.people(cast(Split, split))
        floor = plan.base if plan.base in SHIPPED else "default"
        found |= {"floor": floor_rows(floor, body_model, people), "sure": sure_rows(floor, body_model, people, result)}
    critic, protocol = quality(result)["critic"], settings.benchmark.protocol
    against, measured_on = measured_against(result), plan.people(cast(Split, split))
    judged = against.pop("judged_percent")
    whose = {"people": measured_on.name, **against} if isinstance(measured_on, ImportedPeople) else {}
    rows = [
        {**measured(f"benchmark.{estimate}.{metric}", value), "protocol": protocol, **whose}
        | ({"critic": critic, "judged_percent": judged} if estimate in CHOSEN else {})
        for estimate, metrics in found.items()
        for metric, value in metrics.items()
    ]
    about = f"the policy after {round_number} rounds on {split}; {critic} chose; {PROTOCOLS[protocol]}"
    names = estimate_names(critic)
    errors = [
        {"estimate": names[estimate], **{f"{METRICS[metric]} (mm)": round(value, 1) for metric, value in by.items()}}
        for estimate, by in table(result).items()
    ]
    leave_table(f"benchmark {split} round {round_number}", errors, about)
    leave_table(f"benchmark numbers {split} round {round_number}", list(map(cells, rows)), about)
    return rows


def _how(settings: Settings) -> str:
    """Digest of what a measurement depends on besides model and split, so that no other one is read back."""
    wanted: dict[str, Any] = {
        "base": {"body"}, "sample": True, "critic": True, "benchmark": {"hypotheses", "protocol", "critic"},
        "studio": True, "data": {"val", "test"}, "photographs": {"crop_margin", "focal_px"},
    }  # fmt: skip
    values = settings.model_dump(mode="json", include=wanted)
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:8]


def _uncertain(found: dict[str, Any], joints: int = 5) -> dict[str, float]:
    """The largest spreads by joint, and how well spread predicts error."""
    spread = sorted(found["joint_spread_mm"].items(), key=lambda one: -one[1])[:joints]
    details = {name: found[name] for name in ("error_srcc", "error_srcc_within_joint")}
    return {f"{name}.spread_mm": value for name, value in spread} | details
