"""Places in front of the camera, where the evidence would put a body about it."""

import torch

from hmr.body.camera import LEAST_DEPTH, fit_translation, step_back


def test_a_body_about_the_camera_steps_back_along_its_ray():
    """The nearest joint is 0.1 m behind the camera: 0.3 m farther, and aside by as much as the mean's ray asks."""
    joints = torch.tensor([[[0.0, 0, -0.1], [0.4, 0, 0.9], [0.2, 0, 0.4]]])  # their mean: 0.2, 0, 0.4
    torch.testing.assert_close(step_back(joints), torch.tensor([[0.15, 0, 0.3]]))
    assert (joints + step_back(joints)[:, None])[..., 2].min() >= LEAST_DEPTH - 1e-6
    assert step_back(joints + 1).eq(0).all()


def test_a_body_far_away_is_where_its_rays_meet():
    joints = torch.tensor([[[-0.5, 0, -0.2], [0.5, 0, 0.2], [0, 1, 0.0], [0, -1, 0]]])
    true = torch.tensor([[0.3, -0.2, 4.0]])
    placed = joints + true[:, None]
    rays = placed[..., :2] / placed[..., 2:]
    torch.testing.assert_close(fit_translation(joints, rays, torch.ones(1, 4)), true, atol=1e-4, rtol=0)
