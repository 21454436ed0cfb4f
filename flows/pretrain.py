"""Synthetic people with labels -> a base model, its liftings and its log."""

from pathlib import Path

from prefect import flow

from flows.record.progress import stage
from flows.record.run_folder import alone_in_its_folder
from flows.record.run_labels import labelled
from hmr.pretraining.pretraining import PretrainSettings
from tasks.pretraining import BASES, pretrain_base
from tasks.run.artifacts import leave_counts
from tasks.run.plan import Plan, studio_cache
from tasks.run.settings import Settings, SettingsError
from tasks.sampling import body

SHIPPED = {
    "lab": {
        "reads": "places",
        "detections": True,
        "steps": 3000,
        "aimed_steps": 0,
        "width": 384,
        "blocks": 3,
        "predictor_width": 384,
        "sampler": {"calls": 4, "solver": "ddim"},
    },
    "default": {},
}
"""Settings specific to each shipped base."""

UNDRAWN = {"lab": 60_000, "default": 120_000}
"""Number of undrawn people for each base; for `lab`, before those who do not face its camera are left out."""


@flow(name="pretrain", **labelled("pretrain"))
@alone_in_its_folder
def pretrain(settings: Settings, which: str = "default") -> str:
    """Train the base `lab` or `default` into the run's folder; returns the path of its weights.

    An interrupted training is resumed. The shipped weights are such files, copied to `hmr/assets`. Raises SettingsError
    for another base.
    """
    if which not in BASES:
        raise SettingsError(f"there is no base '{which}'; there are {', '.join(BASES)}")
    plan = Plan(settings)
    given = settings.pretrain.model_dump(exclude_none=True, exclude={"undrawn"})
    chosen = PretrainSettings(seed=settings.run.seed, **{**SHIPPED[which], **given})
    counts = {"lab": settings.studio.lab, "broad": settings.studio.broad}
    counts["undrawn"] = settings.pretrain.undrawn or UNDRAWN[which]
    with stage(plan, f"pretrain {which}") as progress:
        cache = studio_cache(settings.run.out)
        out: Path = plan.folder / "pretraining"
        found = pretrain_base(which, counts, body(None), cache, out, chosen, settings.run.processes)
        progress.items = sum(found["people"].values())
    path = out / f"base_{which}.safetensors"
    counts = {f"people of {split}": count for split, count in found["people"].items()}
    about = f"what base {which} was trained on"
    leave_counts(f"pretrain {which}", {**counts, "people without pictures": found["undrawn"], "weights": path}, about)
    return str(path)
