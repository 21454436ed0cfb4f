"""SMPL-X folded onto 24 joints: with flat hands and a still face it is the same body."""

import numpy as np
import pytest
import roma
import torch
from torch.testing import assert_close

from hmr.body.body import Body, load_body
from hmr.body.body_file import BodyArrays, BodyFileError, read_body_file
from hmr.body.skeleton import PARENTS
from hmr.body.smplx_fold import KNUCKLES, SMPLX_JOINTS, SMPLX_PARENTS, fold_smplx
from tests.smplx_file import light_places, write_smplx

V = 60
POINTS = ("nose", "leye", "reye", "lear", "rear", "LBigToe", "LSmallToe", "LHeel", "RBigToe", "RSmallToe", "RHeel")


def smplx_like(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Arrays of SMPL-X's shapes but for the number of vertices; every joint has weight and pose corrections."""
    weights = rng.dirichlet(np.full(SMPLX_JOINTS, 0.1), V)
    regressor = rng.dirichlet(np.full(V, 0.2), SMPLX_JOINTS)
    return {
        "template": rng.normal(0, 0.5, (V, 3)),
        "shapedirs": rng.normal(0, 0.02, (V, 3, 20)),
        "posedirs": rng.normal(0, 0.01, (V, 3, 486)),
        "J_regressor": regressor,
        "weights": weights,
    }


def folded_body(arrays: dict[str, np.ndarray]) -> Body:
    single = {name: value.astype(np.float32) for name, value in arrays.items()}
    template = single.pop("template")
    folded = fold_smplx(**single)
    names = [*POINTS, *(f"{side}{tip}" for side in "lr" for tip in ("thumb", "index", "middle", "ring", "pinky"))]
    return Body(
        BodyArrays(
            name="smplx",
            v_template=template,
            **folded._asdict(),
            f=np.arange(V).reshape(-1, 3),
            vertex_ids={name: k for k, name in enumerate(names)},
            leaf_vertex_ids=np.arange(5),
            keypoint_regressor=None,
        )
    )


def skinned(arrays: dict[str, np.ndarray], turns: np.ndarray, betas: np.ndarray, place: np.ndarray) -> np.ndarray:
    """Linear blend skinning by its equations, joint by joint, float64: (55, 3, 3) rotations to (V, 3) vertices."""
    shaped = arrays["template"] + arrays["shapedirs"][:, :, :10] @ betas
    rest = arrays["J_regressor"] @ shaped
    posed = shaped + arrays["posedirs"] @ (turns[1:] - np.eye(3)).ravel()
    world = np.zeros((SMPLX_JOINTS, 3, 3))
    centre = np.zeros((SMPLX_JOINTS, 3))
    world[0], centre[0] = turns[0], rest[0]
    for joint in range(1, SMPLX_JOINTS):
        parent = SMPLX_PARENTS[joint]
        world[joint] = world[parent] @ turns[joint]
        centre[joint] = centre[parent] + world[parent] @ (rest[joint] - rest[parent])
    moved = np.einsum("jab,vjb->vja", world, posed[:, None] - rest[None]) + centre
    return np.einsum("vj,vja->va", arrays["weights"], moved) + place


def test_smplx_tree_by_hand():
    assert SMPLX_PARENTS[:22] == PARENTS[:22] and len(SMPLX_PARENTS) == 55
    assert SMPLX_PARENTS[22:25] == (15, 15, 15)  # jaw and eyes on the head
    assert SMPLX_PARENTS[25:31] == (20, 25, 26, 20, 28, 29)  # left index, left middle
    assert SMPLX_PARENTS[40:46] == (21, 40, 41, 21, 43, 44)  # right index, right middle
    assert SMPLX_PARENTS[52:] == (21, 52, 53)  # right thumb


@pytest.mark.parametrize("seed", range(3))
def test_vertices_are_those_of_all_55_joints_with_flat_hands_and_a_still_face(seed):
    rng = np.random.default_rng(seed)
    arrays = smplx_like(rng)
    turns = np.tile(np.eye(3), (SMPLX_JOINTS, 1, 1))
    turns[:22] = roma.rotvec_to_rotmat(torch.from_numpy(rng.normal(0, 0.6, (22, 3)))).numpy()
    betas, place = rng.normal(0, 1, 10), rng.normal(0, 1, 3)
    want = skinned(arrays, turns, betas, place)
    pose = torch.eye(3).repeat(1, 24, 1, 1)
    pose[0, :22] = torch.from_numpy(turns[:22]).float()
    got = folded_body(arrays)(pose, torch.from_numpy(betas)[None].float(), torch.from_numpy(place)[None].float())
    np.testing.assert_allclose(got.vertices[0].numpy(), want, atol=1e-5)


def test_weights_regressor_and_corrections_by_hand():
    arrays = smplx_like(np.random.default_rng(0))
    folded = fold_smplx(*(arrays[name] for name in ("shapedirs", "posedirs", "J_regressor", "weights")))
    weights = arrays["weights"]
    np.testing.assert_allclose(folded.weights.sum(1), 1)
    np.testing.assert_array_equal(folded.weights[:, [0, 14, 20, 21]], weights[:, [0, 14, 20, 21]])
    np.testing.assert_allclose(folded.weights[:, 15], weights[:, 15] + weights[:, 22:25].sum(1))
    np.testing.assert_allclose(folded.weights[:, 22], weights[:, 25:40].sum(1))
    np.testing.assert_allclose(folded.weights[:, 23], weights[:, 40:].sum(1))
    np.testing.assert_array_equal(folded.J_regressor[22:], arrays["J_regressor"][list(KNUCKLES)])
    np.testing.assert_array_equal(folded.posedirs[:, :, :189], arrays["posedirs"][:, :, :189])
    assert not folded.posedirs[:, :, 189:].any() and folded.shapedirs.shape == (V, 3, 10)


@pytest.fixture(scope="module")
def smplx_file(tmp_path_factory):
    return write_smplx(tmp_path_factory.mktemp("bodies") / "SMPLX_NEUTRAL.npz")


def test_a_file_in_smplx_layout_is_the_body_that_was_put_into_it(smplx_file):
    light, body = load_body(), load_body(smplx_file)
    assert (body.name, body.vertex_count) == ("smplx", 10475)
    rng = torch.Generator().manual_seed(0)
    pose = roma.rotvec_to_rotmat(0.4 * torch.randn(2, 24, 3, generator=rng))
    given = pose, torch.randn(2, 10, generator=rng), torch.randn(2, 3, generator=rng)
    want, got = light(*given), body(*given)
    assert_close(got.joints, want.joints, atol=1e-5, rtol=0)
    assert_close(got.vertices[:, light_places()], want.vertices, atol=1e-5, rtol=0)
    assert_close(body.rest_joints(given[1]), light.rest_joints(given[1]), atol=1e-5, rtol=0)
    surface = [0, 1, 2, 3, 4, 17, 18, 19, 20, 21, 22]  # nose, eyes, ears and feet: vertices of the mesh
    assert (got.keypoints - want.keypoints)[:, surface].norm(dim=-1).max() < 0.04  # there, a mean of several


def changed(path, target, **changes):
    with np.load(path, allow_pickle=False) as kept:
        arrays = {name: kept[name] for name in kept.files if name != "joint2num"}
    np.savez(target, **{**arrays, **changes})
    return target


@pytest.mark.parametrize(
    ("name", "shape", "complaint"),
    [
        ("kintree_table", (2, 52), "SMPL-X's tree of 55 joints"),
        ("weights", (10475, 24), "'weights' has shape"),
        ("posedirs", (10475, 3, 207), "'posedirs' has shape"),
        ("shapedirs", (10475, 3, 4), "4 components"),
    ],
)
def test_what_is_not_smplx_is_named(smplx_file, tmp_path, name, shape, complaint):
    kind = np.int64 if name == "kintree_table" else np.float32
    with pytest.raises(BodyFileError, match=complaint):
        read_body_file(changed(smplx_file, tmp_path / "body.npz", **{name: np.zeros(shape, kind)}))


def test_smplh_stays_refused(tmp_path):
    arrays = {"v_template": np.zeros((6890, 3)), "kintree_table": np.zeros((2, 52), np.int64)}
    np.savez(tmp_path / "SMPLH.npz", **arrays)
    with pytest.raises(BodyFileError, match="SMPL-H files do not serve"):
        read_body_file(tmp_path / "SMPLH.npz")
