"""What a run stored -> report.html and summary.json, without doing any of its work again."""

from flows.align import align
from tasks.run.plan import Plan
from tasks.run.settings import Settings, SettingsError


def write_report(settings: Settings) -> str:
    """Write the report of a finished run again; raises SettingsError if it has not got so far."""
    plan = Plan(settings)
    if not (plan.folder / "benchmark" / "after.npz").exists():
        raise SettingsError(f"{plan.folder} holds no finished run: `hmr-align align` resumes it and writes the report")
    return align.fn(settings)
