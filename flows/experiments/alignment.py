"""Studies of several runs side by side.

`alignment`: does it help, and because of the critic? The same job with several critics and seeds.
`sampler`: the effect of more calls, another solver, fresh noise and keypoint guidance on a base and its groups.
"""

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from prefect import flow

from flows.align import align
from flows.cli.measurements import cells
from flows.record.run_labels import labelled
from hmr.diffusion.sampler import PUBLISHED, SamplerSettings
from hmr.metrics.evaluation import Evaluation
from hmr.metrics.pose_metrics import bootstrap_improvement
from storage.finished_file import finished_folder, remove_strays
from tasks.benchmarking import StudioPeople, draw_people, evaluate_people, look_at
from tasks.run.artifacts import leave_table
from tasks.run.plan import Plan
from tasks.run.settings import Settings
from tasks.sampling import body, model

CRITICS = ("evidence", "oracle", "shuffled")
ESTIMATES = ("zero_noise", "best_of_g")
SHARED = ("photographs", "skipped", "store/images.parquet", "store/people", "benchmark/before.npz")
"""Files that do not depend on critic or seed, and are taken from the first run."""
SAMPLERS = {
    **{f"ddim_{calls}": SamplerSettings(calls) for calls in (4, 10, 50)},
    **{f"second_order_{calls}": SamplerSettings(calls, solver="second_order") for calls in (4, 10, 50)},
    **{f"eta_1_{calls}": SamplerSettings(calls, eta=1.0) for calls in (4, 10, 50)},
    **{f"guidance_{strength}": SamplerSettings(guidance=strength) for strength in (0.3, 0.6, 1.0)},
}
"""Samplers that the study compares, by name and calls (guidance: by strength, 4 calls); first the published one."""


@flow(name="experiment-alignment", **labelled("experiment alignment"))
def alignment(settings: Settings, seeds: int = 3, critics: tuple[str, ...] = CRITICS) -> list[dict[str, Any]]:
    """Align the base with each critic and seed; returns measurement rows, one per run and estimate, and means.

    The runs are called `<name>-<critic>-<seed>`; finished ones are read back.
    """
    first: Path | None = None
    rows: list[dict[str, Any]] = []
    for critic in critics:
        values: dict[str, list[float]] = {estimate: [] for estimate in ESTIMATES}
        for seed in range(seeds):
            chosen = _settings(settings, critic, seed)
            take_over(first, Plan(chosen).folder)
            summary = json.loads(Path(align(chosen)).read_text())
            first = first or Plan(chosen).folder
            for estimate in ESTIMATES:
                rows.append(_row(summary, critic, seed, estimate))
                values[estimate].append(summary["improvement_percent"][estimate]["mpjpe_mm"]["value"])
        for estimate, found in values.items():
            mean = sum(found) / len(found)
            rows.append(
                {"metric": f"alignment.{critic}.{estimate}", "value": mean, "unit": "% less MPJPE on test",
                 "baseline": f"the base before alignment; mean of {seeds} seeds", "ratio": 1 / (1 - mean / 100),
                 "low": min(found), "high": max(found)}
            )  # fmt: skip
    leave_table("experiment alignment", list(map(cells, rows)), "the same job with several critics and seeds")
    return rows


@flow(name="experiment-sampler", **labelled("experiment sampler"))
def sampler(settings: Settings, bases: tuple[str, ...] = ("lab", "default")) -> list[dict[str, Any]]:
    """Measure each base with each of SAMPLERS on `val`, always from the same seeds; returns measurement rows."""
    plan = Plan(settings)
    people = plan.studio("val")
    look_at(people)
    rows: list[dict[str, Any]] = []
    for base in bases:
        found = {name: _measured(plan, people, base, chosen) for name, chosen in SAMPLERS.items()}
        published = next(iter(found.values()))
        for name, measured in found.items():
            rows += [_sampler_row(f"sampler.{base}.{name}", measured, published, e) for e in ESTIMATES]
    leave_table("experiment sampler", list(map(cells, rows)), "samplers on val")
    return rows


def _measured(plan: Plan, people: StudioPeople, base: str, chosen: SamplerSettings) -> Evaluation:
    section, frame = plan.settings.benchmark, body(plan.body_path)
    drawn = draw_people(
        model(base), frame, people, hypotheses=section.hypotheses, sampler=chosen, protocol=section.protocol
    )
    return evaluate_people(frame, drawn, vertices=False)


def _sampler_row(name: str, measured: Evaluation, published: Evaluation, estimate: str) -> dict[str, Any]:
    before, after = (one.errors[estimate]["mpjpe_mm"] for one in (published, measured))
    gain = bootstrap_improvement(before, after, 0)
    return {
        "metric": f"{name}.{estimate}",
        "value": float(after.mean()),
        "unit": "mm MPJPE on val",
        "baseline": f"{PUBLISHED.calls} calls of ddim, {before.mean():.1f} mm",
        "ratio": float(before.mean() / after.mean()),
        "percent_less": gain.estimate,
        "low": gain.low,
        "high": gain.high,
        "pa_mm": float(measured.errors[estimate]["pa_mpjpe_mm"].mean()),
        "keypoint_px": float(measured.keypoint_px.mean()),
        "diversity_mm": float(measured.diversity_mm.mean()),
    }


def _settings(settings: Settings, critic: str, seed: int) -> Settings:
    values = settings.model_dump()
    values["run"].update(name=f"{settings.run.name}-{critic}-{seed}", seed=seed)
    values["critic"].update(name=critic)
    values["overlay"].update(groups_shown=0)
    return Settings.model_validate(values)


def take_over(source: Path | None, target: Path, shared: Sequence[str] = SHARED) -> None:
    """Link the first run's photographs and people into a new run, so that people are not detected again."""
    if source is None or target.exists():
        return
    remove_strays(target.parent)
    with finished_folder(target) as unfinished:
        for name in shared:
            there, here = source / name, unfinished / name
            here.parent.mkdir(parents=True, exist_ok=True)
            if there.is_dir():
                shutil.copytree(there, here, copy_function=os.link)
            else:
                os.link(there, here)


def _row(summary: dict[str, Any], critic: str, seed: int, estimate: str) -> dict[str, Any]:
    gain = summary["improvement_percent"][estimate]["mpjpe_mm"]
    before, after = (summary["benchmark"][when][estimate]["mpjpe_mm"] for when in ("before", "after"))
    extras = summary["benchmark_extras"]
    return {
        "metric": f"alignment.{critic}.seed{seed}.{estimate}",
        "value": gain["value"],
        "unit": "% less MPJPE on test",
        "baseline": f"the base before alignment, {before:.1f} mm",
        "ratio": before / after,
        "low": gain.get("low"),
        "high": gain.get("high"),
        "pa_percent": summary["improvement_percent"][estimate]["pa_mpjpe_mm"]["value"],
        "pve_percent": summary["improvement_percent"][estimate]["pve_mm"]["value"],
        "diversity_percent": 100 * extras["after"]["diversity_mm"] / extras["before"]["diversity_mm"],
        "best_steps": [one["best_step"] for one in summary["rounds"]],
    }
