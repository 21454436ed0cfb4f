"""Body files: whole ones load, whatever wrote them; broken or hostile ones are refused and run nothing.

No licensed file is used: the pickles are made here, in the form of SMPL's (chumpy objects, sparse regressor).
"""

import hashlib
import io
import os
import pickle
import pickletools
import sys
import types
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse

from hmr.body.body import load_body
from hmr.body.body_file import SMPL_VERTICES, BodyFileError, read_body_file

ASSETS = resources.files("hmr") / "assets"
SHA256 = {
    "body_light.npz": "f0c1f793268f2b24a5d7e36224b2b72ab21af3973f1136474c43aaf3a5f95db2",
    "body_light_vertex_ids.json": "53add4c19438ec8d20a5bf4ace0a6b40c02e82103c893cc7e2082005e8ca3886",
    "pose_landmarker_full.task": "3a4d5f00686e4b3eeac79a448cee4c9448ba4f1763686f4718021e545b5abb11",
    "pose_landmark_heavy.tflite": "59e42d71bcd44cbdbabc419f0ff76686595fd265419566bd4009ef703ea8e1fe",
    "LICENSE-APACHE-2.0.txt": "cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30",
}


@pytest.mark.parametrize("name", SHA256)
def test_assets_are_the_ones_described_in_the_notice(name):
    assert hashlib.sha256((ASSETS / name).read_bytes()).hexdigest() == SHA256[name]
    assert SHA256[name] in (ASSETS / "NOTICE.md").read_text()


def smpl_like() -> dict:
    """Arrays of SMPL's shapes with made-up numbers."""
    numbers = np.random.default_rng(0)
    with np.load(ASSETS / "body_light.npz") as light:
        tree = light["kintree_table"].astype(np.uint32)
    weights = np.zeros((SMPL_VERTICES, 24))
    weights[np.arange(SMPL_VERTICES), numbers.integers(0, 24, SMPL_VERTICES)] = 1
    regressor = np.zeros((24, SMPL_VERTICES))
    regressor[np.arange(24), numbers.integers(0, SMPL_VERTICES, 24)] = 1
    return {
        "v_template": numbers.normal(size=(SMPL_VERTICES, 3)),
        "shapedirs": numbers.normal(size=(SMPL_VERTICES, 3, 12)),
        "posedirs": np.zeros((SMPL_VERTICES, 3, 207), np.int8),
        "J_regressor": regressor,
        "weights": weights,
        "kintree_table": tree,
        "f": numbers.integers(0, SMPL_VERTICES, (100, 3)).astype(np.uint32),
        "bs_type": "lrotmin",
    }


@pytest.fixture
def chumpy(monkeypatch):
    """Classes under chumpy's names, so that pickles name them; gone again before anything is read."""
    made = {}
    for module, name in (("chumpy.ch", "Ch"), ("chumpy.reordering", "Select")):
        holder = types.ModuleType(module)
        made[name] = type(name, (), {"__module__": module})
        setattr(holder, name, made[name])
        monkeypatch.setitem(sys.modules, module, holder)
    monkeypatch.setitem(sys.modules, "chumpy", types.ModuleType("chumpy"))
    return types.SimpleNamespace(**made)


def with_state(kind: type, **state):
    thing = kind()
    thing.__dict__.update(state)
    return thing


