"""Other models' outputs: each layout becomes hypotheses that land on the model's own pixels."""

import json
import pickle

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from storage.predictions import READERS, read_predictions
from storage.predictions.mhr_map import MeshMap, mapped, read_mhr_map, to_topology
from storage.predictions.predicted import Predicted, camera_of_points, joined, project
from storage.predictions.preference_files import read_preferences
from storage.sources import SourceError
from tests.people_files import smplify_x
from tests.people_scene import people_scene

CAMERA = np.array([1500.0, 1500.0, 640.0, 480.0])


def person(rng, points: int = 24) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points about the person, where the person is, pixels."""
    about, shift = rng.normal(0, 0.4, (points, 3)), np.array([0.3, -0.2, 5.0])
    return about, shift, project(about + shift, CAMERA)


def sam3d(folder, rng, **changes):
    about, shift, pixels = person(rng, 70)
    fields = {
        "bbox": np.arange(4.0), "pred_vertices": rng.normal(0, 0.4, (18439, 3)), "pred_cam_t": shift,
        "pred_keypoints_3d": about, "pred_keypoints_2d": pixels, "global_rot": np.zeros(3), **changes,
    }  # fmt: skip
    np.savez(folder / "bus_0.npz", **{key: np.float32(value) for key, value in fields.items()})
    return folder / "bus_0.npz"


def romp(folder, rng):
    about, shift, pixels = person(rng, 71)
    results = {
        "smpl_thetas": rng.normal(0, 0.2, (2, 72)), "smpl_betas": np.zeros((2, 10)), "cam_trans": np.stack([shift] * 2),
        "verts": rng.normal(0, 0.4, (2, 6890, 3)), "joints": np.stack([about] * 2), "pj2d_org": np.stack([pixels] * 2),
        "center_confs": np.array([0.9, 0.8]), "cam": np.zeros((2, 3)),
    }  # fmt: skip
    np.savez(folder / "bus.npz", results=results)
    return folder / "bus.npz"


def fourdhumans(folder, rng):
    turns = Rotation.random(48, rng=rng).as_matrix().reshape(2, 24, 3, 3)
    body = {"global_orient": turns[:, :1], "body_pose": turns[:, 1:], "betas": np.zeros((2, 10))}
    np.savez(folder / "bus.npz", pred_smpl_params=body, pred_cam_t=np.ones((2, 3)), pred_cam_t_full=np.full((2, 3),
    5.0),
             scaled_focal_length=1500.0, img_size=np.array([1280, 960]), pred_vertices=rng.normal(0, 0.4, (2, 6890,
             3)))  # fmt: skip
    return folder / "bus.npz"


def multihmr(folder, rng):
    about, shift, pixels = person(rng, 127)
    human = {
        "rotvec": rng.normal(0, 0.2, (53, 3)), "shape": np.zeros(10), "transl": shift, "j3d": about + shift,
        "j2d": pixels,
        "v3d": rng.normal(0, 0.3, (10475, 3)) + shift, "scores": np.array(0.7), "expression": np.zeros(10),
    }  # fmt: skip
    np.save(folder / "bus.npy", np.array([human, human], object))
    return folder / "bus.npy"


def prompthmr(folder, rng):
    body = {"pose": rng.normal(0, 0.2, (3, 165)), "shape": np.zeros((3, 10)), "trans": np.full((3, 3), 4.0)}
    held = {"people": {7: {"smplx_cam": body, "frames": np.array([5, 6, 7])}},
            "camera": {"img_focal": 1500.0, "img_center": np.array([640.0, 480.0])}}  # fmt: skip
    (folder / "results.pkl").write_bytes(pickle.dumps(held))
    return folder / "results.pkl"


def arrays(folder, rng):
    about, shift, pixels = person(rng)
    np.savez(folder / "mine.npz", joints=np.stack([about + shift] * 4), pixels=np.stack([pixels] * 4), camera=CAMERA,
             image="bus.jpg", person="1", model="mine", scores=np.arange(4.0))  # fmt: skip
    return folder / "mine.npz"


LAYOUTS = {
    "sam3d": (sam3d, 1, "mhr", "bus_0"),
    "romp": (romp, 2, "smpl", "bus"),
    "4dhumans": (fourdhumans, 2, "smpl", "bus"),
    "multihmr": (multihmr, 2, "smplx", "bus"),
    "prompthmr": (prompthmr, 3, "smplx", "results/000005"),
    "smplify-x": (lambda folder, rng: smplify_x(people_scene(2, 0), folder), 2, "smplx", "00000"),
    "npz": (arrays, 1, "", "bus.jpg"),
}


def test_every_reader_has_a_layout():
    assert {*LAYOUTS, "run"} == set(READERS)  # groups of a run are tested in test_run_groups


@pytest.mark.parametrize("kind", LAYOUTS)
def test_each_layout_is_read(tmp_path, kind):
    write, count, topology, image = LAYOUTS[kind]
    found = read_predictions(kind, [write(tmp_path, np.random.default_rng(0))])
    assert len(found) == count and {one.topology for one in found} == {topology} and found[0].image == image
    for one in found:
        assert one.off_px() is None or one.off_px() < 1e-3
        if one.camera is not None:
            np.testing.assert_allclose(one.camera, CAMERA, rtol=1e-5)
        if one.vertices is not None:
            assert np.median(one.vertices[..., 2]) > 3


def test_matrices_become_axis_angles_and_the_whole_pictures_camera_is_taken(tmp_path):
    rng = np.random.default_rng(0)
    (first, _) = read_predictions("4dhumans", [fourdhumans(tmp_path, rng)])
    want = Rotation.random(48, rng=np.random.default_rng(0)).as_rotvec().reshape(2, 24, 3)[0]
    got = np.concatenate([first.orient, first.pose[0]])
    assert (Rotation.from_rotvec(got).inv() * Rotation.from_rotvec(want)).magnitude().max() < 1e-5
    assert first.transl.tolist() == [[5, 5, 5]]


def test_several_answers_about_one_person_stand_side_by_side(tmp_path):
    one = read_predictions("npz", [arrays(tmp_path, np.random.default_rng(0))])
    groups = joined([*one, *one])
    assert list(groups) == [("bus.jpg", "1")] and sum(map(len, groups["bus.jpg", "1"])) == 8


def test_a_camera_follows_from_points():
    about, shift, pixels = person(np.random.default_rng(1))
    fitted = camera_of_points(about + shift, pixels)
    np.testing.assert_allclose(fitted.camera, CAMERA, rtol=1e-9)
    assert fitted.off_px < 1e-9


@pytest.mark.parametrize("kind", ["y up", "millimetres", "no camera"])
def test_other_frames_and_units_are_refused(tmp_path, kind):
    rng = np.random.default_rng(0)
    about, shift, pixels = person(rng, 70)
    changes = {
        "y up": {"pred_keypoints_3d": about * [1, -1, -1], "pred_cam_t": shift * [1, -1, -1]},
        "millimetres": {"pred_vertices": 1000 * rng.normal(0, 0.4, (18439, 3))},
        "no camera": {"pred_keypoints_2d": pixels[rng.permutation(70)]},
    }[kind]
    with pytest.raises(SourceError, match=r"found .*expected"):
        read_predictions("sam3d", [sam3d(tmp_path, rng, **changes)])


def test_a_pickle_with_tensors_or_programs_is_refused(tmp_path):
    import torch

    (tmp_path / "results.pkl").write_bytes(pickle.dumps({"people": torch.zeros(3)}))
    with pytest.raises(SourceError, match="torch"):
        read_predictions("prompthmr", [tmp_path / "results.pkl"])
    with pytest.raises(SourceError, match="no reader"):
        read_predictions("hmr3", [])


# --- MHR to SMPL --------------------------------------------------------------------------------------------


def maps(folder, smpl: int = 6) -> np.ndarray:
    """A tetrahedron for MHR's mesh and vertices on its faces, in the two files' layout."""
    import trimesh

    mesh = trimesh.Trimesh(np.eye(4, 3), [[0, 1, 2], [0, 1, 3], [0, 2, 3], [1, 2, 3]], process=False)
    mesh.export(folder / "mhr_face_mask.ply")
    rng = np.random.default_rng(0)
    shares = rng.dirichlet(np.ones(3), smpl)
    np.savez(folder / "mhr2smpl_mapping.npz", triangle_ids=rng.integers(0, 4, smpl), baryc_coords=shares)
    return np.asarray(mesh.vertices)


def test_mapped_vertices_lie_on_the_triangles(tmp_path):
    corners = maps(tmp_path)
    found = read_mhr_map(tmp_path)
    points = mapped(np.stack([corners, 2 * corners]), found)
    assert points.shape == (2, 6, 3)
    np.testing.assert_allclose(points[1], 2 * points[0])
    for point, ids, shares in zip(points[0], found.corners, found.shares):
        np.testing.assert_allclose(point, shares @ corners[ids], atol=1e-7)
        plane = np.cross(corners[ids[1]] - corners[ids[0]], corners[ids[2]] - corners[ids[0]])
        assert abs(plane @ (point - corners[ids[0]])) < 1e-7


def test_a_map_that_does_not_fit_is_refused(tmp_path):
    with pytest.raises(SourceError, match="facebookresearch/MHR"):
        read_mhr_map(tmp_path)
    maps(tmp_path)
    np.savez(tmp_path / "mhr2smpl_mapping.npz", triangle_ids=np.array([9]), baryc_coords=np.ones((1, 3)) / 3)
    with pytest.raises(SourceError, match="triangle_ids"):
        read_mhr_map(tmp_path)
    np.savez(tmp_path / "mhr2smpl_mapping.npz", triangle_ids=np.array([1]), baryc_coords=np.ones((1, 3)))
    with pytest.raises(SourceError, match="baryc_coords"):
        read_mhr_map(tmp_path)
    other = Predicted("romp", "a.npz", "a", "0", "smpl", vertices=np.ones((1, 8, 3)))
    assert to_topology(other, MeshMap(np.zeros((2, 3), int), np.ones((2, 3)) / 3)) is other


# --- groups and pairs ---------------------------------------------------------------------------------------


def test_groups_and_pairs_of_others(tmp_path):
    rng = np.random.default_rng(0)
    angle = rng.uniform(-1, 1, (5, 23))
    group = {
        "img_path": "a.jpg", "img_idx": 12, "pred_joints_uvd_29": rng.normal(size=(5, 29, 3)), "multi_n": 5,
        "pred_twist": np.stack([np.cos(angle), np.sin(angle)], -1), "mpjpe": np.arange(5.0), "pve": np.arange(5.0),
        "score": rng.uniform(size=5), "trans": np.eye(2, 3), "trans_inv": np.eye(2, 3),
    }  # fmt: skip
    np.savez(tmp_path / "groups.npz", grpo_pair_list=np.array([group, group], object))
    found = read_preferences(tmp_path / "groups.npz")
    assert len(found) == 2 and found[0].row == 12 and found[0].joints.shape == (5, 29, 3)
    assert set(found[0].errors) == {"mpjpe", "pve"} and found[0].scores.tolist() == group["score"].tolist()
    twist = np.stack([np.cos(angle), np.sin(angle)], -1)
    pair = {"img_path": "a.jpg", "img_idx": 3, "w_joints": np.zeros((29, 3)).tolist(), "w_twist": twist[0].tolist(),
            "l_joints": np.ones((29, 3)).tolist(), "l_twist": twist[1].tolist()}  # fmt: skip
    (tmp_path / "pairs.json").write_text(json.dumps([pair]))
    (one,) = read_preferences(tmp_path / "pairs.json")
    assert one.scores.tolist() == [1, 0] and (one.joints[1] == 1).all() and one.to_crop is None
    (tmp_path / "pairs.json").write_text(json.dumps([pair | {"w_twist": (50 * twist[0]).tolist()}]))
    with pytest.raises(SourceError, match="length 1"):
        read_preferences(tmp_path / "pairs.json")


def test_smplify_x_keeps_what_it_told(tmp_path):
    scene = people_scene(2, 0)
    (first, _) = read_predictions("smplify-x", [smplify_x(scene, tmp_path)])
    np.testing.assert_allclose(first.pose[0], scene.pose[0, :21], atol=1e-6)
    assert len(first) == 1 and first.person == "000"


@pytest.mark.parametrize("kind", ["romp", "multihmr", "npz"])
def test_plain_arrays_are_written_and_read_again(tmp_path, kind):
    from storage.predictions.arrays_npz import write

    for one in read_predictions(kind, [LAYOUTS[kind][0](tmp_path, np.random.default_rng(0))]):
        (again,) = read_predictions("npz", [write(one, tmp_path / "out")])
        assert (again.image, again.person, again.model, again.topology) == (
            one.image, one.person, one.model, one.topology
        )  # fmt: skip
        for name in ("orient", "pose", "betas", "transl", "vertices", "joints", "pixels", "camera", "scores"):
            want = getattr(one, name)
            assert want is None or np.allclose(getattr(again, name), want, atol=1e-6), name


def test_a_file_of_another_model_says_how_to_name_it(tmp_path):
    np.savez(tmp_path / "a.npz", pred_vertices=np.zeros((3, 3)))
    for kind in ("npz", "sam3d", "romp"):
        with pytest.raises(SourceError, match=r"another model. --from says whose") as caught:
            read_predictions(kind, [tmp_path / "a.npz"])
        assert "--ignore" not in str(caught.value)
