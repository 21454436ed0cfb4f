"""A run with any number of made-up groups and verdicts, for measuring and testing."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from hmr.body.body import Body, load_body
from hmr.body.rotations import rotation_matrices
from storage.group_store import GroupStore
from storage.records import Group, Person, Verdict

POSES = 60
"""Different bodies; groups are drawn from them."""

CRITICS = ("evidence@4", "scorer@3", "oracle@2")
_FAULTS = ("left wrist bent past its limit", "silhouette misses the right shin", "no fault stands out", "feet float")
_SIDE, _CROP = 720, 420.0  # px of a photograph, and of the crop about a person


def make_run(folder: Path, groups: int, *, hypotheses: int = 20, shard: int = 64) -> GroupStore:
    """Write a run's store with this many groups in `round0` and three critics' verdicts; no people, no photographs."""
    random, store = np.random.default_rng(0), GroupStore(folder / "store")
    bodies, pictures = _bodies(load_body(None), random), _pictures(random)
    for start in range(0, groups, shard):
        name = f"street-{start // shard:04d}"
        numbers = range(start, min(start + shard, groups))
        drawn = [_group(random, number, hypotheses, bodies, pictures) for number in numbers]
        store.write_groups("round0", name, drawn)
        quality = [random.uniform(0, 100, len(group)) for group in drawn]
        for critic in CRITICS:
            verdicts = [_verdict(random, group, critic, true) for group, true in zip(drawn, quality)]
            store.write_verdicts("round0", critic, "made-up", name, verdicts)
    return store


@torch.no_grad()
def _bodies(body: Body, random: np.random.Generator) -> dict[str, NDArray[np.float32]]:
    """Poses (POSES, 24, 3), and their joints and keypoints with the pelvis near the origin, metres, camera frame."""
    pose = random.normal(0, 0.18, (POSES, 24, 3)).astype(np.float32)
    pose[:, 0] = [np.pi, 0, 0]  # upright: the camera's y points down
    pose[:, 0] += random.normal(0, 0.05, (POSES, 3))
    points = body.points(rotation_matrices(torch.from_numpy(pose)), torch.zeros(1, 10), torch.zeros(POSES, 3))
    return {"pose": pose, "joints": points.joints.numpy(), "keypoints": points.keypoints.numpy()}


def _pictures(random: np.random.Generator) -> list[NDArray[np.uint8]]:
    """Soft coloured backgrounds, 128 px."""
    coarse = random.integers(90, 220, (16, 4, 4, 3), dtype=np.uint8)
    return [np.asarray(Image.fromarray(one).resize((128, 128), Image.Resampling.BICUBIC)) for one in coarse]


def _group(
    random: np.random.Generator, number: int, size: int, bodies: dict[str, NDArray], pictures: list[NDArray]
) -> Group:
    drawn = random.integers(0, POSES, size)
    place = np.array([0, 0.1, 5.0], np.float32) + random.normal(0, 0.05, (size, 3)).astype(np.float32)
    keypoints = bodies["keypoints"][drawn] + place[:, None]
    camera = np.array([_SIDE * 1.4, _SIDE * 1.4, _SIDE / 2, _SIDE / 2], np.float32)
    centre = camera[2:] + camera[:2] * place[0, :2] / place[0, 2]
    landmarks = np.column_stack([random.normal(centre, 60, (33, 2)), np.zeros(33), random.uniform(0.4, 1, 33)])
    person = Person(
        group_id=f"street_{number:05d}-{number:08x}-p0", photo=f"street/street_{number:05d}.jpg", photo_sha256="0" * 64,
        width=_SIDE, height=_SIDE, box=np.array([*(centre - 150), *(centre + 150)], np.float32), detection=0.9,
        crop=np.array([*centre, _CROP], np.float32), camera=camera, landmarks=landmarks.astype(np.float32),
        world_landmarks=np.zeros((33, 3), np.float32), mask=np.zeros((64, 64), np.uint8),
        picture=pictures[number % len(pictures)],
    )  # fmt: skip
    return Group(
        person=person, model_digest="0123456789abcdef", temperature=1.0, betas=np.zeros(10, np.float32),
        seeds=random.integers(0, 2**62, size), zero_start=np.arange(size) == 0, synthetic=np.zeros(size, bool),
        latents=np.zeros((size, 133), np.float32), pose=bodies["pose"][drawn], translation=place,
        joints=bodies["joints"][drawn] + place[:, None], keypoints=keypoints,
    )  # fmt: skip


def _verdict(random: np.random.Generator, group: Group, critic: str, true: NDArray[np.float64]) -> Verdict:
    """What one critic says: near the true quality, with a fault in words; each seventh group is not judged."""
    scores = np.clip(true + random.normal(0, 15, len(true)), 0, 100).round(1)
    if critic.startswith("oracle"):
        comments = tuple(f"{250 - 2 * quality:.1f} mm from the truth" for quality in true)
    else:
        comments = tuple(f"{_FAULTS[k]} by {score:.0f} degrees" for k, score in zip(random.integers(0, 4, 99), scores))
    verdict = Verdict(group.person.group_id, critic, scores, ("ok",) * len(scores), comments, seconds=0.1)
    if critic != "scorer@3" or random.uniform() > 1 / 7:
        return verdict
    return replace(verdict, scores=np.full(len(scores), np.nan), statuses=("abstained",) * len(scores))
