"""Errors of the fit on the studio's people: nearer to the landmarks, and the rows are those of the hypotheses."""

import numpy as np

from hmr.body.refinement import RefineSettings
from tasks.benchmarking import StudioPeople, draw_people, evaluate_people
from tasks.benchmarks.refining import refined_errors
from tasks.sampling import body, model


def test_the_fit_comes_nearer_to_the_landmarks_and_starts_from_the_zero_noise_body(tmp_path):
    body_model = body(None)
    drawn = draw_people(model("default"), body_model, StudioPeople("val", 3, tmp_path), hypotheses=2)
    found = refined_errors(body_model, drawn)
    assert found.mpjpe_mm.shape == found.pa_mpjpe_mm.shape == found.keypoint_px.shape == (len(found.turned), 2)
    assert (found.keypoint_px[:, 1] < found.keypoint_px[:, 0]).all() and (found.turned > 0).all()
    errors = evaluate_people(body_model, drawn, vertices=False).errors["zero_noise"]
    np.testing.assert_allclose(found.mpjpe_mm[:, 0], errors["mpjpe_mm"], atol=0.1)
    still = refined_errors(body_model, drawn, RefineSettings(turn=1e-6, depth=1e-6))
    np.testing.assert_allclose(still.pa_mpjpe_mm[:, 1], still.pa_mpjpe_mm[:, 0], atol=0.1)
