"""DNA-Rendering: SMC files (HDF5) of one actor, gendered SMPL-X in the world, 60 cameras.

Cameras' parameters go by padded ids, their pictures by plain ones. `RT` turns camera to world and is inverted. Hands
are about MANO's mean hand, which takes the user's MANO to undo; they are left out. `scale` applies to the whole body.

Source: DNA-Rendering/DNA-Rendering, scripts/3DGS/SMCReader.py.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from storage.sources import adapter
from storage.sources.adapter import Array, Choice
from storage.sources.hdf5 import open_hdf5
from storage.sources.record import Batch, Columns

SIZES = {"Camera_5mp": (2448, 2048), "Camera_12mp": (4096, 3000)}
KNOWN = ("Camera_5mp", "Camera_12mp", "Mask", "Keypoints_2D", "Keypoints_3D", "Calibration")


def read(path: Path, choice: Choice, dataset: str = "dna_rendering") -> Iterator[Batch]:
    """One `.smc`, or all below a folder; every `choice.stride`-th frame, every camera.

    Raises SourceError if a file is missing, broken or of another layout.
    """
    files = adapter.found_files(path, ".smc", "DNA-Rendering's annotations (*_annots.smc)")
    for number, file in enumerate(files):
        with open_hdf5(file) as held:
            adapter.check_keys(file, held, ("Camera_Parameter", "SMPLx"), KNOWN, choice.ignore)
            body = _body(file, held["SMPLx"], choice)
            gender = (adapter.genders(held.attrs.get("gender", "")) or [""])[0]
            actor = str(held.attrs.get("actor_id", ""))
            cameras = sorted(held["Camera_Parameter"])
            for place, camera in enumerate(cameras, 1):
                inner, world, bent = _camera(file, held["Camera_Parameter"][camera], camera)
                columns = _columns(file, body, gender, inner, world, bent, camera, actor, choice, dataset)
                details = ["RT: camera to world, inverted"]
                if np.isnan(columns["transl"]).all():
                    details.append(adapter.NO_PELVIS)
                share = (number + place / len(cameras)) / len(files)
                keys = {"T_cam_world": "RT", "transl": "SMPLx.transl", "body_pose": "SMPLx.fullpose", "K": "K"}
                yield Batch(columns, str(file), keys, details, {}, share)


def _body(file: Path, held: Any, choice: Choice) -> dict[str, Array]:
    adapter.check_keys(file, held, ("betas", "fullpose", "transl"), ("expression", "scale"), choice.ignore)
    pose = adapter.shaped(file, "SMPLx.fullpose", held["fullpose"], (None, 55, 3), (None, 165))
    count = len(pose)
    betas = adapter.shaped(file, "SMPLx.betas", np.atleast_2d(held["betas"]), (count, None), (1, None))
    scale = np.broadcast_to(np.ravel(held["scale"]), (count,)) if "scale" in held else np.ones(count)
    return {
        "pose": pose.reshape(count, 165), "betas": np.broadcast_to(betas[:, :16], (count, min(betas.shape[1], 16))),
        "transl": adapter.shaped(file, "SMPLx.transl", held["transl"], (count, 3)),
        "scale": np.asarray(scale, np.float32),
    }  # fmt: skip


def _camera(file: Path, held: Any, camera: str) -> tuple[Array, Array, Array]:
    where = f"{file}: Camera_Parameter/{camera}"
    inner = adapter.shaped(where, "K", held["K"], (3, 3))
    outer = adapter.shaped(where, "RT", held["RT"], (4, 4), (3, 4), kind=np.float64)
    full = np.eye(4)
    full[:3] = outer[:3]
    adapter.axis_angles(where, "RT", full[None, :3, :3])
    bent = np.ravel(held["D"]).astype(np.float32)[:5] if "D" in held else np.zeros(5, np.float32)
    return inner, np.linalg.inv(full).astype(np.float32), np.pad(bent, (0, 5 - len(bent)))


def _columns(
    file: Path, body: dict, gender: str, inner: Array, world: Array, bent: Array, camera: str, actor: str,
    choice: Choice, dataset: str,
) -> Columns:  # fmt: skip
    frames = np.arange(len(body["pose"]))[:: choice.stride]
    count, pose, scale = len(frames), body["pose"][frames], body["scale"][frames, None]
    columns: Columns = {k: v for k, v in adapter.split_smplx(pose).items() if not k.endswith("_hand")}
    rest = adapter.rest_pelvis(choice, "smplx", [gender] * count, body["betas"][frames])
    turns = np.repeat(world[None], count, 0)
    # scale (x + t) in the world: the camera sees scale times a body whose camera is as much nearer
    near = turns.copy()
    near[:, :3, 3] /= scale
    orient, transl = adapter.to_camera(pose[:, :3], body["transl"][frames], near, rest)
    kind, number = ("Camera_12mp" if int(camera) >= 48 else "Camera_5mp"), int(camera)
    paths = [f"{file.stem.removesuffix('_annots')}/{kind}/{number}/color/{frame:06d}.jpg" for frame in frames]
    return columns | {
        "sample_id": adapter.sample_ids(dataset, choice.split, paths, [0] * count), "dataset": dataset,
        "split": choice.split, "sequence": file.stem.removesuffix("_annots"), "camera_id": camera, "subject_id": actor,
        "person_id": "0", "frame_index": frames, "image_path": paths,
        "image_wh": np.tile(np.array(SIZES[kind], np.float32), (count, 1)), "K": np.repeat(inner[None], count, 0),
        "T_cam_world": turns, "dist": np.tile(bent, (count, 1)), "model_type": "smplx", "gender": gender,
        "betas": body["betas"][frames], "global_orient": orient, "transl": transl,
        "scale_factor": scale[:, 0], "source_row": frames,
    }  # fmt: skip
