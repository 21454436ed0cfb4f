"""Each adapter gives back the people that were written in its format: pixels, metres, rotations, camera frame."""

import json
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from storage.sources import SourceError
from storage.sources.adapter import Choice, box_of_scale, human36m_names, metres, to_camera
from storage.sources.catalogue import KINDS, read_source
from storage.sources.joint_sets import COCO_17, HUMANDATA_190, SPIN_24
from storage.sources.plausible import refuse_implausible
from storage.sources.record import Batch, batch_table
from tests.people_files import REST, WRITERS, coco, mpii_mat, pw3d
from tests.people_scene import Scene, people_scene, projected

NEEDS = {"human36m": "cdflib", "dna_rendering": "h5py"}
COUNT = 6


def pelvis(model: str, gender: str, betas: np.ndarray) -> np.ndarray:
    return np.tile(REST, (len(betas), 1))


CHOICE = Choice(pelvis=pelvis)


def scene_for(name: str) -> Scene:
    """The scene as the format can show it: some have one camera for all."""
    scene = people_scene(COUNT, 3)
    if not WRITERS[name].one_camera:
        return scene
    camera = np.repeat(scene.camera[:1], COUNT, 0)
    return replace(scene, camera=camera, pixels={key: projected(one, camera) for key, one in scene.joints.items()})


def imported(name: str, folder: Path, choice: Choice = CHOICE) -> tuple[Scene, Batch]:
    if name in NEEDS:
        pytest.importorskip(NEEDS[name])
    scene = scene_for(name)
    batch = next(iter(read_source(name, WRITERS[name].write(scene, folder), choice)))
    refuse_implausible(batch)
    assert len(batch_table(batch, name)) == len(batch)
    return scene, batch


def test_every_name_has_a_fixture():
    assert set(KINDS) == set(WRITERS)


@pytest.mark.parametrize("name", KINDS)
def test_round_trip(tmp_path, name):
    scene, batch = imported(name, tmp_path)
    held, labels = batch.columns, WRITERS[name].labels
    assert len(batch) == COUNT
    assert {"kp2d", "kp3d", "body_pose", "global_orient", "transl", "K", "T_cam_world"} & held.keys() >= {
        {"pose": "body_pose", "root": "global_orient", "camera": "K", "kp3d_rooted": "kp3d", "world": "T_cam_world"}
        .get(label, label) for label in labels - {"box"}
    }  # fmt: skip
    if "kp2d" in labels and name != "gta_human2":
        want = scene.flat(held["kp2d_names"].split(","))
        np.testing.assert_allclose(held["kp2d"], want, atol=1e-3)
    if "kp3d" in held:
        names = held["kp3d_names"].split(",")
        root = scene.space(["pelvis"]) if held["kp3d_root"] else 0.0
        np.testing.assert_allclose(held["kp3d"], scene.space(names) - root, atol=2e-6)
        assert bool(held["kp3d_root"]) == ("kp3d_rooted" in labels)
    if "kp3d" in labels and "kp2d" in labels:  # points in space land on the file's own pixels
        seen = np.einsum("nij,nkj->nki", held["K"].astype(float), held["kp3d"].astype(float))
        want = np.stack(
            [held["kp2d"][:, held["kp2d_names"].split(",").index(one)] for one in ("left_knee", "left_ankle")], 1
        )
        took = [held["kp3d_names"].split(",").index(one) for one in ("left_knee", "left_ankle")]
        got = (seen[..., :2] / seen[..., 2:])[:, took]
        np.testing.assert_allclose(got, want, atol=1e-3)
    if "pose" in labels:
        joints = held["body_pose"].reshape(COUNT, -1, 3)
        np.testing.assert_allclose(joints, scene.pose[:, : joints.shape[1]], atol=1e-5)
    if "root" in labels:
        turns = Rotation.from_rotvec(held["global_orient"]).inv() * Rotation.from_rotvec(scene.orient)
        assert turns.magnitude().max() < 1e-5
    if "transl" in labels:
        rest = {"smplx": [0, -0.35, 0.01], "smpl": REST}[np.ravel(held["model_type"])[0]]
        rest = REST if name == "dna_rendering" else [0, -0.35, 0.01] if name == "humandata" else rest
        np.testing.assert_allclose(held["transl"] + np.array(rest), scene.transl, atol=1e-5)
    if "camera" in labels and name != "gta_human2":
        np.testing.assert_allclose(held["K"], scene.camera, rtol=1e-5)
    if "box" in labels and name not in ("coco", "humandata", "coco-smpl", "flatlist"):
        centre, side = scene.squares()
        np.testing.assert_allclose(held["bbox_xywh"][:, :2] + held["bbox_xywh"][:, 2:] / 2, centre, atol=1e-3)
        np.testing.assert_allclose(held["bbox_xywh"][:, 2], side, rtol=1e-5)
    elif "box" in labels:
        np.testing.assert_allclose(held["bbox_xywh"], scene.boxes(), atol=1e-3)