def written(path: Path, content: object, protocol: int, old_names: bool = False) -> Path:
    data = pickle.dumps(content, protocol)
    if old_names and protocol < 4:  # as Python 2 and numpy 1 wrote them
        data = data.replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")
        data = data.replace(b"ccopyreg\n", b"ccopy_reg\n").replace(b"cbuiltins\n", b"c__builtin__\n")
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("protocol", [0, 1, 2, 4, 5])
def test_pickle_with_chumpy_and_sparse_objects_loads(tmp_path, chumpy, monkeypatch, protocol):
    plain = smpl_like()
    fields = dict(plain)
    fields["v_template"] = with_state(chumpy.Ch, x=plain["v_template"], _dirty_vars=set())
    fields["shapedirs"] = with_state(
        chumpy.Select,
        a=with_state(chumpy.Ch, x=plain["shapedirs"]),
        idxs=np.arange(SMPL_VERTICES * 36),
        preferred_shape=(SMPL_VERTICES, 3, 12),
    )
    fields["J_regressor"] = scipy.sparse.csc_matrix(plain["J_regressor"])
    path = written(tmp_path / "body.pkl", fields, protocol, old_names=True)
    monkeypatch.undo()
    arrays = read_body_file(path)
    assert arrays.name == "smpl"
    np.testing.assert_allclose(arrays.v_template, plain["v_template"], rtol=1e-6)
    np.testing.assert_allclose(arrays.shapedirs, plain["shapedirs"][:, :, :10], rtol=1e-6)
    np.testing.assert_array_equal(arrays.J_regressor, plain["J_regressor"])
    np.testing.assert_array_equal(arrays.f, plain["f"])
    assert arrays.vertex_ids["nose"] == 332
    assert load_body(path).vertex_count == SMPL_VERTICES


SPARSE = [
    f"{kind}_{form}" for kind in ("csc", "csr", "coo", "bsr", "dia", "lil", "dok") for form in ("matrix", "array")
]


@pytest.mark.parametrize("name", SPARSE)
def test_every_sparse_form_of_the_regressor_loads(tmp_path, name):
    plain, kind = smpl_like(), getattr(scipy.sparse, name)
    path = written(tmp_path / "body.pkl", {**plain, "J_regressor": kind(plain["J_regressor"])}, 2)
    np.testing.assert_array_equal(read_body_file(path).J_regressor, plain["J_regressor"])


def test_a_pickled_body_saved_as_an_archive_loads(tmp_path, chumpy, monkeypatch):
    """`np.savez(**pickle.load(file))`: chumpy and sparse objects become pickles of their own in the archive."""
    plain = smpl_like()
    fields = dict(plain)
    fields["v_template"] = boxed(with_state(chumpy.Ch, x=plain["v_template"]))
    fields["J_regressor"] = boxed(scipy.sparse.csc_matrix(plain["J_regressor"]))
    path = tmp_path / "body.npz"
    np.savez(path, **fields)
    monkeypatch.undo()
    arrays = read_body_file(path)
    np.testing.assert_allclose(arrays.v_template, plain["v_template"], rtol=1e-6)
    np.testing.assert_array_equal(arrays.J_regressor, plain["J_regressor"])


def test_a_hostile_object_in_an_archive_is_refused_by_name(tmp_path):
    trace = tmp_path / "trace"
    path = tmp_path / "body.npz"
    np.savez(path, **{**smpl_like(), "v_template": boxed(Hostile(os.system, f"touch {trace}"))})
    with pytest.raises(BodyFileError, match="system"):
        read_body_file(path)
    assert not trace.exists()


def boxed(thing: object) -> np.ndarray:
    box = np.empty((), object)
    box[()] = thing
    return box


class Hostile:
    """Calls something as it is unpickled."""

    def __init__(self, call, *arguments):
        self.reduced = (call, arguments)

    def __reduce__(self):
        return self.reduced


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize(
    "call, name",
    [(os.system, "system"), (eval, "builtins.eval"), (getattr, "builtins.getattr"), (np.load, "numpy.load")],
)
def test_hostile_pickle_is_refused_by_name_and_runs_nothing(tmp_path, protocol, call, name):
    trace = tmp_path / "trace"
    hostile = Hostile(call, f"open({str(trace)!r}, 'w')" if call is eval else f"touch {trace}")
    path = written(tmp_path / "body.pkl", {**smpl_like(), "extra": hostile}, protocol)
    with pytest.raises(BodyFileError, match=name) as caught:
        read_body_file(path)
    assert "nothing of it was run" in str(caught.value)
    assert not trace.exists()


