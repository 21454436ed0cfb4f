"""HumanData files: rows as they stand there, the right ones chosen, everything else counted or refused by name."""

import io
import os
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.sources import SourceError
from storage.sources.humandata import read_humandata
from tests.humandata_file import make_rows, write_humandata


def rows(count: int = 5) -> dict:
    return make_rows(np.random.default_rng(0), count)


def fault(path: Path, **how) -> str:
    with pytest.raises(SourceError) as caught:
        read_humandata(path, **how)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    return str(caught.value)


def test_rows_are_read_as_they_stand(tmp_path):
    made = rows()
    found = read_humandata(write_humandata(tmp_path / "a.npz", made), stride=2)
    assert (found.name, found.rows, found.chosen, found.selection) == ("a.npz", 5, 3, "one row in 2")
    assert [one.row for one in found.instances] == [0, 2, 4] and found.skipped == {}
    one = found.instances[1]
    assert one.image_path == "images/seq_00000002/00000002.jpeg"
    np.testing.assert_allclose(one.bbox_xywh, made["bbox_xywh"][2, :4], rtol=1e-6)
    for name in ("global_orient", "body_pose", "betas", "transl"):
        np.testing.assert_array_equal(getattr(one, name), made["smplx"][name][2])
    assert one.focal_length.tolist() == [1002, 1102] and one.principal_point.tolist() == [960, 540]
    assert (one.picture_size, one.gender) == ((1920, 1080), "female")


@pytest.mark.parametrize("kind", ["S40", object])
def test_picture_paths_may_be_bytes_or_objects(tmp_path, kind):
    made = rows(2)
    path = write_humandata(tmp_path / "a.npz", made | {"image_path": made["image_path"].astype(kind)})
    assert read_humandata(path, stride=1).instances[1].image_path == made["image_path"][1]


@pytest.mark.parametrize("width", [63, 69])
def test_flat_poses_and_long_betas_are_cut(tmp_path, width):
    made = rows(3)
    flat = np.arange(3 * width, dtype=np.float32).reshape(3, width)
    made["smplx"] |= {"body_pose": flat, "betas": np.ones((3, 16))}
    one = read_humandata(write_humandata(tmp_path / "a.npz", made), stride=1).instances[1]
    np.testing.assert_array_equal(one.body_pose.ravel(), flat[1, :63])
    assert one.betas.shape == (10,)


def test_betas_of_the_neutral_body_are_taken_where_there_are_some(tmp_path):
    made = rows(4)
    made["smplx"]["betas_neutral"] = np.full((4, 10), 7.0)
    path = write_humandata(tmp_path / "a.npz", made)
    assert (read_humandata(path, stride=1).instances[0].betas == 7).all()
    men = read_humandata(path, stride=1, gender="male")
    assert [one.row for one in men.instances] == [1, 3] and men.skipped == {"not of the male body": 2}
    np.testing.assert_array_equal(men.instances[0].betas, made["smplx"]["betas"][1])


@pytest.mark.parametrize(
    ("where", "focal", "centre", "want"),
    [
        ("meta", 900.0, (10.0, 20.0), [900, 900, 10, 20]),
        ("misc", (900.0, 800.0), (10.0, 20.0), [900, 800, 10, 20]),
        ("top", np.full(3, 900.0), np.tile([10.0, 20.0], (3, 1)), [900, 900, 10, 20]),
        ("meta", 900.0, None, None),  # half a camera is none
    ],
)
def test_a_camera_may_stand_in_three_places(tmp_path, where, focal, centre, want):
    camera = {"focal_length": focal} | ({} if centre is None else {"principal_point": centre})
    fields = camera if where == "top" else {where: camera}
    path = write_humandata(tmp_path / "a.npz", rows(3) | {"meta": None}, **fields)
    one = read_humandata(path, stride=1).instances[2]
    got = None if one.focal_length is None else [*one.focal_length.tolist(), *one.principal_point.tolist()]
    assert got == want


def test_rows_that_cannot_be_used_are_counted(tmp_path):
    made = rows(8)
    made["is_valid_smplx"] = np.array([1, 0, 1, 1, 1, 1, 1, 1], bool)
    made["smplx"]["transl"][2, 1] = np.nan
    made["bbox_xywh"][3, 2] = 0
    made["meta"]["focal_length"][4] = (np.nan, 1000.0)
    made["image_path"] = np.array(["a.jpg"] * 5 + ["../secret.jpg", "/etc/a.jpg", "b/c.jpg"])
    found = read_humandata(write_humandata(tmp_path / "a.npz", made), stride=1)
    assert [one.row for one in found.instances] == [0, 7]
    assert found.skipped == {
        "marked as invalid in the file": 1,
        "parameters that are not finite": 1,
        "no box": 1,
        "no camera": 1,
        "a picture outside of the folder of pictures": 2,
    }


@given(count=st.integers(1, 40), seed=st.integers(0, 9))
def test_random_rows_are_always_the_same_for_a_seed(tmp_path_factory, count, seed):
    path = tmp_path_factory.getbasetemp() / "forty.npz"
    if not path.exists():
        write_humandata(path, rows(40))
    first, again = (read_humandata(path, count=count, seed=seed) for _ in range(2))
    chosen = [one.row for one in first.instances]
    assert chosen == [one.row for one in again.instances] == sorted(set(chosen)) and len(chosen) == count
    assert first.selection == f"{count} rows at random, seed {seed}"


