import pytest
import torch
from torch.testing import assert_close

from hmr.body.body import load_body
from hmr.body.camera import back_project, fit_root_depth, fit_translation, from_crop, project, to_crop
from hmr.body.kinematics import forward_kinematics
from hmr.diffusion.latent import Decoding, decode, encode, mean_latent
from hmr.diffusion.mirror import JOINT_SWAP, LANDMARK_SWAP, mirror_latents
from hmr.diffusion.noise_schedule import DATA_SCALE
from hmr.studio.studio import truths


@pytest.fixture(scope="module")
def people():
    body = load_body()
    truth = truths(body, "lab", range(16), purpose="test of the project")
    tensors = [torch.from_numpy(x) for x in (truth.rotations, truth.betas, truth.translation, truth.camera)]
    crop = torch.tensor([[160.0, 150.0, 260.0]]).repeat(16, 1)
    return body, *tensors, crop


def test_crop_coordinates_golden():
    # u = (x - cx) 2 / side: a quarter of the side right of the centre is 0.5.
    got = to_crop(torch.tensor([[[30.0, 40.0]]]), torch.tensor([[20.0, 40.0, 40.0]]))
    assert_close(got, torch.tensor([[[0.5, 0.0]]]))
    assert_close(from_crop(got, torch.tensor([[20.0, 40.0, 40.0]])), torch.tensor([[[30.0, 40.0]]]))


def test_root_depth_of_one_upright_bone():
    # A bone of 0.5 m, upright, 0.25 of the focal length high on the sensor: it is 2 m away.
    rays = torch.tensor([[[0.0, 0.0], [0.0, 0.25]]])
    got = fit_root_depth(rays, torch.zeros(1, 2), torch.tensor([[0.5]]), [0], [1])
    assert_close(got, torch.tensor([2.0]))


def test_back_projection_undoes_projection():
    points = torch.tensor([[[0.2, -0.1, 3.0], [0.5, 0.4, 2.5]]])
    camera = torch.tensor([[500.0, 510.0, 160.0, 120.0]])
    rays = (project(points, camera) - camera[:, None, 2:]) / camera[:, None, :2]
    assert_close(back_project(rays, points[..., 2] - 3.0, torch.tensor([3.0])), points)


def test_translation_is_found_from_exact_rays():
    joints = torch.randn(5, 12, 3, generator=torch.Generator().manual_seed(0)) * 0.4
    translation = torch.tensor([0.3, -0.2, 4.0])
    placed = joints + translation
    rays = placed[..., :2] / placed[..., 2:]
    assert_close(fit_translation(joints, rays, torch.ones(5, 12)), translation.expand(5, 3), atol=1e-4, rtol=0)


def test_a_known_body_comes_back_through_the_latent(people):
    body, rotations, betas, translation, camera, crop = people
    rest = body.rest_joints(betas)
    posed = decode(encode(rotations, translation, rest, camera, crop), rest, camera, crop)
    want = forward_kinematics(rotations, rest, translation).joints
    assert (posed.joints - want)[:, :24].norm(dim=-1).max() < 2e-3
    assert (posed.translation - translation).norm(dim=-1).max() < 2e-3


@pytest.mark.parametrize("pelvis", ["hip_line", "hip_mean"])
def test_the_true_root_depth_gives_the_body_back_under_either_rule(people, pelvis):
    body, rotations, betas, translation, camera, crop = people
    rest = body.rest_joints(betas)
    want = forward_kinematics(rotations, rest, translation).joints
    latents = encode(rotations, translation, rest, camera, crop)
    posed = decode(latents, rest, camera, crop, Decoding(pelvis), root_depth=want[:, 0, 2])
    assert (posed.joints - want)[:, :24].norm(dim=-1).max() < 2e-3


def test_a_wrong_root_depth_bends_the_body(people):
    """Nearer to the camera the same crop shows a smaller body: depth differences then weigh more."""
    body, rotations, betas, translation, camera, crop = people
    rest = body.rest_joints(betas)
    want = forward_kinematics(rotations, rest, translation).joints
    latents = encode(rotations, translation, rest, camera, crop)
    near = decode(latents, rest, camera, crop, root_depth=0.5 * want[:, 0, 2]).joints
    assert ((near - near[:, :1]) - (want - want[:, :1])).norm(dim=-1).mean() > 0.05


def test_the_rules_for_the_pelvis_differ_on_joints_that_no_body_has(people):
    body, rotations, betas, translation, camera, crop = people
    rest = body.rest_joints(betas)
    latents = encode(rotations, translation, rest, camera, crop)
    latents = latents + 2 * torch.randn(latents.shape, generator=torch.Generator().manual_seed(0))
    line, mean = (decode(latents, rest, camera, crop, Decoding(rule)) for rule in ("hip_line", "hip_mean"))
    assert (line.rotations - mean.rotations)[:, 0].abs().max() > 0.1


def test_mirroring_twice_is_nothing_and_once_mirrors_the_body(people):
    body, rotations, betas, translation, camera, crop = people
    rest = body.rest_joints(torch.zeros_like(betas))
    crop = crop.clone()
    crop[:, 0] = camera[:, 2]  # centred, so that the mirrored picture has the same camera
    latents = encode(rotations, translation, rest, camera, crop)
    assert_close(mirror_latents(mirror_latents(latents)), latents)
    plain, turned = (decode(x, rest, camera, crop).joints for x in (latents, mirror_latents(latents)))
    expected = plain[:, JOINT_SWAP] * torch.tensor([-1.0, 1.0, 1.0])
    # The free body is symmetric to a few millimetres, not exactly.
    assert (turned - expected).norm(dim=-1).mean() < 0.006


def test_landmark_swap_is_its_own_inverse():
    assert [LANDMARK_SWAP[i] for i in LANDMARK_SWAP] == list(range(33))


def test_mean_latent_has_unit_twists():
    mean = mean_latent(torch.randn(7, 133, generator=torch.Generator().manual_seed(0)) * DATA_SCALE)
    assert_close(mean[87:].unflatten(0, (23, 2)).norm(dim=-1), torch.full((23,), DATA_SCALE))


def test_rounds_bring_joints_back_onto_their_rays(people):
    """Bones longer than predicted push hands and feet off what was seen; each round takes them nearer."""
    body, rotations, betas, translation, camera, crop = people
    latents = encode(rotations, translation, body.rest_joints(betas), camera, crop)
    other = body.rest_joints(torch.full_like(betas, 1.5))
    wanted = latents[:, :87].unflatten(1, (29, 3))[..., :2] / DATA_SCALE

    def gap(rounds: int) -> float:
        joints = decode(latents, other, camera, crop, Decoding(rounds=rounds)).joints
        return float((to_crop(project(joints, camera), crop) - wanted)[:, :24].norm(dim=-1).mean())

    plain, once, thrice = gap(0), gap(1), gap(3)
    assert once < 0.9 * plain and thrice < once


def test_rounds_change_nothing_of_a_body_that_fits(people):
    body, rotations, betas, translation, camera, crop = people
    rest = body.rest_joints(betas)
    latents = encode(rotations, translation, rest, camera, crop)
    plain, again = (decode(latents, rest, camera, crop, Decoding(rounds=n)).joints for n in (0, 2))
    assert (plain - again)[:, :24].norm(dim=-1).max() < 5e-3
