"""Other models' outputs in a run: matched, moved to the run's camera, judged and ranked beside our own."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from critique.evidence import EvidenceCritic, comparable, finite
from hmr.alignment.trainer import TrainError
from hmr.body.body import load_arrays, load_body
from hmr.body.mesh_points import joints_of_mesh, keypoints_of_mesh
from hmr.body.rotations import rotation_matrices
from hmr.body.skeleton import EVAL_14, KEYPOINT_NAMES
from hmr.diffusion.latent import encode
from hmr.diffusion.noise_schedule import DATA_SCALE
from storage.group_store import GroupStore, StoreError
from storage.predictions.predicted import Predicted, project
from storage.predictions.preference_files import read_preferences
from storage.records import Person
from tasks.data.predicted_groups import BodyInUse, bring, match, moves, picture_of
from tasks.data.prediction_errors import hypothesis_errors
from tasks.data.preference_groups import as_predictions, crop_of
from tasks.data.ranking import ranked
from tasks.groups.overlays import draw_group, surfaces
from tasks.rounds.group_stream import GroupsWanted, _check
from tests.factories import make_group, make_person, make_verdict

LIGHT = load_body()
CAMERA = np.array([1200.0, 1200.0, 640.0, 360.0])


def body() -> BodyInUse:
    return BodyInUse(LIGHT, load_arrays())


@pytest.fixture
def person() -> Person:
    return make_person(np.random.default_rng(0), "street", box=np.float32([500, 100, 780, 640]))


def posed_prediction(model: str = "other", count: int = 2, **given) -> Predicted:
    rng = np.random.default_rng(1)
    orient, pose = rng.normal(0, 0.1, (count, 3)), rng.normal(0, 0.1, (count, 23, 3))
    orient[:, 0] += np.pi
    fields = {
        "model": model, "file": "street.npz", "image": "street.jpg", "person": "0", "topology": LIGHT.name,
        "orient": orient, "pose": pose, "betas": rng.normal(0, 0.5, (count, 10)),
        "transl": np.tile([0.0, 0.0, 4.0], (count, 1)), "camera": CAMERA, "box": np.array([500.0, 100, 780, 640]),
    }  # fmt: skip
    return Predicted(**{**fields, **given})


def mesh_prediction(named: bool = True) -> Predicted:
    """A body of ours as a mesh of a foreign model, with its key points by name."""
    one = posed_prediction(count=1)
    turns = torch.from_numpy(np.float32(np.concatenate([one.orient[:, None], one.pose], 1)))
    made = LIGHT(rotation_matrices(turns), torch.from_numpy(np.float32(one.betas)), torch.tensor([[0.0, 0.0, 4.0]]))
    return Predicted(
        "mesher", "street.npz", "street.jpg", "0", "strange", vertices=made.vertices.numpy(),
        joints=made.keypoints.numpy(), names=KEYPOINT_NAMES if named else None, camera=CAMERA, box=one.box,
        faces=LIGHT.faces,
    )  # fmt: skip


def run_with(person: Person, folder: Path) -> GroupStore:
    store = GroupStore(folder / "store")
    store.write_people("0", [person])
    store.write_groups("round0", "0", [make_group(np.random.default_rng(2), 3, person)])
    return store


def test_a_picture_is_found_by_its_name_or_by_the_longest_that_begins_it():
    stems = ["img", "img_1", "bus"]
    assert picture_of("a/bus.jpg", stems) == "bus" and picture_of("img_1_subj02", stems) == "img_1"
    assert picture_of("img_subj02", stems) == "img" and picture_of("imgs", stems) is None


def test_nobody_is_dropped_in_silence(person):
    far = posed_prediction(box=np.array([0.0, 0, 50, 50]), file="far.npz")
    lost = posed_prediction(image="other.jpg", file="lost.npz")
    blind = posed_prediction(box=None, file="blind.npz")
    found, unmatched = match([posed_prediction(), far, lost, blind], [person])
    assert [group_id for _, group_id in found] == [person.group_id]
    assert [(file, why[:20]) for file, _, why in unmatched] == [
        ("far.npz", "nobody of the run is"),
        ("lost.npz", "no picture of the ru"),
        ("blind.npz", "it tells neither box"),
    ]


def test_a_shift_undoes_another_cameras_focal_length(person):
    """A flat body looks the same at twice the depth through a lens twice as long."""
    flat = np.array([[[0.2, 0.1, 4.0], [-0.3, 0.4, 4.0], [0.1, -0.5, 4.0]]], np.float32)
    theirs = np.array([person.camera[0] / 2, person.camera[1] / 2, *person.camera[2:]])
    shift, off = moves(flat, posed_prediction(camera=theirs), person)
    np.testing.assert_allclose(shift, [[0, 0, 4.0]], atol=1e-5)
    assert off < 1e-3
    same, none = moves(flat, posed_prediction(camera=person.camera.astype(float)), person)
    assert not same.any() and none == 0


def test_poses_of_the_body_in_use_become_hypotheses_beside_ours(person, tmp_path):
    store = run_with(replace(person, camera=np.float32(CAMERA)), tmp_path)
    done = bring(store, body(), [posed_prediction(), posed_prediction("third", 1)], "both", "round0")
    assert (done.groups, done.hypotheses, done.made_by, done.meshes) == (1, 3, {"other": 2, "third": 1}, 0)
    own, group = (store.read_groups(gen, "0")[0] for gen in ("round0", "both"))
    assert group.made_by[:3] == (f"ours {own.model_digest}",) * 3 and group.made_by[3:] == ("other", "other", "third")
    np.testing.assert_array_equal(group.latents[:3], own.latents)
    one = posed_prediction()
    turns = torch.from_numpy(np.float32(np.concatenate([one.orient[:, None], one.pose], 1)))
    shape, place = (torch.from_numpy(np.float32(part)) for part in (one.betas, one.transl))
    made = LIGHT(rotation_matrices(turns), shape, place)
    np.testing.assert_allclose(group.joints[3:5], made.joints, atol=1e-5)
    np.testing.assert_allclose(surfaces(LIGHT, group)[4].vertices, made.vertices[1], atol=1e-5)
    assert np.isfinite(group.latents).all() and group.seeds[3:].tolist() == [-1] * 3
    with pytest.raises(StoreError, match="no groups of 'round7'"):
        bring(store, body(), [one], "more", "round7")
    with pytest.raises(StoreError, match="none of 1 predictions belongs to a person"):
        bring(store, body(), [posed_prediction(image="x.jpg")], "more", None)


@pytest.fixture
def meshes(person, tmp_path) -> GroupStore:
    store = run_with(replace(person, camera=np.float32(CAMERA)), tmp_path)
    bring(store, body(), [posed_prediction(count=1), mesh_prediction()], "mixed", None)
    return store


def test_another_topology_stays_a_mesh_and_is_judged_by_what_all_have(meshes):
    (group,) = meshes.read_groups("mixed", "0")
    assert group.posed.tolist() == [True, False] and group.meshes[1] is not None
    assert np.isnan(group.latents[1]).all() and np.isnan(group.joints[1, 0]).all()
    np.testing.assert_allclose(group.keypoints[1], group.keypoints[0], atol=1e-5)  # it is the same body
    drawn = draw_group(LIGHT, group)
    np.testing.assert_array_equal(drawn.silhouettes[0], drawn.silhouettes[1])
    weights = comparable({"reprojection": 1.0, "joint_limits": 1.0, "limb_lengths": 1.0}, group)
    assert weights == {"reprojection": 1.0} and finite(drawn).all()
    verdict = EvidenceCritic().judge(drawn)
    assert verdict.scores[0] == pytest.approx(verdict.scores[1])


def test_the_ranking_names_who_made_each(meshes):
    (group,) = meshes.read_groups("mixed", "0")
    meshes.write_verdicts("mixed", "c@1", "run", "0", [make_verdict(group, [40.0, 90.0], critic="c@1")])
    first, second = ranked(meshes, "mixed", "c@1", 2)
    assert (first.made_by, first.rank, first.score) == ("mesher", 1, 90.0) and second.made_by == "other"


def test_errors_of_a_mesh_are_taken_over_the_joints_that_it_tells(meshes):
    """Its own points three metres away: no error, over 12 of 14 joints, about the middle of the hips."""
    (group,) = meshes.read_groups("mixed", "0")
    pose, mesh = torch.from_numpy(group.joints)
    true = (mesh.where(mesh.isfinite(), pose) + torch.tensor([0.0, 0.0, 3.0]))[None]
    errors, told = hypothesis_errors(group, true)
    np.testing.assert_allclose(errors[:, 1], 0, atol=1e-2)
    assert told.tolist() == [14, 12] and (errors[:, 0] > 1).all()
    true[:, EVAL_14[6]] += torch.tensor([0.0, 0.024, 0.0])  # the right wrist by 24 mm: 24 / 12 in the mean
    assert hypothesis_errors(group, true)[0][0, 1] == pytest.approx(2.0, abs=1e-2)


def test_meshes_cannot_be_trained_on(meshes):
    with pytest.raises(TrainError, match=r"meshes without a pose \(of mesher\)"):
        _check(meshes.read_groups("mixed", "0"), GroupsWanted("mixed", "c@1"))


def test_what_has_neither_pose_nor_key_points_says_so(person, tmp_path):
    store = run_with(person, tmp_path)
    done = bring(store, body(), [posed_prediction(), mesh_prediction(named=False)], "some", None)
    assert done.hypotheses == 2 and "names no key points" in done.unmatched[0][2]
    foreign = posed_prediction(topology="smpl")
    with pytest.raises(StoreError, match=r"parameters of 'smpl'.*give the run that body"):
        bring(store, body(), [foreign], "none", None)


def test_regressors_of_a_mesh_are_those_of_the_posed_body():
    """At rest, where skinning moves nothing."""
    arrays, rest = load_arrays(), torch.zeros(1, 24, 3)
    made = LIGHT(rotation_matrices(rest), torch.zeros(1, 10), torch.tensor([[0.0, 0.0, 4.0]]))
    np.testing.assert_allclose(joints_of_mesh(arrays, made.vertices.numpy()), made.joints, atol=1e-5)
    np.testing.assert_allclose(keypoints_of_mesh(arrays, made.vertices.numpy()), made.keypoints, atol=1e-5)
    assert project(made.joints.numpy(), CAMERA).shape == (1, 29, 2)


# --- groups and pairs of GPA-HMR and ADHMR --------------------------------------------------------------------------


def preference_file(person: Person, folder: Path, scale: float) -> tuple[Path, np.ndarray]:
    """Three bodies as their exporter writes them, in a crop of its own; and their true joints, metres."""
    one = posed_prediction(count=3, betas=np.zeros((3, 10)))
    turns = torch.from_numpy(np.float32(np.concatenate([one.orient[:, None], one.pose], 1)))
    rotations, place = rotation_matrices(turns), torch.from_numpy(np.float32(one.transl))
    rest = LIGHT.rest_joints(torch.zeros(3, 10))
    crop = torch.tensor([640.0, 370.0, 640.0])
    vectors = encode(rotations, place, rest, torch.from_numpy(person.camera).expand(3, -1), crop.expand(3, -1))
    vectors = vectors.numpy() / DATA_SCALE
    size = 640 / 256
    group = {
        "img_path": "street.jpg", "img_idx": 4, "pred_joints_uvd_29": scale * vectors[:, :87].reshape(3, 29, 3),
        "pred_twist": vectors[:, 87:].reshape(3, 23, 2), "score": np.array([0.1, 0.9, 0.5]),
        "trans_inv": np.array([[size, 0, 320.0], [0, size, 50.0]]), "mpjpe": np.zeros(3),
    }  # fmt: skip
    np.savez(folder / "groups.npz", grpo_pair_list=np.array([group, group | {"img_path": "nowhere.jpg"}], object))
    return folder / "groups.npz", LIGHT.points(rotations, torch.zeros(3, 10), place).joints.numpy()


@pytest.mark.parametrize("scale", [0.5, 1.0])
def test_groups_of_gpa_hmr_are_posed_as_they_were(person, tmp_path, scale):
    """u, v from -0.5 to 0.5 as their exporter writes them, or from -1 to 1."""
    person = replace(person, camera=np.float32(CAMERA))
    path, joints = preference_file(person, tmp_path, scale)
    found, lost = as_predictions(LIGHT, read_preferences(path), [person], "gpa")
    assert [(one.model, len(one), one.scores.tolist()) for one in found] == [("gpa", 3, [0.1, 0.9, 0.5])]
    assert lost == [("nowhere.jpg", "4", "no picture of the run is called 'nowhere'")]
    store = run_with(person, tmp_path)
    assert bring(store, body(), found, "theirs", None).made_by == {"gpa": 3}
    (group,) = store.read_groups("theirs", "0")
    about, true = (points - points[:, :1] for points in (group.joints, joints))
    assert 1000 * np.linalg.norm(about - true, axis=-1).max() < 1.0
    assert np.abs(project(group.joints, CAMERA) - project(joints, CAMERA)).max() < 1.0


def test_a_crop_that_is_not_told_or_turned_is_refused(person, tmp_path):
    (one, *_) = read_preferences(preference_file(person, tmp_path, 0.5)[0])
    assert crop_of(one).tolist() == [640, 370, 640]
    turned = np.array([[0.0, -1, 9], [1, 0, 9]])
    for wrong, said in (
        (replace(one, to_picture=None), "does not tell its crop"), (replace(one, to_picture=turned), "is turned"),
        (replace(one, joints=256 * one.joints), "shares of it are expected"),
    ):  # fmt: skip
        found, ((_, _, why),) = as_predictions(LIGHT, [wrong], [person], "gpa")
        assert not found and said in why
