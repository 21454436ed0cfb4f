"""What deploy/settings/paper-3dpw.toml and paper-h36m.toml ask for, in the official formats, made of one drawn person.

    paper_files(tmp_path, frames=4)

writes 3DPW's folders, HybrIK's jsons, Human3.6M's CDF files, InstaVariety's HumanData file, SMPL's three bodies (the
free body under their names), a checkpoint in the authors' layout and a judge's memory, all under the names that the
head comments of the two files use.
"""

import pickle
import shutil
from dataclasses import replace
from importlib import resources
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from scipy.spatial.transform import Rotation

from critique.memory.memory import Memory
from hmr.models.base_model import HmrModel, save_model
from hmr.models.conversion import convert
from tasks.critics.remembering import save_memory
from tests import people_files
from tests.own_data import OwnData, own_data
from tests.people_scene import SIZE, Scene

SCENE = 1  # of `broad`, whom the detector finds
SHIFT = np.array([300.0, 200.0])  # of the drawn picture on the large one, px


def paper_files(root: Path, frames: int = 4) -> None:
    """Everything, in `root`."""
    person = own_data(root / "drawn", [SCENE])
    scene = _scene(person, frames)
    picture = Image.new("RGB", SIZE, (96, 96, 96))
    picture.paste(Image.open(next(person.pictures.iterdir())), tuple(SHIFT.astype(int)))
    _pw3d(root, scene, picture)
    _instavariety(root, scene, picture)
    _bodies(root / "bodies")
    save_memory(root / "memory", Memory(), None)


def checkpoint(path: Path) -> Path:
    """HypoNet with random weights, in the layout of the authors."""
    torch.manual_seed(0)
    ours = path.with_suffix(".safetensors")
    save_model(HmrModel({"network": "hyponet"}), ours, {"weights": "random"})
    convert(ours, path)
    ours.unlink()
    return path


def human36m(root: Path, frames: int = 2) -> None:
    """`Human3.6M` with the subjects that are trained and validated on, and HybrIK's json of the test."""
    person = own_data(root / "drawn", [SCENE])
    scene = _scene(person, frames)
    picture = Image.new("RGB", (1000, 1002), (96, 96, 96))
    picture.paste(Image.open(next(person.pictures.iterdir())), tuple(SHIFT.astype(int)))
    made = people_files.human36m(scene, _folder(root / "made"))
    for subject in ("S1", "S5", "S6", "S7", "S8"):
        shutil.copytree(made / "S9", root / "Human3.6M" / subject)
        stem = f"{subject}_Walking_1.60457274"
        _save(picture, root / "Human3.6M", [f"{subject}/images/{stem}/{stem}_{k + 1:06d}.jpg" for k in range(frames)])
    shutil.copy(made / "metadata.xml", root / "Human3.6M" / "metadata.xml")
    shutil.copy(people_files.coco_smpl(scene, root), root / "h36m_test.json")
    wide = Image.new("RGB", SIZE)  # as large as its json says
    wide.paste(picture)
    _save(wide, root / "h36m_images", [f"downtown/image_{k:05d}.jpg" for k in range(frames)])


def _scene(person: OwnData, frames: int) -> Scene:
    """The person in so many frames of one camera that stands still."""
    turns = Rotation.from_matrix(person.truth.rotations[0]).as_rotvec()
    fx, fy, cx, cy = person.truth.camera[0]
    camera = np.array([[fx, 0, cx + SHIFT[0]], [0, fy, cy + SHIFT[1]], [0, 0, 1]], np.float64)

    def each(value: np.ndarray) -> np.ndarray:
        return np.repeat(np.asarray(value, np.float64)[None], frames, 0)

    return Scene(
        orient=each(turns[0]), pose=each(turns[1:]), betas=each(person.truth.betas[0]),
        transl=each(person.truth.translation[0]),
        joints={name: each(place[0]) for name, place in person.joints.items()},
        pixels={name: each(place[0] + SHIFT) for name, place in person.pixels.items()},
        camera=each(camera), world=each(np.eye(4)), told_world=each(np.eye(4)),
    )  # fmt: skip


def _pw3d(root: Path, scene: Scene, picture: Image.Image) -> None:
    for split in ("train", "validation"):
        made = people_files.pw3d(scene, _folder(root / f"made-{split}"))
        shutil.move(made / "test", _folder(root / "3DPW" / "sequenceFiles") / split)
    shutil.move(people_files.coco_smpl(scene, root), root / "3DPW_test.json")
    for folder in ("downtown_walk_00", "downtown"):
        _save(picture, root / "3DPW" / "imageFiles", [f"{folder}/image_{k:05d}.jpg" for k in range(len(scene))])


def _instavariety(root: Path, scene: Scene, picture: Image.Image) -> None:
    """Rows enough that one in a hundred leaves as many as there are frames."""
    count = 100 * (len(scene) - 1) + 1
    rows = replace(
        scene,
        **{
            name: np.repeat(getattr(scene, name)[:1], count, 0)
            for name in ("orient", "pose", "betas", "transl", "camera", "world", "told_world")
        },
        **{
            name: {key: np.repeat(value[:1], count, 0) for key, value in getattr(scene, name).items()}
            for name in ("joints", "pixels")
        },
    )
    shutil.move(people_files.humandata(rows, _folder(root / "made")), root / "insta_variety.npz")
    _save(picture, root / "InstaVariety", [f"clip/{k:05d}.jpg" for k in range(0, count, 100)])


def _bodies(folder: Path) -> None:
    """The free body under the names of SMPL's, its rest pelvis where the written files have it."""
    with np.load(resources.files("hmr") / "assets" / "body_light.npz") as light:
        arrays = {name: light[name] for name in light.files}
    arrays["v_template"] = arrays["v_template"] + people_files.REST.astype(np.float32)
    _folder(folder)
    for name in ("MALE", "FEMALE", "NEUTRAL"):
        (folder / f"SMPL_{name}.pkl").write_bytes(pickle.dumps(arrays, protocol=2))


def _save(picture: Image.Image, root: Path, names: list[str]) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        picture.save(root / name)


def _folder(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    return path