def test_files_of_older_numpy_are_read(tmp_path):
    """numpy 1 wrote protocol 3, in which its modules have their old names."""
    made = rows(3)
    path = write_humandata(tmp_path / "new.npz", made)
    old = tmp_path / "old.npz"
    with zipfile.ZipFile(path) as new, zipfile.ZipFile(old, "w") as archive:
        for name in new.namelist():
            content = new.read(name)
            if name in ("smplx.npy", "meta.npy", "misc.npy"):
                head = content[: content.index(b"\n") + 1]
                holder = np.empty((), object)
                holder[()] = made[name.removesuffix(".npy")]
                content = head + pickle.dumps(holder, 3).replace(b"numpy._core", b"numpy.core")
            archive.writestr(name, content)
    one = read_humandata(old, stride=1).instances[2]
    np.testing.assert_array_equal(one.betas, made["smplx"]["betas"][2])
    assert one.focal_length.tolist() == [1002, 1102]


class Hostile:
    def __init__(self, call, *arguments):
        self.reduced = (call, arguments)

    def __reduce__(self):
        return self.reduced


@pytest.mark.parametrize(
    ("thing", "name"),
    [
        (lambda trace: Hostile(os.system, f"touch {trace}"), "system"),
        (lambda trace: Hostile(eval, f"open({str(trace)!r}, 'w')"), "builtins.eval"),
        (lambda trace: Hostile(np.load, str(trace)), "numpy.load"),
        (lambda trace: OrderedDict(a=1), "collections.OrderedDict"),
    ],
)
@pytest.mark.parametrize("field", ["smplx", "meta"])
def test_a_pickle_that_names_anything_else_is_refused_and_runs_nothing(tmp_path, thing, name, field):
    made = rows(2)
    made[field]["extra"] = thing(tmp_path / "trace")
    details = fault(write_humandata(tmp_path / "a.npz", made))
    assert name in details and "nothing of it was run" in details and not (tmp_path / "trace").exists()


def test_a_name_that_walks_out_of_an_allowed_module_is_refused(tmp_path):
    """Protocol 4 may ask for a dotted name."""
    path = write_humandata(tmp_path / "a.npz", rows(2), meta=None)
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, {"descr": "|O", "fortran_order": False, "shape": ()})
    hostile = b"\x80\x04\x8c\x05numpy\x8c\x0eos.path.exists\x93\x8c\x01/\x85R."
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("meta.npy", head.getvalue() + hostile)
    assert "numpy.os.path.exists" in fault(path)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"image_path": None}, "has no 'image_path'"),
        ({"bbox_xywh": None}, "has no 'bbox_xywh'"),
        ({"smplx": None}, "has no 'smplx' parameters"),
        ({"smplx": None, "smpl": {"betas": np.zeros((5, 10))}}, "it holds SMPL's"),
        ({"smplx": np.zeros((5, 3))}, "'smplx' is a ndarray"),
        ({"bbox_xywh": np.zeros((4, 5))}, "there are 5 pictures"),
        ({"bbox_xywh": np.zeros((5, 3))}, "3 numbers a row, expected 4 or 5"),
        ({"meta": {"gender": ["male"] * 4}}, "'gender' has 4 values"),
        ({"meta": {"focal_length": np.ones((4, 2)), "principal_point": (1, 1)}}, "one for each of 5 rows"),
    ],
)
def test_what_is_missing_or_misshapen_is_named(tmp_path, changes, complaint):
    assert complaint in fault(write_humandata(tmp_path / "a.npz", rows(), **changes))


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"betas": np.zeros((5, 4))}, "4 components; 10 are needed"),
        ({"body_pose": np.zeros((5, 72))}, "72 numbers a row, expected 63 or 69"),
        ({"global_orient": np.zeros((5, 3, 3))}, "9 numbers a row, expected 3"),
        ({"transl": None}, "'transl' has shape (), and there are 5 pictures"),
        ({"betas": np.zeros((1, 10))}, "'betas' has shape (1, 10), and there are 5 pictures"),
    ],
)
def test_parameters_of_another_kind_are_named(tmp_path, changes, complaint):
    made = rows()
    made["smplx"] |= changes
    assert complaint in fault(write_humandata(tmp_path / "a.npz", made))


def test_a_parameter_that_is_not_there(tmp_path):
    made = rows()
    del made["smplx"]["transl"]
    assert "has no 'transl'" in fault(write_humandata(tmp_path / "a.npz", made))


def test_more_rows_than_there_are(tmp_path):
    assert "has 5 rows, fewer than the 6" in fault(write_humandata(tmp_path / "a.npz", rows()), count=6)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.999])
def test_a_file_that_was_cut_short(tmp_path, share):
    content = write_humandata(tmp_path / "whole.npz", rows()).read_bytes()
    path = tmp_path / "cut.npz"
    path.write_bytes(content[: int(share * len(content))])
    assert "not a whole HumanData file" in fault(path)


def test_a_damaged_file_is_noticed(tmp_path):
    path = write_humandata(tmp_path / "a.npz", rows())
    content = bytearray(path.read_bytes())
    content[content.index(b"bbox_xywh.npy") + 200] ^= 0xFF
    path.write_bytes(bytes(content))
    assert "not a whole HumanData file" in fault(path)


def test_a_missing_file_a_folder_and_a_foreign_one(tmp_path):
    (tmp_path / "notes.txt").write_text("no zip at all")
    assert "cannot be read" in fault(tmp_path / "absent.npz")
    assert "cannot be read" in fault(tmp_path)
    assert "not a whole HumanData file" in fault(tmp_path / "notes.txt")
