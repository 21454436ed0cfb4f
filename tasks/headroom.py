"""The headroom of a base: the gain from fine-tuning on the true labels of its people, an upper bound for a critic."""

import logging
from typing import Any

import numpy as np

from hmr.body.body import Body
from hmr.metrics.evaluation import TrueBodies
from hmr.metrics.pose_metrics import bootstrap_improvement
from hmr.models.model_file import load_model
from hmr.pretraining.label_tuning import HeadroomSettings, fine_tune_on_labels
from hmr.pretraining.labels import labelled
from tasks.benchmarking import BenchmarkPeople, draw_people, encode_split, evaluate_people, known
from tasks.run.settings import SettingsError

log = logging.getLogger(__name__)


def probe_headroom(
    model_path: str, body_model: Body, wild: BenchmarkPeople, val: BenchmarkPeople, test: BenchmarkPeople,
    hypotheses: int, settings: HeadroomSettings,
) -> dict[str, Any]:  # fmt: skip
    """Headroom H, percent: improvement of MPJPE on `test` by supervised fine-tuning on the true labels of `wild`.

    wild: the studio's, or the records that a run trains on. Reads their labels, to which the user agrees by running it.
    The step is chosen on `val`. Raises SettingsError for records without true bodies or camera.
    """
    base = load_model(model_path)
    told = known(body_model, wild, purpose="headroom probe")
    if not isinstance(told.truth.bodies, TrueBodies) or not bool(told.truth.camera.isfinite().all()):
        raise SettingsError(
            "the headroom of a base needs true bodies: of these records only joints are known, or no camera. Give "
            "[data] train records with parameters of the body in use ([base] body) and a camera"
        )
    people = labelled(body_model, told.truth, told.seen)

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
        "digest": base.digest(), "scenes": told.chosen, "wild": len(people.betas), "test": len(before.keypoint_px),
    }  # fmt: skip
    for estimate in ("zero_noise", "best_of_g"):
        old, new = (e.errors[estimate]["mpjpe_mm"] for e in (before, after))
        interval = bootstrap_improvement(old, new, 0)
        found[estimate] = {
            "before_mm": float(np.mean(old)), "after_mm": float(np.mean(new)),
            "value": interval.estimate, "low": interval.low, "high": interval.high,
        }  # fmt: skip
    return found
