"""The study of spread: nominal against observed coverage of the hypotheses on `val`, joint by joint."""

from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Float
from prefect import flow

from flows.cli.measurements import cells
from flows.record.run_labels import labelled
from hmr.body.skeleton import JOINT_NAMES
from hmr.diffusion.sampler import PUBLISHED, SamplerSettings
from hmr.metrics.coverage import LEVELS, coverage
from hmr.models.base_model import HmrModel
from tasks.benchmarking import StudioPeople, benchmark_sampler, draw_people, known
from tasks.groups.sampled_groups import body, model
from tasks.run.artifacts import leave_table
from tasks.run.plan import Plan
from tasks.run.settings import Settings

HYPOTHESES = 100
HOTTER = 1.5
MIXED = {"temperature": 1.4, "temperature_spread": 2.0}
"""Temperatures from 0.7 to 2.8 in one group, chosen on `val`: errors have heavier tails than one temperature gives."""


@flow(name="experiment-coverage", **labelled("experiment coverage"))
def spread_coverage(settings: Settings) -> list[dict[str, Any]]:
    """Coverage of 100 hypotheses of the base, x, y and z of each joint relative to the pelvis; returns measurement
    rows.

    With the sampler of `[sample]`, with the same at a higher temperature and at a range of them, and with the published
    one, whose four calls of DDIM lose about half of the spread.
    """
    base = model(str(settings.base.checkpoint or "default"))
    own = benchmark_sampler(settings.sample, base)
    hotter = replace(own, temperature=HOTTER * own.temperature)
    mixed = replace(own, **MIXED)
    samplers = {
        "coverage": own, f"coverage_temperature_{HOTTER}": hotter, "coverage_mixed": mixed,
        "coverage_published": PUBLISHED,
    }  # fmt: skip
    rows = [row for prefix, sampler in samplers.items() for row in _rows(settings, prefix, sampler)]
    leave_table("experiment coverage", list(map(cells, rows)), "how often the truth lies within the spread")
    return rows


def _rows(settings: Settings, prefix: str, sampler: SamplerSettings) -> list[dict[str, Any]]:
    people = Plan(settings).studio("val")
    shares = observed(model(str(settings.base.checkpoint or "default")), people, sampler)
    count = len(known(body(None), people).seen.index)
    rows: list[dict[str, Any]] = []
    for level, found in shares.items():
        percent = round(100 * level)
        rows.append(_row(f"{prefix}.{percent}", float(found.mean()), level, count))
        rows += [_row(f"{prefix}.{percent}.{axis}", float(v), level, count)
                 for axis, v in zip(("x", "y", "depth"), found.mean(0))]  # fmt: skip
        rows += [_row(f"{prefix}.{percent}.{joint}", float(v), level, count)
                 for joint, v in zip(JOINT_NAMES[1:], found.mean(1))]  # fmt: skip
    return rows


def observed(
    base: HmrModel, people: StudioPeople, sampler: SamplerSettings
) -> dict[float, Float[np.ndarray, "joint 3"]]:
    """Observed coverage (0-1) of 100 hypotheses by nominal level: joints without the pelvis; x, y and depth."""
    body_model = body(None)
    drawn = draw_people(base, body_model, people, hypotheses=HYPOTHESES + 1, sampler=sampler)
    joints = drawn.posed.joints[:, 1:].numpy()  # the first starts from zero noise: it is no sample
    truth = body_model.points(*drawn.known.truth.whole).joints.detach().numpy()
    joints, truth = joints - joints[:, :, :1], truth - truth[:, :1]
    return {level: coverage(joints[:, :, 1:], truth[:, 1:], level) for level in LEVELS}


def _row(metric: str, value: float, level: float, people: int) -> dict[str, Any]:
    return {
        "metric": metric, "value": 100 * value, "unit": "% of val people", "baseline": f"nominal {100 * level:.0f}",
        "ratio": None, "people": people,
    }  # fmt: skip