@pytest.mark.parametrize("name", ["humandata", "spin", "coco", "flatlist", "amass", "hi4d"])
def test_a_stride_takes_every_so_many(tmp_path, name):
    whole = imported(name, tmp_path)[1]
    some = next(iter(read_source(name, next_path(tmp_path, name), Choice(stride=4, pelvis=pelvis))))
    assert some.columns["source_row"].tolist() == whole.columns["source_row"][::4].tolist()
    assert some.columns["sample_id"] == whole.columns["sample_id"][::4]


def next_path(folder: Path, name: str) -> Path:
    return folder if name == "hi4d" else next(path for path in folder.iterdir() if path.is_file())


def test_a_world_is_turned_about_the_pelvis():
    """R_root' = R R_root, t' = R (j0 + t) + T - j0, against points that are posed and moved one by one."""
    rng = np.random.default_rng(0)
    points, rest = rng.normal(size=(5, 3)), rng.normal(size=(1, 3))
    root, transl = rng.normal(size=(1, 3)), rng.normal(size=(1, 3))
    world = np.eye(4)[None].copy()
    world[0, :3, :3], world[0, :3, 3] = Rotation.random(rng=rng).as_matrix(), rng.normal(size=3)

    def posed(turn, shift):  # SMPL: about the pelvis, then moved
        return (points - rest) @ Rotation.from_rotvec(turn[0]).as_matrix().T + rest + shift

    want = posed(root, transl) @ world[0, :3, :3].T + world[0, :3, 3]
    np.testing.assert_allclose(posed(*to_camera(root, transl, world, rest)), want, atol=1e-5)
    assert np.isnan(to_camera(root, transl, world, None)[1]).all()


def test_units_are_told_apart():
    boxes, details = box_of_scale(np.array([[100.0, 80.0]]), np.array([0.5]))
    assert boxes.tolist() == [[50, 30, 100, 100]] and "200" in details
    assert box_of_scale(np.array([[100.0, 80.0]]), np.array([100.0]))[0].tolist() == [[50, 30, 100, 100]]
    points = np.array([[[0.0, 0.1, 3.0]]])
    assert metres(1000 * points, "S") == (pytest.approx(points), ("S: mm to m",))
    assert metres(points, "S")[1] == ()


def test_3dpw_without_bodies_leaves_the_translation_out(tmp_path):
    path = pw3d(scene_for("3dpw"), tmp_path)
    batch = next(iter(read_source("3dpw", path, Choice())))
    assert np.isnan(batch.columns["transl"]).all() and any("--bodies" in details for details in batch.converted)
    assert batch.columns["valid_eval"].tolist() == [k % 4 != 1 for k in range(COUNT)]
    assert batch.columns["gender"] == ["male"] * COUNT and batch.columns["split"] == "test"


def test_3dpw_takes_the_pelvis_from_joint_positions(tmp_path):
    scene = scene_for("3dpw")
    path = pw3d(scene, tmp_path)
    file = path / "test" / "downtown_walk_00.pkl"
    held = pickle.loads(file.read_bytes())
    held["jointPositions"] = [np.repeat((held["trans"][0] + REST)[:, None], 24, 1).reshape(-1, 72)]
    file.write_bytes(pickle.dumps(held, protocol=2))
    batch = next(iter(read_source("3dpw", path, Choice())))
    np.testing.assert_allclose(batch.columns["transl"] + REST, scene.transl, atol=1e-5)


