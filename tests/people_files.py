"""Writes people of a scene in the layouts of datasets and of researchers' files. Each writer returns what to import.

`WRITERS` holds, for each adapter, the writer and the labels that its format has.
"""

import json
import pickle
import struct
import tarfile
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.io import savemat
from scipy.spatial.transform import Rotation

from storage.sources import joint_sets as sets
from tests.people_scene import SIZE, Scene, to_world

REST = np.array([0.01, -0.22, 0.03])
"""Where these files' bodies have their pelvis at rest."""


def _with(points: np.ndarray, last: float = 1.0) -> np.ndarray:
    return np.concatenate([points, np.full((*points.shape[:-1], 1), last)], -1)


def _names(scene: Scene) -> np.ndarray:
    return np.array([f"clip/{k:05d}.jpg" for k in range(len(scene))])


def _pose72(scene: Scene) -> np.ndarray:
    return np.concatenate([scene.orient[:, None], scene.pose], 1).reshape(len(scene), 72)


def _about_pelvis(points: np.ndarray, pelvis: np.ndarray) -> np.ndarray:
    return points - pelvis[:, None]


def humandata(scene: Scene, folder: Path) -> Path:
    """With SMPL-X, all 190 slots compressed to those in use."""
    count = len(scene)
    used = [k for k, name in enumerate(sets.HUMANDATA_190) if name in scene.joints]
    mask = np.zeros(190, np.uint8)
    mask[used] = 1
    names = [sets.HUMANDATA_190[k] for k in used]
    fields = {
        "image_path": _names(scene),
        "bbox_xywh": _with(scene.boxes()),
        "keypoints2d_smplx": _with(scene.flat(names)),
        "keypoints2d_smplx_mask": mask,
        "keypoints3d_smplx": _with(scene.space(names)),
        "keypoints3d_smplx_mask": mask,
        "smplx": {
            "global_orient": scene.orient.astype(np.float32),
            "body_pose": scene.pose[:, :21].astype(np.float32),
            "betas": scene.betas.astype(np.float32),
            "transl": (scene.transl - [0, -0.35, 0.01]).astype(np.float32),
        },
        "meta": {
            "focal_length": [tuple(m[[0, 1], [0, 1]]) for m in scene.camera],
            "principal_point": [tuple(m[:2, 2]) for m in scene.camera],
            "width": [SIZE[0]] * count,
            "height": [SIZE[1]] * count,
            "gender": ["neutral"] * count,
        },
        "__keypoints_compressed__": np.array(True),
        "__data_len__": np.array(count),
    }
    np.savez(folder / "people.npz", **fields)
    return folder / "people.npz"


def spin(scene: Scene, folder: Path) -> Path:
    centre, side = scene.squares()
    space = _about_pelvis(scene.space(sets.SPIN_24), scene.space(["pelvis"])[:, 0])
    np.savez(
        folder / "spin.npz", imgname=_names(scene), center=centre, scale=side / 200,
        part=_with(scene.flat(sets.SPIN_24)), S=_with(space), pose=_pose72(scene), shape=scene.betas,
        has_smpl=np.ones(len(scene)), gender=np.array(["m"] * len(scene)),
    )  # fmt: skip
    return folder / "spin.npz"


def bedlam(scene: Scene, folder: Path) -> Path:
    count = len(scene)
    centre, side = scene.squares()
    pose = np.zeros((count, 165))
    pose[:, :66] = _pose72(scene)[:, :66]
    outer = scene.world.copy()
    np.savez(
        folder / "scene.npz", imgname=_names(scene), center=centre, scale=side / 200, pose_cam=pose,
        pose_world=pose, shape=np.pad(scene.betas, ((0, 0), (0, 1))), trans_world=np.zeros((count, 3)),
        trans_cam=scene.transl - [0, -0.35, 0.01] - outer[:, :3, 3], cam_int=scene.camera, cam_ext=outer,
        gtkps=scene.flat((*sets.SMPLX_22, *["pelvis"] * 33)), gender=np.array(["neutral"] * count),
        sub=np.array(["rp_a"] * count),
    )  # fmt: skip
    return folder / "scene.npz"


