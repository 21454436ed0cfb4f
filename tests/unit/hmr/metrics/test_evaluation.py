import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

import hmr.metrics.evaluation
from hmr.body.body import load_body
from hmr.body.skeleton import EVAL_14
from hmr.diffusion.latent import Decoding, encode, mean_latent
from hmr.metrics.evaluation import ESTIMATES, METRICS, Framing, TrueBodies, evaluate_groups, group_errors, pose_groups
from hmr.studio.studio import truths

PEOPLE, SIZE = 3, 7


@pytest.fixture(scope="module")
def scene():
    """People with their true vectors, and groups about them whose hypothesis 3 is the truth itself."""
    body = load_body()
    found = truths(body, "lab", range(PEOPLE), purpose="test of the project")
    truth = TrueBodies(*map(torch.from_numpy, (found.rotations, found.betas, found.translation)))
    camera = torch.from_numpy(found.camera)
    crop = torch.tensor([[160.0, 150.0, 260.0]]).repeat(PEOPLE, 1)
    framing = Framing(truth.betas, camera, crop, Decoding("hip_line"))
    exact = encode(truth.rotations, truth.translation, body.rest_joints(truth.betas), camera, crop)
    noise = torch.randn(PEOPLE, SIZE, 133, generator=torch.Generator().manual_seed(0))
    noise[:, 3] = 0
    return body, truth, framing, exact[:, None] + noise


def evaluated(scene, scores=None, framing=None, vertices=False):
    body, truth, own, latents = scene
    framing = framing or own
    posed = pose_groups(body, latents, framing)
    return evaluate_groups(
        body, truth, latents, posed, framing, true_camera=own.camera, scores=scores, vertices=vertices
    )


def test_every_estimate_takes_what_it_says(scene):
    body, truth, framing, latents = scene
    scores = np.tile([10.0, 90.0, np.nan, 80.0, 70.0, 60.0, 50.0], (PEOPLE, 1))
    found = evaluated(scene, scores, vertices=True)
    assert tuple(found.errors) == ESTIMATES
    alone = group_errors(body, truth, pose_groups(body, latents, framing), truth.betas)
    fused, mean = (
        group_errors(
            body, truth, pose_groups(body, torch.stack([mean_latent(g[some]) for g in latents])[:, None], framing),
            truth.betas,
        )
        for some in ([1, 3, 4, 5, 6], slice(None))
    )  # fmt: skip
    for metric in METRICS:
        group = getattr(alone, metric)
        assert_allclose(found.errors["zero_noise"][metric], group[:, 0])
        assert_allclose(found.errors["selected"][metric], group[:, 1])
        assert_allclose(found.errors["best_of_g"][metric], group.min(1))
        assert_allclose(found.errors["fused"][metric], getattr(fused, metric)[:, 0], rtol=1e-4)
        assert_allclose(found.errors["mean"][metric], getattr(mean, metric)[:, 0], rtol=1e-4)
        assert np.isfinite(group).all()
    assert (alone.mpjpe_mm.argmin(1) == 3).all() and alone.mpjpe_mm[:, 3].max() < 2  # the truth is the best


def test_the_medoid_is_in_the_middle(scene):
    """The truth lies in the middle of the noise about it."""
    found = evaluated(scene)
    assert_allclose(found.errors["medoid"]["mpjpe_mm"], found.group.mpjpe_mm[:, 3])


def test_without_scores_two_estimates_are_left_out(scene):
    assert tuple(evaluated(scene).errors) == ("zero_noise", "mean", "medoid", "best_of_g")


def test_a_silent_critic_leaves_the_zero_noise_hypothesis(scene):
    found = evaluated(scene, np.full((PEOPLE, SIZE), np.nan))
    assert_allclose(found.errors["selected"]["mpjpe_mm"], found.errors["zero_noise"]["mpjpe_mm"])
    assert_allclose(found.errors["fused"]["mpjpe_mm"], found.errors["zero_noise"]["mpjpe_mm"], rtol=1e-4)


def test_spread_and_error_by_joint(scene):
    found = evaluated(scene)
    assert found.joint_spread_mm.shape == found.joint_error_mm.shape == (PEOPLE, 29)
    assert (found.joint_spread_mm[:, 0] == 0).all() and (found.joint_error_mm[:, 0] == 0).all()
    chosen = list(EVAL_14)
    assert_allclose(found.joint_error_mm[:, chosen].mean(1), found.errors["zero_noise"]["mpjpe_mm"], rtol=1e-5)
    assert_allclose(found.joint_spread_mm[:, chosen].mean(1), found.diversity_mm)


def test_the_published_protocol_gives_the_camera_and_the_depth_away(scene):
    """With a guessed camera of half the focal length the true vectors no longer give the true body."""
    body, truth, framing, _ = scene
    guess = framing._replace(camera=framing.camera * torch.tensor([0.5, 0.5, 1, 1]))
    depth = body(*truth).joints[:, 0, 2]
    published = evaluated(scene, framing=framing._replace(root_depth=depth))
    fitted = evaluated(scene, framing=guess)
    assert published.group.mpjpe_mm[:, 3].max() < 2 < fitted.group.mpjpe_mm[:, 3].min()


def test_groups_do_not_depend_on_how_many_are_posed_at_once(scene):
    body, truth, framing, latents = scene
    whole, pieces = (pose_groups(body, latents, framing, chunk=chunk) for chunk in (320, 2 * SIZE))
    for one, other in zip(whole, pieces):
        torch.testing.assert_close(one, other)
    errors = [group_errors(body, truth, whole, truth.betas, chunk=chunk) for chunk in (320, 1)]
    assert_allclose(errors[0], errors[1], rtol=1e-5, atol=1e-2)


def test_images_are_measured_in_parts_as_together(scene, monkeypatch):
    scores = np.random.default_rng(0).random((PEOPLE, SIZE))
    depth = torch.full((PEOPLE,), 4.0)
    whole = evaluated(scene, scores, scene[2]._replace(root_depth=depth), vertices=True)
    monkeypatch.setattr(hmr.metrics.evaluation, "MEASURED", 2 * SIZE)
    parts = evaluated(scene, scores, scene[2]._replace(root_depth=depth), vertices=True)
    for one, other in ((whole.group, parts.group), (whole[2:], parts[2:])):
        for first, second in zip(one, other):
            assert_allclose(first, second, rtol=1e-4, atol=1e-2)
    for estimate, by_metric in whole.errors.items():
        for metric, values in by_metric.items():
            assert_allclose(parts.errors[estimate][metric], values, rtol=1e-4, atol=1e-2)
