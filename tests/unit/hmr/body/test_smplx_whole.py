"""SMPL-X with all its joints, and its mesh as SMPL's by a matrix, on files in their layout."""

import pickle

import numpy as np
import pytest
import scipy.sparse
import torch
from numpy.testing import assert_allclose

from hmr.body.body import load_body
from hmr.body.body_file import BodyFileError
from hmr.body.mesh_map import MeshMap
from hmr.body.rotations import rotation_matrices
from hmr.body.smplx_fold import KNUCKLES
from hmr.body.smplx_whole import WholeSmplx
from tests.smplx_file import write_smplx


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return write_smplx(tmp_path_factory.mktemp("smplx") / "SMPLX_NEUTRAL.npz")


def test_with_flat_hands_it_is_the_folded_body(path):
    rng = np.random.default_rng(0)
    pose = torch.zeros(3, 55, 3)
    pose[:, :22] = torch.from_numpy(rng.normal(0, 0.3, (3, 22, 3)))
    betas, shift = torch.randn(3, 10), torch.randn(3, 3)
    whole, folded = WholeSmplx(path), load_body(path)
    turns = torch.zeros(3, 24, 3)
    turns[:, :22] = pose[:, :22]
    made, other = whole(pose, betas, shift), folded(rotation_matrices(turns), betas, shift)
    assert_allclose(made.vertices, other.vertices, atol=1e-5)
    assert_allclose(made.joints[:, :22], other.joints[:, :22], atol=1e-5)


def test_fingers_move_only_the_hand(path):
    whole = WholeSmplx(path)
    pose = torch.zeros(2, 55, 3)
    pose[1, KNUCKLES[0]] = torch.tensor([0.0, 0, 1.0])
    still, bent = whole(pose, torch.zeros(2, 10), torch.zeros(2, 3)).vertices
    moved = (still - bent).norm(dim=1) > 1e-4
    assert 0 < moved.sum() < 0.2 * len(moved)
    assert still[moved, 0].min() > 0.5  # all of them lie at the left hand


def test_smpl_s_own_files_are_no_smplx(tmp_path):
    from importlib import resources

    other = tmp_path / "SMPLX_NEUTRAL.npz"
    other.write_bytes((resources.files("hmr") / "assets" / "body_light.npz").read_bytes())
    with pytest.raises(BodyFileError, match="not SMPL-X"):
        WholeSmplx(other)


@pytest.mark.parametrize("key", ["matrix", "mtx"])
def test_a_matrix_takes_the_mesh_to_smpl(tmp_path, key):
    """Each target is the middle of two source vertices; `mtx` has a second half for normals."""
    rows = np.repeat(np.arange(6890), 2)
    columns = np.stack([np.arange(6890), np.arange(6890) + 1000], 1).ravel()
    matrix = scipy.sparse.csc_matrix((np.full(len(rows), 0.5), (rows, columns)), (6890, 10475))
    held = matrix if key == "matrix" else scipy.sparse.hstack([matrix, matrix]).tocsc()
    path = tmp_path / "smplx2smpl.pkl"
    path.write_bytes(pickle.dumps({key: held, "valid_pts_mask": None}, protocol=2))
    vertices = np.random.default_rng(0).normal(size=(2, 10475, 3))
    assert_allclose(MeshMap(path)(vertices), (vertices[:, :6890] + vertices[:, 1000:7890]) / 2)
    path.write_bytes(pickle.dumps({key: np.eye(5)}))
    with pytest.raises(BodyFileError, match="5 x 5; expected 6890 x 10475"):
        MeshMap(path)
