"""Places in front of the camera, where the evidence would put a body about it."""

import torch

from hmr.camera import LEAST_DEPTH, fit_translation


def test_a_body_seen_impossibly_wide_stays_in_front_of_the_camera():
    """Joints 1.6 m apart in depth, tiny focal length: nothing is nearer than LEAST_DEPTH."""
    joints = torch.tensor([[[-0.5, 0, -0.8], [0.5, 0, 0.8], [0, 1, 0.0], [0, -1, 0]]])
    rays = torch.tensor([[[-50.0, 0], [50, 0], [0, 50], [0, -50]]])
    placed = joints + fit_translation(joints, rays, torch.ones(1, 4))[:, None]
    assert placed[..., 2].min() >= LEAST_DEPTH - 1e-6


def test_a_body_far_away_is_where_its_rays_meet():
    joints = torch.tensor([[[-0.5, 0, -0.2], [0.5, 0, 0.2], [0, 1, 0.0], [0, -1, 0]]])
    true = torch.tensor([[0.3, -0.2, 4.0]])
    placed = joints + true[:, None]
    rays = placed[..., :2] / placed[..., 2:]
    torch.testing.assert_close(fit_translation(joints, rays, torch.ones(1, 4)), true, atol=1e-4, rtol=0)