def test_coco_keeps_flags_and_counts_whom_it_leaves_out(tmp_path):
    path = coco(scene_for("coco"), tmp_path)
    held = json.loads(path.read_text())
    held["annotations"][0]["keypoints"][-3:] = [0, 0, 0]  # no right ankle
    held["annotations"][1]["keypoints"][2] = 1  # a hidden nose
    held["annotations"][2]["iscrowd"] = 1
    held["annotations"][3]["keypoints"] = [0] * 51
    path.write_text(json.dumps(held))
    (batch,) = read_source("coco", path, Choice())
    assert batch.skipped == {"crowds": 1, "without a point": 1} and len(batch) == COUNT - 2
    assert batch.columns["kp2d_vis"][0].tolist() == [2] * 16 + [0] and batch.columns["kp2d_vis"][1][0] == 1
    assert batch.columns["kp2d_conf"][0].tolist() == [1] * 16 + [0]
    assert batch.columns["kp2d_names"] == ",".join(COCO_17)


def test_mpii_counts_pixels_from_one_and_may_not_know_who_is_hidden(tmp_path):
    scene = people_scene(COUNT, 3)
    (batch,) = read_source("mpii", mpii_mat(scene, tmp_path), Choice())
    np.testing.assert_allclose(batch.columns["kp2d"], scene.flat(batch.columns["kp2d_names"].split(",")), atol=1e-3)
    assert set(batch.columns["kp2d_vis"][0]) == {2} and set(batch.columns["kp2d_vis"][1]) == {-1}
    centre, _ = scene.squares()
    np.testing.assert_allclose(
        batch.columns["bbox_xywh"][:, :2] + batch.columns["bbox_xywh"][:, 2:] / 2, centre, atol=1e-3
    )


def test_close_ups_of_bedlam_lie_on_their_side(tmp_path):
    path = WRITERS["bedlam"].write(people_scene(2, 3), tmp_path)
    path.rename(tmp_path / "20221011_1_250_batch01hand_closeup_suburb_a.npz")
    (batch,) = read_source("bedlam", next(tmp_path.glob("*.npz")), Choice())
    assert batch.columns["image_rotate90"].tolist() == [1, 1]


def test_hands_of_components_need_the_users_mano(tmp_path):
    _, batch = imported("gta_human2", tmp_path)
    assert "left_hand" not in batch.columns and any("MANO" in details for details in batch.converted)
    mano = {side: np.ones((45, 45)) for side in ("left", "right")}
    (batch,) = read_source("gta_human2", tmp_path, Choice(hand_components=mano))
    assert batch.columns["left_hand"].shape == (COUNT, 15, 3)


def test_contacts_are_what_is_above_zero(tmp_path):
    _, batch = imported("hi4d", tmp_path)
    assert batch.columns["contact"] == [[7]] * COUNT
    assert batch.columns["camera_id"] == ["4"] * COUNT


def test_the_second_test_set_of_3dhp_has_valid_frames(tmp_path):
    h5py = pytest.importorskip("h5py")
    scene = people_scene(COUNT, 3)
    (tmp_path / "TS1").mkdir()
    from storage.sources.joint_sets import MPI_INF_3DHP_17

    with h5py.File(tmp_path / "TS1" / "annot_data.mat", "w") as file:
        file["annot2"] = scene.flat(MPI_INF_3DHP_17)[:, None]
        file["annot3"] = file["univ_annot3"] = 1000 * scene.space(MPI_INF_3DHP_17)[:, None]
        file["valid_frame"] = np.array([[1, 0, 1, 1, 1, 1]])
        file["activity_annotation"] = np.array([[1, 2, 3, 4, 5, 7]])
    (batch,) = read_source("mpi_inf_3dhp", tmp_path, Choice())
    assert batch.columns["valid_eval"].tolist() == [True, False, True, True, True, True]
    assert batch.columns["image_path"][0] == "TS1/imageSequence/img_000001.jpg"
    assert batch.columns["activity"][4] == "on the floor" and batch.columns["kp3d_scale"] == "universal"
    np.testing.assert_allclose(batch.columns["kp3d"], scene.space(MPI_INF_3DHP_17), atol=1e-6)


def test_mpii_as_hdf5(tmp_path):
    h5py = pytest.importorskip("h5py")
    scene = people_scene(COUNT, 3)
    from storage.sources.joint_sets import MPII_16

    centre, side = scene.squares()
    names = np.array([list(f"{k:09d}.jpg".encode()) for k in range(COUNT)], np.float64)
    points = scene.flat(MPII_16)
    points[0, 0] = 0
    with h5py.File(tmp_path / "valid.h5", "w") as file:
        file["imgname"], file["part"], file["center"], file["scale"] = names, points, centre, side / 200
    (batch,) = read_source("mpii", tmp_path / "valid.h5", Choice())
    assert batch.columns["image_path"][1] == "000000001.jpg" and batch.columns["kp2d_vis"][0][0] == 0


