"""The headroom of a base: the gain from fine-tuning on the true labels of `wild`, an upper bound for a critic."""

import logging
from typing import Any

import numpy as np

from hmr.body.body import Body
from hmr.metrics.pose_metrics import bootstrap_improvement
from hmr.models.model_file import load_model
from hmr.pretraining.label_tuning import HeadroomSettings, fine_tune_on_labels
from hmr.pretraining.labels import labelled_people
from hmr.studio.observation import see_split
from tasks.benchmarking import StudioPeople, draw_people, encode_split, evaluate_people

log = logging.getLogger(__name__)


def probe_headroom(
    model_path: str, body_model: Body, wild: StudioPeople, val: StudioPeople, test: StudioPeople,
    hypotheses: int, settings: HeadroomSettings,
) -> dict[str, Any]:  # fmt: skip
    """Headroom H, percent: improvement of MPJPE on `test` by supervised fine-tuning on the true labels of `wild`.

    Reads the labels of `wild`, to which the user agrees by running it. The step is chosen on `val`.
    """
    base = load_model(model_path)
    seen = see_split(wild.split, wild.count, wild.cache, processes=wild.processes)
    people = labelled_people(body_model, wild.split, seen, purpose="headroom probe")

    details = encode_split(base, body_model, val)

    def validate(model: Any) -> float:
        drawn = draw_people(model, body_model, val, hypotheses=hypotheses, condition=details)
        measured = evaluate_people(body_model, drawn, vertices=False)
        zero, best = (measured.errors[e]["mpjpe_mm"].mean() for e in ("zero_noise", "best_of_g"))
        return float(zero + best)

    tuned = fine_tune_on_labels(
        base, base.observe(people.observation), people.latents, settings, validate,
        lambda step, value: log.info("step %d: val zero-noise + best-of-g %.1f mm", step, value),
    )  # fmt: skip
    before, after = (
        evaluate_people(body_model, draw_people(m, body_model, test, hypotheses=hypotheses), vertices=False)
        for m in (base, tuned)
    )
    found: dict[str, Any] = {
        "digest": base.digest(), "scenes": wild.count, "wild": len(people.betas), "test": len(before.keypoint_px),
    }  # fmt: skip
    for estimate in ("zero_noise", "best_of_g"):
        old, new = (e.errors[estimate]["mpjpe_mm"] for e in (before, after))
        interval = bootstrap_improvement(old, new, 0)
        found[estimate] = {
            "before_mm": float(np.mean(old)), "after_mm": float(np.mean(new)),
            "value": interval.estimate, "low": interval.low, "high": interval.high,
        }  # fmt: skip
    return found
