"""Skinning by one product: by hand, as smplx does it, and once a person."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from hmr.body.body import Body, load_arrays
from hmr.body.body_benchmark import PLAIN, PlainBody, measure_bodies
from hmr.body.body_file import BodyArrays
from hmr.body.rotations import rotation_matrices
from hmr.body.skinning import BlendShapes, SparseSkin, carried_by_joints, joint_table, skin_mixtures

V = 60


def bending() -> BodyArrays:
    """A body whose surface bends with its pose; every vertex hangs on every joint. Random but for its tree."""
    rng = np.random.default_rng(0)

    def single(values: np.ndarray) -> np.ndarray:
        return values.astype(np.float32)

    return replace(
        load_arrays(),
        v_template=single(rng.normal(0, 0.5, (V, 3))),
        shapedirs=single(rng.normal(0, 0.02, (V, 3, 10))),
        posedirs=single(rng.normal(0, 0.01, (V, 3, 207))),
        J_regressor=single(rng.dirichlet(np.full(V, 0.2), 24)),
        weights=single(rng.dirichlet(np.full(24, 0.5), V)),
        f=np.arange(V).reshape(-1, 3),
        vertex_ids={name: k for k, name in enumerate(load_arrays().vertex_ids)},
        leaf_vertex_ids=np.arange(30, 35),
        keypoint_regressor=single(rng.dirichlet(np.full(V, 0.2), 23)),
    )


BODIES = {
    "free": load_arrays(),
    "bending": bending(),
    "bending, keypoints of SMPL": replace(bending(), keypoint_regressor=None),
}


@pytest.fixture(scope="module", params=BODIES)
def arrays(request) -> BodyArrays:
    return BODIES[request.param]


def somebody(people: int, poses: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(seed)
    pose = rotation_matrices(0.6 * torch.randn(people * poses, 24, 3, generator=random))
    return pose, torch.randn(people, 10, generator=random), torch.randn(people * poses, 3, generator=random)


def test_a_point_between_two_joints_by_hand():
    """Two joints at 0 and at x = 1; the second turns by 90 degrees about z; a point at x = 2 hangs on both by half."""
    turns, places = torch.eye(3).repeat(1, 24, 1, 1), torch.zeros(1, 24, 3)
    turns[0, 1] = torch.tensor([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    places[0, 1, 0] = 1
    weights = np.zeros((2, 24), np.float32)
    weights[0, :2], weights[1, 0] = 0.5, 1
    rest = torch.tensor([[[2.0, 0, 0], [5, 0, 0]]])
    table = joint_table(turns, places, places, 1)  # at rest the joints lie where they do now
    want = torch.tensor([[[1.5, 0.5, 0], [5, 0, 0]]])  # between (2, 0, 0) and (1, 1, 0); as it was
    assert_close(SparseSkin(weights)(rest, table), want)
    mixture = np.array([[0.5, 0.5], [0.0, 1.0]])  # half-way between both, and the second
    carried = torch.from_numpy(carried_by_joints(mixture, weights, rest[0, ..., None].numpy())[..., 0]).float()
    assert_close(skin_mixtures(carried[None], table), torch.tensor([[[3.25, 0.25, 0], [5, 0, 0]]]))


def test_blends_by_hand_and_those_of_nothing_are_left_out():
    shapes, bends = np.zeros((1, 3, 10)), np.zeros((1, 3, 207))
    shapes[0, 0, 1], bends[0, 2, 0] = 2, 10
    betas, pose = torch.zeros(1, 10), torch.eye(3).repeat(2, 24, 1, 1)
    betas[0, 1], pose[1, 1, 0, 0] = 3, 0.5
    flat, bent = (BlendShapes(np.ones((1, 3)), shapes, some) for some in (np.zeros_like(bends), bends))
    assert flat.bends is None
    assert_close(flat(betas, pose), torch.tensor([[[7.0, 1, 1]]]))
    assert_close(bent(betas, pose), torch.tensor([[[7.0, 1, 1]], [[7, 1, -4]]]))
    assert_close(bent(betas), torch.tensor([[[7.0, 1, 1]]]))


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_the_body_is_that_of_smplx(arrays, seed):
    pose, betas, place = somebody(4, 1, seed)
    ours, plain = Body(arrays)(pose, betas, place), PlainBody(arrays)(pose, betas, place)
    assert_close(ours.vertices, plain.vertices, atol=1e-5, rtol=0)
    assert_close(ours.joints[:, :24], plain.joints, atol=1e-5, rtol=0)
    assert_close(ours.joints[:, 24:], plain.vertices[:, arrays.leaf_vertex_ids], atol=1e-5, rtol=0)
    if plain.keypoints is not None:
        assert_close(ours.keypoints, plain.keypoints, atol=1e-5, rtol=0)
    else:
        names = ("nose", "leye", "reye", "lear", "rear", "LBigToe", "LSmallToe", "LHeel")
        surface = plain.vertices[:, [arrays.vertex_ids[name] for name in names]]
        assert_close(ours.keypoints[:, [0, 1, 2, 3, 4, 17, 18, 19]], surface, atol=1e-5, rtol=0)
        assert_close(ours.keypoints[:, [5, 12, 16]], plain.joints[:, [16, 2, 8]], atol=1e-5, rtol=0)


def test_poses_of_a_person_are_those_of_his_shape_repeated(arrays):
    body, (pose, betas, place) = Body(arrays), somebody(2, 3)
    once, each = (body(pose, shape, place) for shape in (betas, betas.repeat_interleave(3, 0)))
    for one, other in zip(once, each):
        assert_close(one, other, atol=1e-5, rtol=0)


def test_points_are_those_of_the_whole_body(arrays):
    body, given = Body(arrays), somebody(2, 3)
    whole, points = body(*given), body.points(*given)
    assert torch.equal(whole.joints, points.joints) and torch.equal(whole.keypoints, points.keypoints)


def test_poses_that_cannot_be_dealt_to_people_are_refused():
    pose, betas, place = somebody(3, 1)
    with pytest.raises(ValueError, match="3 poses of 2 people"):
        Body(BODIES["free"]).points(pose, betas[:2], place)


def test_gradients_are_those_of_smplx(arrays):
    def gradients(body) -> list[torch.Tensor]:
        given = [part.requires_grad_() for part in somebody(2, 1)]
        found = torch.autograd.grad(body(*given).vertices.square().sum(), given)
        return [part / part.abs().max() for part in found]

    for ours, theirs in zip(gradients(Body(arrays)), gradients(PlainBody(arrays))):
        assert_close(ours, theirs, atol=1e-4, rtol=0)


def test_the_benchmark_measures_what_it_says():
    threads = torch.get_num_threads()
    rows = {row["metric"]: row for row in measure_bodies(hypotheses=2, people=2, rounds=1)}
    assert list(rows) == [f"bodies.{name}" for name in ("skinned", "points", "plain", "difference")]
    assert rows["bodies.skinned"]["baseline"] == rows["bodies.points"]["baseline"] == PLAIN
    assert all(row["value"] > 0 for row in rows.values()) and 0 < rows["bodies.difference"]["value"] < 1e-5
    assert torch.get_num_threads() == threads