def prohmr(scene: Scene, folder: Path) -> Path:
    count = len(scene)
    centre, side = scene.squares()
    space = _about_pelvis(scene.space(sets.HMR2_44), scene.space(["pelvis"])[:, 0])
    np.savez(
        folder / "eval.npz", imgname=_names(scene).astype("S"), center=centre, scale=side, body_pose=_pose72(scene),
        betas=scene.betas, has_body_pose=np.ones(count), has_betas=np.ones(count),
        body_keypoints_2d=_with(scene.flat(sets.HMR2_44[:25])), extra_keypoints_2d=_with(scene.flat(sets.PROHMR_19)),
        body_keypoints_3d=_with(space[:, :25]), extra_keypoints_3d=_with(space[:, 25:]), personid=np.arange(count),
    )  # fmt: skip
    return folder / "eval.npz"


def hmr2(scene: Scene, folder: Path) -> Path:
    centre, side = scene.squares()
    space = _about_pelvis(scene.space(sets.HMR2_44), scene.space(["pelvis"])[:, 0])
    flat, pose = _with(scene.flat(sets.HMR2_44)), _pose72(scene)
    with tarfile.open(folder / "000000.tar", "w") as archive:
        for k in range(len(scene)):
            person = {
                "keypoints_2d": flat[k].astype(np.float32), "keypoints_3d": _with(space)[k].astype(np.float32),
                "center": centre[k], "scale": np.array([side[k], side[k]]) / 200, "body_pose": pose[k],
                "betas": scene.betas[k], "extra_info": {"source": "made up"},
            }  # fmt: skip
            content = pickle.dumps([person], protocol=2)
            for suffix, held in ((".jpg", b"no picture"), (".data.pyd", content)):
                info = tarfile.TarInfo(f"clip_{k:05d}{suffix}")
                info.size = len(held)
                archive.addfile(info, BytesIO(held))
    return folder / "000000.tar"


def coco_smpl(scene: Scene, folder: Path) -> Path:
    """3DPW's test file of the HybrIK line: joints in metres."""
    images, notes = [], []
    space, h36m, boxes = scene.space(sets.SMPL_24), scene.space(sets.H36M_17), scene.boxes()
    flat = scene.flat(sets.SMPL_24)
    for k in range(len(scene)):
        camera = scene.camera[k]
        images.append({
            "id": k, "file_name": f"image_{k:05d}.jpg", "sequence": "downtown", "width": SIZE[0], "height": SIZE[1],
            "cam_param": {"focal": camera[[0, 1], [0, 1]].tolist(), "princpt": camera[:2, 2].tolist()},
        })  # fmt: skip
        notes.append({
            "id": k, "image_id": k, "bbox": boxes[k].tolist(), "smpl_joint_cam": space[k].tolist(),
            "h36m_joints": h36m[k].tolist(), "smpl_joint_img": flat[k].tolist(),
            "smpl_param": {"pose": _pose72(scene)[k].tolist(), "shape": scene.betas[k].tolist(), "trans": [0, 0, 0]},
        })  # fmt: skip
    return _json(folder / "3DPW_test.json", {"images": images, "annotations": notes})


def flatlist(scene: Scene, folder: Path) -> Path:
    boxes, space = scene.boxes(), scene.space(sets.SMPL_29)
    corners = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], 1)
    flat = np.concatenate([scene.flat(sets.SMPL_29), space[..., 2:] - space[:, :1, 2:]], -1)
    people = [
        {
            "img_path": f"train2017/{k:012d}.jpg", "bbox": corners[k].tolist(), "width": SIZE[0], "height": SIZE[1],
            "f": scene.camera[k][[0, 1], [0, 1]].tolist(), "c": scene.camera[k][:2, 2].tolist(),
            "joint_cam_29": (1000 * space[k]).tolist(), "joint_img_29": flat[k].tolist(), "joint_cam_valid": 1,
            "smpl_param": {"pose": _pose72(scene)[k].tolist(), "shape": scene.betas[k].tolist(), "trans": [0, 0, 0]},
        }
        for k in range(len(scene))
    ]  # fmt: skip
    return _json(folder / "process_db_coco.json", people)


