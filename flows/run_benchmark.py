"""A model against the ground truth of the embedded benchmark."""

from pathlib import Path

from prefect import flow

from flows.progress import stage
from tasks.benchmarking import benchmark_model, extras, look_at, table
from tasks.plan import Plan
from tasks.settings import Settings


def benchmark(plan: Plan, name: str, model_path: str) -> Path:
    """Measure a model on `test`; returns the file of per-image errors."""
    settings = plan.settings
    with stage(plan, f"benchmark {name}") as progress:
        people = plan.people("test")
        progress.items = look_at(people)
        return benchmark_model(
            name, model_path, plan.body_path, people, settings.benchmark.hypotheses, settings.critic,
            settings.overlay, plan.folder / "benchmark" / f"{name}.npz",
        )  # fmt: skip


@flow(name="run-benchmark")
def run_benchmark(settings: Settings, round_number: int = 0) -> dict[str, dict[str, float]]:
    """Benchmark the policy after `round_number` rounds (0 = the base); returns means by estimate and metric."""
    plan = Plan(settings)
    plan.claim()
    result = benchmark(plan, f"round{round_number}", plan.policy(round_number))
    return {**table(result), "extras": extras(result)}