def test_frames_of_instavariety_as_json(tmp_path):
    from storage.sources.joint_sets import INSTAVARIETY_25

    scene = people_scene(2, 3)
    folder = tmp_path / "dance" / "abc" / "0"
    folder.mkdir(parents=True)
    for k in range(2):
        x, y = scene.flat(INSTAVARIETY_25)[k].T.tolist()
        frame = {"frame": 10 + k, "imloc": f"{11 + k:06d}.png", "track_id": 0, "bbox": [0, 0, 1, 1],
                 "keypoints": {"x": x, "y": y, "logits": [1] * 25, "probability": [0.5] * 25}}  # fmt: skip
        (folder / f"{k}.json").write_text(json.dumps(frame))
    (batch,) = read_source("instavariety", tmp_path, Choice())
    np.testing.assert_allclose(batch.columns["kp2d"], scene.flat(INSTAVARIETY_25), atol=1e-3)
    assert batch.columns["image_path"] == ["dance/abc/0/000011.png", "dance/abc/0/000012.png"]
    assert batch.columns["frame_index"].tolist() == [10, 11] and (batch.columns["kp2d_conf"] == 0.5).all()


def test_rows_that_a_spin_file_has_no_body_for(tmp_path):
    path = WRITERS["spin"].write(people_scene(COUNT, 3), tmp_path)
    held = dict(np.load(path))
    held["has_smpl"][1] = 0
    held["S"][2, :, 3] = 0
    np.savez(path, **held)
    (batch,) = read_source("spin", path, Choice())
    made = batch_table(batch, "spin")
    assert [made[name].is_null().to_pylist()[1] for name in ("body_pose", "betas", "model_type")] == [True] * 3
    assert made["kp3d"].is_null().to_pylist() == [False, False, True, False, False, False]
    assert batch.columns["kp3d_names"] == ",".join(SPIN_24)


def test_the_slots_of_humandata_are_where_they_should_be():
    places = {"pelvis": 0, "left_thumb_3": 39, "nose": 55, "right_heel": 65, "left_thumb": 66, "right_hip_extra": 144,
              "nose_openpose": 153, "right_heel_openpose": 177, "right_hand": 189}  # fmt: skip
    assert {name: HUMANDATA_190.index(name) for name in places} == places


# --- refusals -----------------------------------------------------------------------------------------------


def refusal(name: str, path: Path, choice: Choice = CHOICE) -> str:
    with pytest.raises(SourceError) as caught:
        for batch in read_source(name, path, choice):
            refuse_implausible(batch)
    details = str(caught.value)
    assert str(path) in details and "\n" not in details
    return details


def test_an_unknown_key_is_refused_unless_it_is_passed_over(tmp_path):
    path = WRITERS["spin"].write(people_scene(COUNT, 3), tmp_path)
    held = dict(np.load(path))
    np.savez(path, **held, shapes=held["shape"])
    details = refusal("spin", path)
    assert "'shapes'" in details and "Did you mean 'shape'?" in details and "--ignore shapes" in details
    assert len(next(iter(read_source("spin", path, Choice(ignore=frozenset({"shapes"})))))) == COUNT


def test_a_missing_key_and_a_wrong_shape_name_what_was_expected(tmp_path):
    path = WRITERS["bedlam"].write(people_scene(COUNT, 3), tmp_path)
    held = dict(np.load(path))
    np.savez(path, **{key: value for key, value in held.items() if key != "trans_cam"})
    assert "'trans_cam'" in refusal("bedlam", path)
    np.savez(path, **held | {"pose_cam": held["pose_cam"][:, :72]})
    details = refusal("bedlam", path)
    assert f"'pose_cam': found shape ({COUNT}, 72); expected ({COUNT}, 165)" in details


def test_matrices_that_are_no_rotations_are_refused(tmp_path):
    path = WRITERS["eft"].write(people_scene(COUNT, 3), tmp_path)
    held = json.loads(path.read_text())
    held["data"][0]["parm_pose"][3] = [[1, 2, 0], [0, 1, 0], [0, 0, 1]]
    path.write_text(json.dumps(held))
    assert "no rotations" in refusal("eft", path)


def test_pictures_stay_in_their_folder(tmp_path):
    path = WRITERS["spin"].write(people_scene(COUNT, 3), tmp_path)
    held = dict(np.load(path))
    held["imgname"] = np.array(["../../secret.jpg"] * COUNT)
    np.savez(path, **held)
    assert "secret" in refusal("spin", path)


