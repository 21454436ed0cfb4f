"""Labelled groups of real bodies on a plain ground, drawn as a critic sees them: what reflection is tested on.

Hypotheses differ in their arms, which every critic sees, and in their knees: with both bent, the feet float.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from critique.memory.learning import Case
from storage.records import DrawnGroup
from tests.evidence_scene import TRUE_POSE, bent, hypotheses, person_in, posed

GROUND, PERSON, MESH = 205, (70, 60, 60), (120, 160, 235)


def labelled_groups(count: int, size: int = 5, seed: int = 0) -> tuple[list[Case], dict[str, DrawnGroup]]:
    """Cases with their true errors (mm), and their drawn groups by group id."""
    rng = np.random.default_rng(seed)
    cases, drawn = [], {}
    for index in range(count):
        group = _group(index, size, rng)
        cases.append(Case(group.group, errors(group)))
        drawn[group.group.person.group_id] = group
    return cases, drawn


def errors(drawn: DrawnGroup) -> NDArray[np.float64]:
    """(G,) mean distance of pelvis-centred joints to those of the true pose, mm."""
    true = posed(np.asarray(TRUE_POSE)[None], np.array([[0.2, 0.1, 4.0]]))[1][0]
    joints = drawn.group.joints
    gaps = (joints - joints[:, :1]) - (true - true[:1])
    return 1000 * np.linalg.norm(gaps, axis=-1).mean(1).astype(np.float64)


def _group(index: int, size: int, rng: np.random.Generator) -> DrawnGroup:
    person = person_in(TRUE_POSE)
    person = replace(person, group_id=f"scene-{index:03d}-p0", photo_sha256=f"{index:064d}")
    poses = []
    for _ in range(size):
        pose = TRUE_POSE
        for arm in ("left_shoulder", "right_shoulder"):
            pose = bent(pose, arm, z=float(rng.normal(0, 12)))
        if rng.random() < 0.4:  # a great error that a critic blind for feet does not see
            angle = float(rng.uniform(45, 110))
            for side in ("left", "right"):
                pose = bent(pose, f"{side}_knee", x=angle)
        poses.append(pose)
    drawn = hypotheses(person, poses)
    photograph = _painted(np.full((64, 64, 3), GROUND, np.uint8), person.mask, PERSON)
    overlays = tuple(_painted(photograph, silhouette, MESH) for silhouette in drawn.silhouettes)
    return replace(drawn, photograph=photograph, overlays=overlays)


def _painted(picture: NDArray[np.uint8], mask: NDArray[np.uint8], colour: tuple[int, int, int]) -> NDArray[np.uint8]:
    return np.where((mask > 127)[..., None], np.uint8(colour), picture)
