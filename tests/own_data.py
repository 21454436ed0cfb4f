"""A user's own data set for tests: drawn people as picture files, with labels in the formats that researchers have.

data = own_data(tmp_path, [1, 2, 3])
data.coco("train.json")      boxes and 2-D keypoints, as COCO writes them
data.spin("test.npz")        with joints in space about the pelvis, as SPIN writes them
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from hmr.body.body import load_body
from hmr.body.skeleton import JOINT_NAMES, KEYPOINT_NAMES
from hmr.studio.studio import SIZE, Split, Truth, photographs, truths
from storage.sources.joint_sets import COCO_17, SPIN_24, plain_name

ALIASES = {"thorax": "neck", "torso": "spine2", "jaw": "nose"}


@dataclass(frozen=True)
class OwnData:
    """n drawn people, one to a picture, and what is true of them; metres, px."""

    root: Path
    names: tuple[str, ...]  # of the pictures, below `pictures`
    truth: Truth
    joints: dict[str, NDArray]  # name -> (n, 3)
    pixels: dict[str, NDArray]  # name -> (n, 2)

    @property
    def pictures(self) -> Path:
        return self.root / "pictures"

    @property
    def boxes(self) -> NDArray:
        """(n, 4) left, top, width, height about the keypoints, within the picture."""
        points = np.stack([self.pixels[name] for name in COCO_17], 1).clip(0, SIZE)
        low, high = points.min(1) - 8, points.max(1) + 8
        return np.concatenate([low, high - low], 1)

    def coco(self, name: str) -> Path:
        """A COCO file: 2-D labels alone."""
        points = np.stack([self.pixels[name] for name in COCO_17], 1)
        flags = 2.0 * ((points >= 0) & (points < SIZE)).all(-1)
        rows = np.concatenate([points * (flags > 0)[..., None], flags[..., None]], -1)
        content = {
            "images": [{"id": k, "file_name": one, "width": SIZE, "height": SIZE} for k, one in enumerate(self.names)],
            "annotations": [
                {"id": k, "image_id": k, "category_id": 1, "iscrowd": 0, "bbox": box.tolist(),
                 "keypoints": row.ravel().tolist(), "num_keypoints": int((row[:, 2] > 0).sum())}
                for k, (box, row) in enumerate(zip(self.boxes, rows))
            ],
            "categories": [{"id": 1, "name": "person", "keypoints": list(COCO_17)}],
        }  # fmt: skip
        path = self.root / name
        path.write_text(json.dumps(content))
        return path

    def spin(self, name: str) -> Path:
        """A SPIN file: joints in space about the pelvis."""
        space = np.stack([self.joints[ALIASES.get(plain_name(one), plain_name(one))] for one in SPIN_24], 1)
        space = space - self.joints["pelvis"][:, None]
        boxes, path = self.boxes, self.root / name
        fields = {
            "imgname": np.array(self.names),
            "center": boxes[:, :2] + boxes[:, 2:] / 2,
            "scale": boxes[:, 2:].max(1) / 200,
            "S": np.concatenate([space, np.ones((*space.shape[:2], 1))], -1),
        }
        np.savez(path, **fields)
        return path


def own_data(root: Path, scenes: Sequence[int], split: Split = "broad") -> OwnData:
    """Draw these scenes of a labelled split into `root/pictures`."""
    light, root = load_body(), Path(root)
    truth = truths(light, split, list(scenes), purpose="pretrain")
    (root / "pictures").mkdir(parents=True, exist_ok=True)
    names = tuple(f"{scene:05d}.png" for scene in scenes)
    for name, pixels in zip(names, photographs(light, split, list(scenes))):
        Image.fromarray(pixels).save(root / "pictures" / name)
    posed = light.points(*map(torch.from_numpy, (truth.rotations, truth.betas, truth.translation)))
    named = {
        **dict(zip(KEYPOINT_NAMES, posed.keypoints.numpy().transpose(1, 0, 2))),
        **dict(zip(JOINT_NAMES, posed.joints.numpy().transpose(1, 0, 2))),
    }
    focal, centre = truth.camera[:, :2], truth.camera[:, 2:]
    pixels = {name: focal * place[:, :2] / place[:, 2:] + centre for name, place in named.items()}
    return OwnData(root, names, truth, named, pixels)