def eft(scene: Scene, folder: Path) -> Path:
    names = (*sets.HMR2_44[:25], *sets.SPIN_24)
    centre, side = scene.squares()
    matrices = Rotation.from_rotvec(_pose72(scene).reshape(-1, 3)).as_matrix().reshape(-1, 24, 3, 3)
    flat = _with(scene.flat(names))
    people = [
        {
            "parm_pose": matrices[k].tolist(), "parm_shape": scene.betas[k].tolist(), "parm_cam": [1, 0, 0],
            "bbox_scale": side[k] / 200, "bbox_center": centre[k].tolist(), "gt_keypoint_2d": flat[k].tolist(),
            "imageName": f"train2014/COCO_train2014_{k:012d}.jpg", "annotId": k, "smpltype": "smpl",
        }
        for k in range(len(scene))
    ]  # fmt: skip
    return _json(folder / "eft.json", {"ver": 0.1, "data": people})


def smplify_x(scene: Scene, folder: Path) -> Path:
    for k in range(len(scene)):
        person = {
            "camera_rotation": np.eye(3, dtype=np.float32)[None], "body_pose": scene.pose[k : k + 1, :21].reshape(1,
            63),
            "camera_translation": scene.transl[k : k + 1] - [0, -0.35, 0.01], "betas": scene.betas[k : k + 1],
            "global_orient": scene.orient[k : k + 1], "left_hand_pose": np.zeros((1, 12)), "jaw_pose": np.zeros((1, 3)),
            "right_hand_pose": np.zeros((1, 12)), "leye_pose": np.zeros((1, 3)), "reye_pose": np.zeros((1, 3)),
            "expression": np.zeros((1, 10)),
        }  # fmt: skip
        (folder / "results" / f"{k:05d}").mkdir(parents=True)
        person = {key: np.asarray(value, np.float32) for key, value in person.items()}
        (folder / "results" / f"{k:05d}" / "000.pkl").write_bytes(pickle.dumps(person, protocol=2))
    return folder / "results"


def amass(scene: Scene, folder: Path) -> Path:
    poses = np.zeros((len(scene), 156))
    poses[:, :66] = _pose72(scene)[:, :66]
    np.savez(folder / "walk_poses.npz", poses=poses, betas=np.arange(16) / 16, trans=scene.transl,
             gender=np.array("female"), mocap_framerate=np.array(120.0), dmpls=np.zeros((len(scene), 8)))  # fmt: skip
    return folder / "walk_poses.npz"


def coco(scene: Scene, folder: Path) -> Path:
    flat, boxes = _with(scene.flat(sets.COCO_17), 2), scene.boxes()
    images = [{"id": k, "file_name": f"{k:012d}.jpg", "width": SIZE[0], "height": SIZE[1]} for k in range(len(scene))]
    notes = [
        {"id": 100 + k, "image_id": k, "iscrowd": 0, "num_keypoints": 17, "bbox": boxes[k].tolist(),
         "keypoints": flat[k].ravel().tolist(), "area": 1, "category_id": 1, "segmentation": []}
        for k in range(len(scene))
    ]  # fmt: skip
    return _json(folder / "person_keypoints_val2017.json", {"images": images, "annotations": notes, "categories": []})


def mpii(scene: Scene, folder: Path) -> Path:
    """HRNet's json."""
    centre, side = scene.squares()
    flat = scene.flat(sets.MPII_16)
    people = [
        {"image": f"{k:09d}.jpg", "center": centre[k].tolist(), "scale": side[k] / 200, "joints": flat[k].tolist(),
         "joints_vis": [1] * 16}
        for k in range(len(scene))
    ]  # fmt: skip
    return _json(folder / "train.json", people)


