"""What deploy/settings/paper-3dpw.toml and paper-h36m.toml ask for, in the official formats, made of one drawn person.

    paper_files(tmp_path)

writes 3DPW's folders, HybrIK's jsons, Human3.6M's CDF files, InstaVariety's HumanData file, SMPL's three bodies (the
free body under their names), a checkpoint in the authors' layout and a judge's memory, all under the names that the
head comments of the two files use.
"""

import json
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

PERSON = 1  # scene of `broad` whom the detector finds
SHIFT = np.array([300, 200])  # of the drawn picture on a large one, px
FRAMES = 26  # one in 25 of val and one in 10 of test: one and three people


def paper_files(root: Path) -> None:
    """Everything, in `root`; Human3.6M's CDF files need cdflib."""
    person = own_data(root / "drawn", [PERSON])
    scene = _scene(person, FRAMES)
    picture = _placed(person, SIZE)
    _pw3d(root, scene, picture)
    _instavariety(root, scene, picture)
    _human36m(root, scene.take(slice(2)), _placed(person, (1000, 1002)), picture)
    _bodies(root / "bodies")
    for name in ("best_pw3d.pth", "best_h36m.pth"):
        _checkpoint(root / name)
    save_memory(root / "memory", Memory(), None)


def _checkpoint(path: Path) -> None:
    """HypoNet with random weights, in the layout of the authors."""
    first = path.with_name("best_pw3d.pth")
    if first.exists():
        shutil.copy(first, path)
        return
    torch.manual_seed(0)
    ours = path.with_suffix(".safetensors")
    save_model(HmrModel({"network": "hyponet"}), ours, {"weights": "random"})
    convert(ours, path)
    ours.unlink()


def _placed(person: OwnData, size: tuple[int, int]) -> Image.Image:
    """The person's picture on a larger one."""
    picture = Image.new("RGB", size, (96, 96, 96))
    with Image.open(person.pictures / person.names[0]) as drawn:
        picture.paste(drawn, tuple(SHIFT.tolist()))
    return picture


def _human36m(root: Path, scene: Scene, picture: Image.Image, wide: Image.Image) -> None:
    """The subjects that are trained and validated on, and HybrIK's json of the test."""
    made = people_files.human36m(scene, _folder(root / "made-h36m"))
    for subject in ("S1", "S5", "S6", "S7", "S8"):
        shutil.copytree(made / "S9", root / "Human3.6M" / subject)
        stem = f"{subject}_Walking_1.60457274"
        names = [f"{subject}/images/{stem}/{stem}_{k + 1:06d}.jpg" for k in range(len(scene))]
        _save(picture, root / "Human3.6M", names)
    shutil.copy(made / "metadata.xml", root / "Human3.6M" / "metadata.xml")
    shutil.move(people_files.coco_smpl(scene, _folder(root / "made-h36m")), root / "h36m_test.json")
    _save(wide, root / "h36m_images", [f"downtown/image_{k:05d}.jpg" for k in range(len(scene))])


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
    arrays["meta"] = np.array(json.dumps({**json.loads(str(arrays["meta"])), "name": "smpl"}))
    arrays["v_template"] = arrays["v_template"] + people_files.REST.astype(np.float32)
    _folder(folder)
    for name in ("MALE", "FEMALE", "NEUTRAL"):
        (folder / f"SMPL_{name}.pkl").write_bytes(pickle.dumps(arrays, protocol=2))


def _save(picture: Image.Image, root: Path, names: list[str]) -> None:
    first, *others = (root / name for name in names)
    first.parent.mkdir(parents=True, exist_ok=True)
    picture.save(first)
    for path in others:
        path.hardlink_to(first)


def _folder(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    return path
