"""Does the picture tell more than the detections? An ablation, on the labelled people of the studio.

    python deploy/pretraining/picture_ablation.py CACHE

A kernel regression of joints as in critique/expected_joints.py is fitted on `broad` without the scenes 8000 to 8499:
on the detections alone, and with features of the mask and of the picture beside them. It is measured on the scenes
left out and on `val`; the strength of the ridge is the best of three for each, on the scenes left out. Features: the
mask at 32 x 32, the picture at 32 x 32, and its histograms of oriented gradients (9 directions, cells of 16 px), each
reduced to 64 or 128 principal directions. Three minutes on a core once CACHE holds the detections; writes
deploy/experiments/picture_ablation.json.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from skimage.feature import hog

from critique.expected_joints import JOINTS, LINEAR, MEASURED, WILDEST, inputs, seen_by_the_crop
from flows.cli.measurements import measured, write_measurements
from hmr.body.body import Body, load_body
from hmr.body.kinematics import forward_kinematics
from hmr.metrics.pose_metrics import mpjpe, pa_mpjpe
from hmr.pretraining.labels import known_people
from hmr.studio.observation import see_split
from hmr.studio.studio import Split
from tasks.benchmarking import StudioPeople, person_records
from tasks.benchmarks.check_weights import HELD_OUT

Floats = NDArray[np.float64]
Reduce = Callable[[Floats], Floats]

SHOWN = Path(__file__).parents[1] / "experiments" / "picture_ablation.json"
SCENES = {"broad": 9000, "val": 300}
DIRECTIONS = {"mask": 64, "picture": 64, "gradients": 128}
READS = ((), ("mask",), ("picture",), ("gradients",), ("mask", "picture", "gradients"))
COSINES, PICTURE_COSINES, WIDTH = 2400, 600, 0.7
RIDGES = (1e-3, 1e-2, 1e-1)


class People(NamedTuple):
    """What a regression may read of n people, and what it should say."""

    scene: NDArray[np.int64]  # (n,)
    detections: Floats  # (n, 231)
    seen: dict[str, Floats]  # (n, k) mask (0..1), picture (0..1), gradients
    joints: Floats  # (n, 29, 3) metres, relative to the pelvis, as the crop sees them


def main(cache: Path) -> None:
    """Fit and measure every kind of reader, write the figures."""
    body_model = load_body()
    broad, val = (read(body_model, split, count, cache) for split, count in SCENES.items())  # type: ignore[arg-type]
    learn = ~np.isin(broad.scene, HELD_OUT)
    reduce = {name: principal(broad.seen[name][learn], count) for name, count in DIRECTIONS.items()}
    rows = []
    for names in READS:
        found = figures(broad, val, learn, {name: reduce[name] for name in names})
        for metric, value in found.items():
            rows.append(measured(f"picture.{'_and_'.join(names) or 'nothing'}.{metric}", value))
        sys.stdout.write(f"detections and {' and '.join(names) or 'nothing else'}: "
                         + ", ".join(f"{metric} {value:.4g}" for metric, value in found.items()) + "\n")  # fmt: skip
    write_measurements(SHOWN, rows)


def read(body_model: Body, split: Split, count: int, cache: Path) -> People:
    """The people of a split whom the detector found."""
    seen = see_split(split, count, cache)
    truth = known_people(body_model, split, seen, purpose="pretrain" if split == "broad" else "benchmark")
    whole = truth.whole
    with torch.no_grad():
        rest = body_model.rest_joints(whole.betas)
        joints = forward_kinematics(whole.rotations, rest, whole.translation).joints.numpy()
    people = person_records(StudioPeople(split, count, Path()), seen._replace(camera=truth.camera.numpy()))
    size, pictures = len(people), seen.picture / 255
    shown = {
        "mask": seen.mask.reshape(size, 32, 2, 32, 2).mean((2, 4)).reshape(size, -1) / 255,
        "picture": pictures.reshape(size, 32, 4, 32, 4, 3).mean((2, 4)).reshape(size, -1),
        "gradients": np.stack([hog(picture.mean(-1), 9, (16, 16), (2, 2)) for picture in pictures]),
    }
    details = np.nan_to_num(np.stack([inputs(p, p.landmarks, p.world_landmarks) for p in people]))
    return People(seen.index, details, shown, np.stack([seen_by_the_crop(*one) for one in zip(joints, people)]))


def principal(values: Floats, count: int) -> Reduce:
    """Projection (n, k) -> (n, count) on the principal directions of `values`, from the first 4,000 rows."""
    mean = values.mean(0)
    directions = np.linalg.svd((values - mean)[:4000], full_matrices=False)[2][:count].T
    return lambda others: (others - mean) @ directions


def figures(broad: People, val: People, learn: NDArray[np.bool_], reduce: dict[str, Reduce]) -> dict[str, float]:
    """Errors of one kind of reader, mm, on the scenes left out and on `val`, and the ridge that was chosen."""
    blocks = [[of.detections, *(f(of.seen[n]) for n, f in reduce.items())] for of in (broad, val)]
    waves = [waves_of(block[learn], count) for block, count in zip(blocks[0], (COSINES, *[PICTURE_COSINES] * 3))]
    own, other = (np.concatenate([wave(x) for wave, x in zip(waves, block)] + [np.ones((len(block[0]), 1))], 1)
                  for block in blocks)  # fmt: skip
    gram, moment = own[learn].T @ own[learn], own[learn].T @ broad.joints[learn].reshape(learn.sum(), -1)
    tried = []
    for ridge in RIDGES:
        weights = np.linalg.solve(gram + ridge * learn.sum() * np.eye(len(gram)), moment)
        tried.append((errors(own[~learn] @ weights, broad.joints[~learn])[0], ridge, weights))
    best, ridge, weights = min(tried, key=lambda one: one[0])
    on_val = errors(other @ weights, val.joints)
    return {"broad_mpjpe_mm": best, "val_mpjpe_mm": on_val[0], "val_pa_mpjpe_mm": on_val[1], "ridge": ridge}


def waves_of(learned: Floats, count: int) -> Reduce:
    """Features of one block of inputs, standardised as those learned from: themselves, and random cosines of them."""
    mean, scale = learned.mean(0), learned.std(0) + 0.02
    random = np.random.default_rng(0)
    directions = random.standard_normal((len(mean), count)) * WIDTH / len(mean) ** 0.5
    phases = random.uniform(0, 2 * np.pi, count)

    def features(values: Floats) -> Floats:
        standard = np.clip((values - mean) / scale, -WILDEST, WILDEST)
        return np.concatenate([LINEAR * standard, np.cos(standard @ directions + phases)], 1)

    return features


def errors(said: Floats, true: Floats) -> tuple[float, float]:
    """Mean MPJPE and PA-MPJPE over 14 joints, mm, of joints (n, 87) against (n, 29, 3)."""
    joints = said.reshape(-1, JOINTS, 3)
    pair = [(points - points[:, :1])[:, list(MEASURED)] for points in (joints, true)]
    return float(np.mean(mpjpe(*pair))), float(np.mean(pa_mpjpe(*pair)))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