def mpii_mat(scene: Scene, folder: Path) -> Path:
    """The official struct: pixels from 1; of the second person the visibility is not told."""
    centre, side = scene.squares()
    flat = scene.flat(sets.MPII_16)
    notes = []
    for k in range(len(scene)):
        points = np.array(
            [(flat[k, j, 0] + 1, flat[k, j, 1] + 1, j, 1 if k != 1 else np.zeros((0, 0))) for j in range(16)],
            [("x", object), ("y", object), ("id", object), ("is_visible", object)],
        )
        rect = {"annopoints": {"point": points}, "scale": side[k] / 200,
                "objpos": {"x": centre[k, 0] + 1, "y": centre[k, 1] + 1}}  # fmt: skip
        notes.append(({"name": f"{k:09d}.jpg"}, rect))
    array = np.array(notes, [("image", object), ("annorect", object)])
    savemat(folder / "mpii.mat", {"RELEASE": {"annolist": array, "img_train": np.ones(len(scene))}})
    return folder / "mpii.mat"


def mpi_inf_3dhp(scene: Scene, folder: Path) -> Path:
    """The training layout: one camera for all frames, so the camera of the first person sees all."""
    sequence = folder / "S1" / "Seq1"
    sequence.mkdir(parents=True)
    space = scene.space(sets.MPI_INF_3DHP_28)
    flat = scene.flat(sets.MPI_INF_3DHP_28)
    cells = {name: np.empty((14, 1), object) for name in ("annot2", "annot3", "univ_annot3")}
    for k in range(14):
        rows = slice(None) if k == 0 else slice(0, 0)
        cells["annot2"][k, 0] = flat[rows].reshape(-1, 56)
        cells["annot3"][k, 0] = cells["univ_annot3"][k, 0] = 1000 * space[rows].reshape(-1, 84)
    savemat(sequence / "annot.mat", cells)
    lines = ["Skeletool Camera Calibration File V1.0"]
    for k in range(14):
        inner, outer = np.eye(4), scene.world[0].copy()
        inner[:3, :3] = scene.camera[0]
        outer[:3, 3] *= 1000
        details = [" ".join(f"{value:.9g}" for value in matrix.ravel()) for matrix in (inner, outer)]
        lines += [f"name          {k}", "  sensor      10 10", f"  size        {SIZE[0]} {SIZE[1]}", "  animated    0",
                  f"  intrinsic   {details[0]} ", f"  extrinsic   {details[1]} ", "  radial      0"]  # fmt: skip
    (sequence / "camera.calibration").write_text("\n".join(lines) + "\n")
    return folder


def up3d(scene: Scene, folder: Path) -> Path:
    """Fits before a camera of focal length 5000; the crop is twice as large as the picture's part."""
    for k in range(len(scene)):
        u, v = scene.camera[k][:2, 2]
        half = 5000 / scene.camera[k][0, 0]  # the crop's pixels for one of the picture
        height, width = 400 * half, 300 * half
        fit = {"pose": _pose72(scene)[k], "betas": scene.betas[k], "t": scene.transl[k] - REST, "f": 5000.0,
               "j2d": np.zeros((14, 2)), "trans": np.zeros(3), "rt": np.zeros(3)}  # fmt: skip
        (folder / f"{k:05d}_body.pkl").write_bytes(pickle.dumps(fit, protocol=2))
        np.save(folder / f"{k:05d}_joints.npy", _with(scene.flat(sets.LSP_14)[k]).T)
        crop = (height, width, v - 200, v + 200, u - 150, u + 150)
        (folder / f"{k:05d}_fit_crop_info.txt").write_text(" ".join(f"{value:.9g}" for value in crop))
        (folder / f"{k:05d}_quality_info.txt").write_text("high\n" if k else "low\n")
    return folder


