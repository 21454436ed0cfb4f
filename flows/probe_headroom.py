"""True labels of a run's people -> the headroom of its base: the only flow that reads them, at the user's request."""

import json
from typing import Any

from prefect import flow

from flows.cli.measurements import cells
from flows.record.progress import stage
from flows.record.run_folder import alone_in_its_folder
from flows.record.run_labels import labelled
from hmr.pretraining.label_tuning import HeadroomSettings
from storage.finished_file import write_text
from tasks.headroom import probe_headroom as probe
from tasks.run.artifacts import leave_table
from tasks.run.plan import Plan
from tasks.run.settings import Settings
from tasks.sampling import body


@flow(name="probe-headroom", **labelled("probe headroom"))
@alone_in_its_folder
def probe_headroom(settings: Settings) -> list[dict[str, Any]]:
    """Measure the headroom of the run's base by supervised fine-tuning on true labels, which this reads: of `wild`, or
    of the records that the run trains on.

    Returns measurement rows. Raises SettingsError for records without true bodies.
    """
    plan = Plan(settings)
    with stage(plan, "probe headroom"):
        found = probe(
            plan.base, body(plan.body_path), plan.labelled, plan.people("val"), plan.people("test"),
            settings.benchmark.hypotheses, HeadroomSettings(seed=settings.run.seed),
        )  # fmt: skip
    path = plan.folder / "headroom.json"
    write_text(path, json.dumps([found], indent=1) + "\n")
    rows = [
        {"metric": f"headroom.{e}", "value": found[e]["value"], "unit": "% of the base's MPJPE on test",
         "baseline": f"base {plan.base}, {found[e]['before_mm']:.1f} mm",
         "ratio": found[e]["before_mm"] / found[e]["after_mm"], "low": found[e]["low"], "high": found[e]["high"],
         "labels": found["wild"]}
        for e in ("zero_noise", "best_of_g")
    ]  # fmt: skip
    leave_table("headroom", list(map(cells, rows)), "what supervised fine-tuning on true labels gains on test")
    return rows
