"""The study of the short fit: the effect of `hmr-align recover --refine` on people of `val`, with known truth."""

from typing import Any

from prefect import flow

from flows.cli.measurements import cells
from flows.record.run_labels import labelled
from hmr.body.refinement import RefineSettings
from hmr.metrics.pose_metrics import bootstrap_improvement
from tasks.benchmarking import draw_people
from tasks.benchmarks.refining import FitErrors, refined_errors
from tasks.run.artifacts import leave_table
from tasks.run.plan import Plan
from tasks.run.settings import Settings
from tasks.sampling import body, model

STRENGTHS = {
    "default": RefineSettings(),
    "gentle": RefineSettings(turn=0.3),
    "bold": RefineSettings(turn=3.0),
    "place": RefineSettings(turn=0.05),
}
"""The default fit; a third and three times the freedom of every joint; and a fit of the position alone."""
METRICS = {"mpjpe_mm": "mm MPJPE on val", "pa_mpjpe_mm": "mm PA-MPJPE on val", "keypoint_px": "px to the landmarks"}


@flow(name="experiment-refine", **labelled("experiment refine"))
def refine(settings: Settings) -> list[dict[str, Any]]:
    """Fit the zero-noise hypothesis of each person with each of STRENGTHS; returns measurement rows."""
    plan = Plan(settings)
    base, frame = model(settings.base.checkpoint or "default"), body(None)  # the studio is of the embedded body
    drawn = draw_people(base, frame, plan.studio("val"), hypotheses=2)
    rows: list[dict[str, Any]] = []
    for name, chosen in STRENGTHS.items():
        found = refined_errors(frame, drawn, chosen)
        rows += [_row(name, metric, found) for metric in METRICS]
    leave_table("experiment refine", list(map(cells, rows)), "zero-noise meshes of val with the short fit")
    return rows


def _row(name: str, metric: str, found: FitErrors) -> dict[str, Any]:
    before, after = getattr(found, metric).T
    gain = bootstrap_improvement(before, after, 0)
    return {
        "metric": f"refine.{name}.{metric}",
        "value": float(after.mean()),
        "unit": METRICS[metric],
        "baseline": f"zero-noise without the fit, {before.mean():.1f}",
        "ratio": float(before.mean() / after.mean()),
        "percent_less": gain.estimate,
        "low": gain.low,
        "high": gain.high,
        "people": len(before),
        "turned": float(found.turned.mean()),
    }