def pw3d(scene: Scene, folder: Path) -> Path:
    """One person through a moving camera; the intrinsics of the first serve all."""
    (folder / "test").mkdir()
    root, transl = to_world(scene, np.tile(REST, (len(scene), 1)))
    held = {
        "poses": [np.concatenate([root, scene.pose.reshape(-1, 69)], 1)], "betas": [scene.betas[0]], "trans": [transl],
        "genders": ["m"], "poses2d": [_with(scene.flat(sets.PW3D_18)).swapaxes(1, 2)], "sequence": "downtown_walk_00",
        "campose_valid": [np.arange(len(scene)) % 4 != 1], "cam_poses": scene.told_world,
        "cam_intrinsics": scene.camera[0],
        "img_frame_ids": np.arange(len(scene)),
    }  # fmt: skip
    (folder / "test" / "downtown_walk_00.pkl").write_bytes(pickle.dumps(held, protocol=2))
    return folder


def hi4d(scene: Scene, folder: Path) -> Path:
    """Each frame has one person; one camera sees all."""
    action = folder / "pair00" / "dance00"
    for part in ("cameras", "smpl"):
        (action / part).mkdir(parents=True)
    one = scene.world[:1]
    back = np.swapaxes(one[:, :3, :3], 1, 2)[0]
    spaced = scene.space(sets.SMPL_24)
    root = Rotation.from_matrix(back @ Rotation.from_rotvec(scene.orient).as_matrix()).as_rotvec()
    world = (spaced - one[0, :3, 3]) @ back.T
    np.savez(action / "meta.npz", start=0, end=len(scene) - 1, num_persons=1, genders=np.array(["female"]))
    np.savez(action / "cameras" / "rgb_cameras.npz", ids=np.array([4]), intirnsics=scene.camera[:1],
             extrinsics=scene.told_world[:1, :3], dist_coeffs=np.zeros((1, 5)))  # fmt: skip
    transl = (scene.transl - one[0, :3, 3]) @ back.T
    for k in range(len(scene)):
        contact = np.zeros((1, 6890))
        contact[0, 7] = 3
        np.savez(action / "smpl" / f"{k:06d}.npz", betas=scene.betas[k : k + 1], body_pose=scene.pose[k].reshape(1, 69),
                 global_orient=root[k : k + 1], transl=transl[k : k + 1] - REST, joints_3d=world[k : k + 1],
                 contact=contact)  # fmt: skip
    return folder


def emdb(scene: Scene, folder: Path) -> Path:
    """One person through a moving camera with one lens."""
    (folder / "P1" / "05_walk" / "images").mkdir(parents=True)
    root, transl = to_world(scene, np.tile(REST, (len(scene), 1)))
    box = scene.boxes()
    held = {
        "gender": "female", "name": "P1_05_walk", "emdb1": True, "emdb2": False, "n_frames": len(scene),
        "good_frames_mask": np.arange(len(scene)) != 1, "kp2d": scene.flat(sets.SMPL_24),
        "camera": {"intrinsics": scene.camera[0], "extrinsics": scene.told_world, "width": SIZE[0], "height": SIZE[1]},
        "smpl": {"poses_root": root, "poses_body": scene.pose.reshape(-1, 69), "trans": transl,
                 "betas": scene.betas[0]},
        "bboxes": {"bboxes": np.concatenate([box[:, :2], box[:, :2] + box[:, 2:]], 1), "invalid_idxs": np.array([1])},
    }  # fmt: skip
    (folder / "P1" / "05_walk" / "P1_05_walk_data.pkl").write_bytes(pickle.dumps(held, protocol=4))
    return folder


def spec(scene: Scene, folder: Path) -> Path:
    centre, side = scene.squares()
    np.savez(
        folder / "train.npz", imgname=_names(scene), center=centre, scale=side / 200, pose_cam=_pose72(scene),
        pose_0yaw_inverseyz=_pose72(scene), shape=scene.betas, part=_with(scene.flat(sets.SPIN_24)),
        S=_with(_about_pelvis(scene.space(sets.SPIN_24), scene.space(["pelvis"])[:, 0])),
        cam_rotmat=scene.world[:, :3, :3], focal_length=scene.camera[:, 0, 0], cam_int=scene.camera,
        gender=np.array(["neutral"] * len(scene)),
    )  # fmt: skip
    return folder / "train.npz"