def test_a_class_named_through_an_allowed_module_is_refused(tmp_path):
    """Protocol 4 may ask for a dotted name, which would walk from an allowed module to any other."""
    hostile = b"\x80\x04\x8c\x05numpy\x8c\x0eos.path.exists\x93\x8c\x01/\x85R."
    path = tmp_path / "body.pkl"
    path.write_bytes(hostile)
    pickletools.dis(hostile, out=io.StringIO())  # it is a pickle
    with pytest.raises(BodyFileError, match=r"numpy\.os\.path\.exists"):
        read_body_file(path)


def test_objects_of_one_file_leave_no_mark_on_the_next(tmp_path, chumpy, monkeypatch):
    """A pickle may set attributes on a class that it names; each name gets a class of its own."""
    poisoned = b"\x80\x04\x8c\x09chumpy.ch\x8c\x02Ch\x93N}\x8c\x01xK\x01s\x86b."
    path = tmp_path / "body.pkl"
    path.write_bytes(poisoned)
    with pytest.raises(BodyFileError):
        read_body_file(path)
    empty = {**smpl_like(), "v_template": with_state(chumpy.Ch)}
    path = written(path, empty, 2)
    monkeypatch.undo()
    with pytest.raises(BodyFileError, match="unknown chumpy object"):
        read_body_file(path)


def light_arrays() -> dict:
    with np.load(ASSETS / "body_light.npz") as light:
        return {name: light[name] for name in light.files}


def saved(path: Path, **changes) -> Path:
    arrays = {**light_arrays(), **changes}
    np.savez(path, **{name: value for name, value in arrays.items() if value is not None})
    return path


@pytest.mark.parametrize(
    "changes, complaint",
    [
        ({"weights": None}, "has no 'weights'"),
        ({"v_template": np.zeros((10, 2))}, "'v_template' has shape"),
        ({"shapedirs": np.full((6888, 3, 10), np.nan)}, "not finite"),
        ({"shapedirs": np.zeros((6888, 3, 4))}, "4 components"),
        ({"f": np.full((5, 3), 99999)}, "outside the 6888 vertices"),
        ({"leaf_vertex_ids": np.full(5, -1)}, "outside the 6888 vertices"),
        ({"kintree_table": np.zeros((2, 55), np.int64)}, "SMPL's tree"),
        ({"meta": None}, "6888 vertices and no 'meta'"),
        ({"keypoint_names": np.array(["nose"] * 23)}, "keypoint_names"),
        ({"v_template": np.array([{}], dtype=object)}, "'v_template' has shape"),
    ],
)
def test_unfit_arrays_are_named(tmp_path, changes, complaint):
    path = saved(tmp_path / "body.npz", **changes)
    with pytest.raises(BodyFileError, match=complaint) as caught:
        read_body_file(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.999])
def test_truncated_files_are_one_clear_error(tmp_path, share):
    archive = (ASSETS / "body_light.npz").read_bytes()
    pickled = pickle.dumps(smpl_like(), 2)
    for name, content in (("body.npz", archive), ("body.pkl", pickled)):
        path = tmp_path / name
        path.write_bytes(content[: int(share * len(content))])
        with pytest.raises(BodyFileError, match="body"):
            read_body_file(path)


def test_damaged_archive_is_noticed(tmp_path):
    content = bytearray((ASSETS / "body_light.npz").read_bytes())
    content[len(content) // 2] ^= 0xFF
    path = tmp_path / "body.npz"
    path.write_bytes(bytes(content))
    with pytest.raises(BodyFileError):
        read_body_file(path)


def test_missing_file_folder_and_foreign_file_are_clear_errors(tmp_path):
    (tmp_path / "notes.txt").write_text("no body at all")
    for path in (tmp_path / "absent.pkl", tmp_path, tmp_path / "notes.txt"):
        with pytest.raises(BodyFileError, match=str(path)):
            load_body(path)
    with pytest.raises(BodyFileError, match="holds a list"):
        read_body_file(written(tmp_path / "list.pkl", [1, 2], 2))
