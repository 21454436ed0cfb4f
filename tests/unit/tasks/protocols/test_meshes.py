"""Bodies of records as meshes: SMPL-X with its fingers or without, SMPL's by a map."""

import pickle

import numpy as np
import pytest
import scipy.sparse
from numpy.testing import assert_allclose

from storage.predictions import read_predictions
from storage.sources import SourceError
from storage.sources.adapter import Choice
from tasks.data.importing import import_people
from tasks.protocols.bodies import Bodies
from tasks.protocols.meshes import write_meshes
from tests.people_files import humandata
from tests.people_scene import people_scene
from tests.smplx_file import write_smplx


@pytest.fixture(scope="module")
def smplx(tmp_path_factory):
    """Two records of SMPL-X; of the first the left hand is a fist."""
    folder = tmp_path_factory.mktemp("meshes")
    path = humandata(people_scene(2, 1), folder)
    held = dict(np.load(path, allow_pickle=True))
    body = held["smplx"].item()
    hand = np.zeros((2, 15, 3), np.float32)
    hand[0, :, 2] = 1.0
    held["smplx"] = np.array({**body, "left_hand_pose": hand, "right_hand_pose": np.zeros_like(hand)})
    np.savez(path, **held)
    (folder / "bodies").mkdir()
    write_smplx(folder / "bodies" / "SMPLX_NEUTRAL.npz")
    first = scipy.sparse.eye(6890, 10475, format="csr")
    (folder / "smplx2smpl.pkl").write_bytes(pickle.dumps({"matrix": first}))
    done = import_people("humandata", path, folder / "a.parquet", Choice(), dataset="bedlam", checked=False)
    return folder, done.file


def meshes(smplx, kind, out, **more):
    folder, records = smplx
    list(write_meshes(records, kind, Bodies(folder / "bodies", **more), out))
    return np.concatenate([one.vertices for one in read_predictions("npz", [out])])  # type: ignore[misc]


def test_fingers_are_kept_or_folded_away(smplx, tmp_path):
    whole, folded = (meshes(smplx, kind, tmp_path / kind) for kind in ("smplx", "folded"))
    apart = np.linalg.norm(whole - folded, axis=2).max(1)
    assert whole.shape == (2, 10475, 3) and apart[0] > 0.02 and apart[1] < 1e-6


def test_smpl_by_the_user_s_map(smplx, tmp_path):
    mapped = meshes(smplx, "smpl", tmp_path / "smpl", smplx_map=smplx[0] / "smplx2smpl.pkl")
    assert_allclose(mapped, meshes(smplx, "smplx", tmp_path / "smplx")[:, :6890], atol=1e-6)
    with pytest.raises(SourceError, match="Give --smplx-map"):
        meshes(smplx, "smpl", tmp_path / "none")


def test_smpl_does_not_become_smplx(prepared, tmp_path):
    with pytest.raises(SourceError, match=r"a body of smpl does not become 'smplx'. Choose --as smpl."):
        list(write_meshes(prepared.records, "smplx", prepared.read(), tmp_path / "x"))
    found = list(write_meshes(prepared.records, "smpl", prepared.read(), tmp_path / "y"))
    assert len(found) == 12