def test_files_that_are_something_else_are_told_what_they_are(tmp_path):
    """OpenPose's json, a lone array, Human3.6M's table of cameras: what a user may take for a dataset's file."""
    (tmp_path / "a_keypoints.json").write_text(json.dumps({"version": 1.3, "people": []}))
    assert "NAME_keypoints.json beside NAME.jpg" in refusal("coco", tmp_path / "a_keypoints.json")
    np.save(tmp_path / "poses.npy", np.zeros((8, 165)))
    assert "It is a single array" in refusal("amass", tmp_path / "poses.npy")
    (tmp_path / "metadata.xml").write_text("<data><w0>[1 2]</w0></data>")
    assert "Give the folder with the subjects" in refusal("human36m", tmp_path / "metadata.xml")


def test_names_of_human36m_s_pictures_tell_subject_camera_and_frame():
    spin = human36m_names(["images/S9_Directions_1.54138969_000001.jpg", "S11_Walking 1.60457274_000021.jpg"])
    assert spin["subject_id"] == ["S9", "S11"] and spin["camera_id"] == ["54138969", "60457274"]
    assert spin["frame_index"].tolist() == [0, 20]
    hybrik = human36m_names(["s_09_act_02_subact_01_ca_04/s_09_act_02_subact_01_ca_04_000001.jpg"])
    assert hybrik == {"subject_id": ["S9"], "camera_id": ["60457274"]}
    assert human36m_names(["clip/00001.jpg"]) == human36m_names([]) == {}


class Hostile:
    def __reduce__(self):
        return print, ("run",)


@pytest.mark.parametrize("name", ["3dpw", "up3d", "smplify-x"])
def test_a_pickle_with_a_program_is_refused_by_name(tmp_path, capsys, name):
    path = WRITERS[name].write(scene_for(name), tmp_path)
    file = next(iter(sorted(path.rglob("*.pkl"))))
    file.write_bytes(pickle.dumps({"poses": Hostile()}, protocol=2))
    with pytest.raises(SourceError, match="print"):
        list(read_source(name, path, CHOICE))
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("name", sorted(set(WRITERS) - set(NEEDS)))
def test_a_file_that_is_cut_short_is_refused(tmp_path, name):
    path = WRITERS[name].write(scene_for(name), tmp_path)
    files = [file for file in sorted(path.rglob("*")) if file.is_file()] if path.is_dir() else [path]
    for file in files:
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(SourceError):
        list(read_source(name, path, CHOICE))


@pytest.mark.parametrize("name", KINDS)
def test_nothing_at_a_path_is_told(tmp_path, name):
    path = tmp_path / ("none.mat" if name == "mpii" else "none")
    with pytest.raises(SourceError, match="none"):
        list(read_source(name, path, CHOICE))


@pytest.mark.parametrize("name", ["bedlam", "prohmr", "spin", "spec"])
def test_arrays_of_other_lengths_are_refused_before_a_row_is_read(tmp_path, name):
    path = WRITERS[name].write(scene_for(name), tmp_path)
    file = path if path.is_file() else next(path.glob("*.npz"))
    with np.load(file) as held:
        arrays = {key: held[key] for key in held.files}
    np.savez(file, **{**arrays, "scale": arrays["scale"][:-1]})
    with pytest.raises(SourceError, match=r"'scale': found shape .*expected \d+ rows, as 'imgname' has"):
        next(iter(read_source(name, file, CHOICE)))


@pytest.mark.parametrize("path", ["/etc/passwd", "a/../../b.jpg", "..\\b.jpg", "C:\\b.jpg", "\\\\host\\b.jpg", ""])
@pytest.mark.parametrize("name", ["coco", "mpii"])
def test_a_picture_s_path_stays_in_the_folder_of_pictures(tmp_path, name, path):
    scene = people_scene(2, 3)
    if name == "coco":
        file = coco(scene, tmp_path)
        held = json.loads(file.read_text())
        held["images"][0]["file_name"] = path
    else:
        file = tmp_path / "mpii.json"
        held = [{"image": path, "joints": [[9.0, 9.0]] * 16, "joints_vis": [1] * 16, "center": [9, 9], "scale": 1.0}]
    file.write_text(json.dumps(held))
    with pytest.raises(SourceError, match="expected a path within the folder of pictures, relative to it"):
        list(read_source(name, file, Choice()))