def gta_human2(scene: Scene, folder: Path) -> Path:
    """Seen by the game's own camera, so pixels are projected anew; a frame that is not finite, hands as components."""
    focal = 540 / np.tan(np.radians(25))
    space = scene.space(sets.GTA_100)
    fits = np.ones(len(scene), bool)
    flat = scene.flat(sets.GTA_100)
    ours = (flat - scene.camera[:, None, :2, 2]) / scene.camera[:, None, [0, 1], [0, 1]] * focal + [960, 540]
    (folder / "seq_00000000").mkdir()
    np.savez(
        folder / "seq_00000000" / "0.npz", keypoints_2d=_with(ours), keypoints_3d=_with(space), is_valid_smplx=fits,
        betas=scene.betas, body_pose=np.concatenate([scene.pose[:, :21].reshape(-1, 63), np.zeros((len(scene), 6))], 1),
        global_orient=scene.orient, transl=scene.transl - [0, -0.35, 0.01], left_hand_pose=np.zeros((len(scene), 24)),
        right_hand_pose=np.zeros((len(scene), 24)), is_male=np.array(True), fov=np.array(50.0),
    )  # fmt: skip
    return folder


def instavariety(scene: Scene, folder: Path) -> Path:
    flat = _with(scene.flat(sets.INSTAVARIETY_25))
    example = {
        "meta/N": np.array([len(scene)], np.int64),
        "image/filenames": [f"clip/{k:06d}.png".encode() for k in range(len(scene))],
        "image/heightwidths": np.tile(np.array(SIZE[::-1]), len(scene)).astype(np.int64),
        "image/xys": flat[:, :14, :2].swapaxes(1, 2).ravel(), "image/visibilities": np.ones(14 * len(scene)),
        "image/face_pts": flat[:, 14:19].swapaxes(1, 2).ravel(), "image/toe_pts": flat[:, 19:].swapaxes(1, 2).ravel(),
    }  # fmt: skip
    content = tf_example(example)
    framed = struct.pack("<Q", len(content)) + bytes(4) + content + bytes(4)
    (folder / "train_0000.tfrecord").write_bytes(framed)
    return folder


def human36m(scene: Scene, folder: Path) -> Path:
    """Needs cdflib. All frames through the camera of the first person, whose numbers stand in metadata.xml."""
    from cdflib.cdfwrite import CDF

    from storage.sources.datasets.human36m import KEPT

    features = folder / "S9" / "MyPoseFeatures"
    for part, names, width in (("D3_Positions_mono", sets.H36M_17, 3), ("D2_Positions", sets.H36M_17, 2)):
        (features / part).mkdir(parents=True)
        values = 1000 * scene.space(names) if width == 3 else scene.flat(names)
        pose = np.zeros((1, len(scene), 32, width), np.float32)
        pose[0, :, list(KEPT)] = np.swapaxes(values, 0, 1)
        for clip in ("Walking 1", "_ALL"):
            with CDF(str(features / part / f"{clip}.60457274.cdf")) as file:
                file.write_var(
                    {"Variable": "Pose", "Data_Type": 44, "Num_Elements": 1, "Rec_Vary": True,
                     "Dim_Sizes": [len(scene), 32 * width]},
                    var_data=pose.reshape(1, len(scene), -1),
                )  # fmt: skip
    table = np.zeros(264 + 36)
    table[264 + 27 : 264 + 36] = [*scene.camera[0][[0, 1], [0, 1]], *scene.camera[0][:2, 2], 0.1, 0.2, 0.3, 0.01, 0.02]
    table[6 * (33 + 8) : 6 * (33 + 8) + 6] = [0.1, 0.2, 0.3, 1000, 2000, 3000]
    (folder / "metadata.xml").write_text(f"<metadata><w0>[{' '.join(f'{v:.9g}' for v in table)}]</w0></metadata>")
    return folder


def dna_rendering(scene: Scene, folder: Path) -> Path:
    """Needs h5py. One camera; SMPL-X in the world, camera to world."""
    import h5py

    one = scene.world[0]
    back = one[:3, :3].T
    pose = np.zeros((len(scene), 55, 3))
    pose[:, 1:22] = scene.pose[:, :21]
    pose[:, 0] = Rotation.from_matrix(back @ Rotation.from_rotvec(scene.orient).as_matrix()).as_rotvec()
    with h5py.File(folder / "0001_01_annots.smc", "w") as file:
        file.attrs["gender"], file.attrs["actor_id"] = "female", "0001"
        camera = file.create_group("Camera_Parameter/48")
        camera["K"], camera["RT"], camera["D"] = scene.camera[0], np.linalg.inv(scene.told_world[0]), np.zeros(5)
        body = file.create_group("SMPLx")
        body["fullpose"], body["betas"], body["scale"] = pose, scene.betas[:1], np.ones(1)
        body["transl"] = (scene.transl - one[:3, 3]) @ back.T - REST
        body["expression"] = np.zeros((len(scene), 10))
    return folder / "0001_01_annots.smc"


def tf_example(features: dict[str, Any]) -> bytes:
    """A tf.train.Example by hand."""

    def number(value: int) -> bytes:
        out = bytearray()
        while value > 127:
            out.append(value & 127 | 128)
            value >>= 7
        return bytes([*out, value])

    def field(key: int, content: bytes) -> bytes:
        return number(key << 3 | 2) + number(len(content)) + content

    entries = b""
    for name, value in features.items():
        if isinstance(value, list):
            held = field(1, b"".join(field(1, one) for one in value))
        elif value.dtype.kind == "f":
            held = field(2, field(1, value.astype("<f4").tobytes()))
        else:
            held = field(3, field(1, b"".join(number(int(one)) for one in value)))
        entries += field(1, field(1, name.encode()) + field(2, held))
    return field(1, entries)


def _json(path: Path, content: Any) -> Path:
    path.write_text(json.dumps(content))
    return path


class Writer(NamedTuple):
    """How an adapter's fixture is made, and which labels it has."""

    write: Callable[[Scene, Path], Path]
    labels: frozenset[str]
    one_camera: bool = False  # all people are seen by the camera of the first
    flat: Sequence[str] = ()
    space: Sequence[str] = ()


def _writer(write: Callable[[Scene, Path], Path], labels: str, **more: Any) -> Writer:
    return Writer(write, frozenset(labels.split()), **more)


WRITERS = {
    "humandata": _writer(humandata, "kp2d kp3d camera pose root transl box"),
    "spin": _writer(spin, "kp2d kp3d_rooted pose root box"),
    "bedlam": _writer(bedlam, "kp2d camera pose root transl box"),
    "prohmr": _writer(prohmr, "kp2d kp3d_rooted pose root box"),
    "hmr2": _writer(hmr2, "kp2d kp3d_rooted pose root box"),
    "coco-smpl": _writer(coco_smpl, "kp2d kp3d camera pose root box"),
    "flatlist": _writer(flatlist, "kp2d kp3d camera pose root box"),
    "eft": _writer(eft, "kp2d pose root box"),
    "smplify-x": _writer(smplify_x, "pose root transl"),
    "amass": _writer(amass, "pose"),
    "coco": _writer(coco, "kp2d box"),
    "mpii": _writer(mpii, "kp2d box"),
    "mpi_inf_3dhp": _writer(mpi_inf_3dhp, "kp2d kp3d camera", one_camera=True),
    "up3d": _writer(up3d, "kp2d camera pose root transl"),
    "3dpw": _writer(pw3d, "kp2d camera pose root transl world", one_camera=True),
    "hi4d": _writer(hi4d, "kp3d camera pose root transl world", one_camera=True),
    "emdb": _writer(emdb, "kp2d camera pose root transl world", one_camera=True),
    "spec": _writer(spec, "kp2d kp3d_rooted camera pose root box"),
    "gta_human2": _writer(gta_human2, "kp2d kp3d camera pose root transl"),
    "instavariety": _writer(instavariety, "kp2d"),
    "human36m": _writer(human36m, "kp2d kp3d camera", one_camera=True),
    "dna_rendering": _writer(dna_rendering, "camera pose root transl world", one_camera=True),
}
