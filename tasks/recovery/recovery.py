"""The best mesh of each person of a photograph, and its alternatives: the core of `hmr-align recover`.

`recover_people` works on the people of one photograph: draw groups, score, pick, refine, measure. Free of prefect.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from critique.evidence import EvidenceCritic, EvidenceSettings
from hmr.body.body import Body
from hmr.body.refinement import refine
from hmr.body.rotations import rotation_matrices, rotation_vectors
from hmr.body.skeleton import EVAL_14
from hmr.detection.agreement import cells_inside, keypoint_distance, mask_iou
from hmr.diffusion.latent import Decoding, mean_latent
from hmr.metrics.evaluation import Framing, pose_groups
from hmr.metrics.pose_metrics import critic_choice, joint_spread, medoid
from hmr.models.base_model import HmrModel
from hmr.rendering.rasterizer import project
from hmr.rendering.surface import silhouettes
from storage.records import Group, Person
from tasks.groups.overlays import SILHOUETTE, camera_of_crop, draw_group, group_vertices
from tasks.groups.sampled_groups import groups_from, sample_hypotheses
from tasks.run.settings import Settings, validate

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Recovered:
    """One person: the picked mesh, and the group that it was picked from. Metres, camera frame."""

    group: Group  # the last one is synthetic where the mean was picked
    meshes: Floats  # (G, V, 3) vertices of the group
    scores: NDArray[np.float64]  # (G,) by the evidence critic, 0-100; NaN = abstained
    comments: tuple[str, ...]  # (G,)
    picked: int  # hypothesis of the group
    pose: Floats  # (24, 3) axis-angle, radians, of the picked one, like everything below; refined if asked for
    translation: Floats  # (3,)
    joints: Floats  # (29, 3)
    keypoints: Floats  # (23, 3)
    vertices: Floats  # (V, 3)
    keypoints_2d: Floats  # (23, 2) px of the photograph
    spread_mm: NDArray[np.float64]  # (29,) spread of each joint within the group, mm
    keypoints_px: float  # distance to the landmarks, px of a 256 px crop
    keypoints_px_before: float  # the same before refinement
    mask_iou: float  # IoU with the detector's mask, within the photograph, 0..1

    @property
    def person(self) -> Person:
        """The person's record."""
        return self.group.person

    def rank(self, hypothesis: int) -> int | None:
        """Rank of a hypothesis by score, 1 = the critic's first choice; None = the critic abstained."""
        score = self.scores[hypothesis]
        return None if np.isnan(score) else 1 + int((self.scores > score).sum())


def recover_people(people: Sequence[Person], base: HmrModel, body: Body, settings: Settings) -> list[Recovered]:
    """The results for the people of one photograph, in order."""
    chosen = settings.recover
    sample = settings.sample.model_copy(
        update={name: getattr(chosen, name) for name in ("hypotheses", "temperature", "temperature_spread")}
    )
    groups = sample_hypotheses(people, base, body, sample, seed=settings.run.seed, draw="recover")
    critic = EvidenceCritic(validate(EvidenceSettings, settings.critic.evidence, "settings", "critic.evidence"))
    return [_recovered(group, base.decoding, body, critic, settings) for group in groups]


def pick(group: Group, scores: NDArray[np.float64], how: str) -> int:
    """Index of the hypothesis that represents a group, for how = `zero`, `medoid`, `critic` or `mean` (the synthetic
    one).

    scores: (G,) 0-100, NaN = abstained.
    """
    if how == "zero":
        return int(np.flatnonzero(group.zero_start)[0])
    if how == "mean":
        return int(np.flatnonzero(group.synthetic)[0])
    if how == "critic":
        return int(critic_choice(scores[None], group.zero_start[None])[0])
    drawn = np.flatnonzero(~group.synthetic)
    centred = group.joints[drawn] - group.joints[drawn, :1]
    return int(drawn[medoid(centred[None][:, :, list(EVAL_14)])[0]])


@torch.no_grad()
def with_mean(group: Group, body: Body, how: Decoding) -> Group:
    """The group plus, as its last and only synthetic hypothesis, the mean in the space of the diffused vectors."""
    latents = mean_latent(torch.from_numpy(group.latents))[None, None]
    betas = torch.from_numpy(group.betas)[None]
    camera, crop = (torch.from_numpy(x)[None] for x in (group.person.camera, group.person.crop))
    posed = pose_groups(body, latents, Framing(betas, camera, crop, how))
    digest, seeds = group.model_digest, np.zeros((1, 1), np.int64)
    (mean,) = groups_from([group.person], latents, posed, betas, body, digest, group.temperature, seeds)
    mean = replace(mean, zero_start=np.array([False]), synthetic=np.array([True]))
    parts = ("seeds", "zero_start", "synthetic", "latents", "pose", "translation", "joints", "keypoints")
    joined = {part: np.concatenate([getattr(group, part), getattr(mean, part)]) for part in parts}
    return replace(group, **joined)


def _recovered(group: Group, how: Decoding, body: Body, critic: EvidenceCritic, settings: Settings) -> Recovered:
    person, drawn_joints = group.person, group.joints
    if settings.recover.pick == "mean":
        group = with_mean(group, body, how)
    meshes = group_vertices(body, group)
    verdict = critic.judge(draw_group(body, group, vertices=meshes))
    picked = pick(group, verdict.scores, settings.recover.pick)
    rotations = rotation_matrices(torch.from_numpy(group.pose[picked]))
    translation, betas = torch.from_numpy(group.translation[picked]), torch.from_numpy(group.betas)
    before = _distance(group.keypoints[picked], person)
    if settings.recover.refine:
        found = refine(
            body, rotations, betas, translation, torch.from_numpy(person.camera),
            torch.from_numpy(person.landmarks), torch.from_numpy(person.crop),
        )  # fmt: skip
        rotations, translation = found.rotations, found.translation
    with torch.no_grad():
        mesh = body(rotations[None], betas[None], translation[None])
    vertices, joints, keypoints = (part[0].numpy() for part in mesh)
    camera = camera_of_crop(person.camera, person.crop, SILHOUETTE)
    silhouette = silhouettes(vertices[None], body.faces, camera, SILHOUETTE)
    inside = cells_inside(person.crop[None], person.width, person.height)
    return Recovered(
        group=group,
        meshes=meshes,
        scores=verdict.scores,
        comments=verdict.comments,
        picked=picked,
        pose=rotation_vectors(rotations) if settings.recover.refine else group.pose[picked].copy(),
        translation=translation.numpy().copy(),
        joints=joints,
        keypoints=keypoints,
        vertices=vertices,
        keypoints_2d=project(keypoints, person.camera)[:, :2],
        spread_mm=joint_spread((drawn_joints - drawn_joints[:, :1])[None])[0],
        keypoints_px=_distance(keypoints, person),
        keypoints_px_before=before,
        mask_iou=float(mask_iou(silhouette, person.mask[None], inside)[0]),
    )


def _distance(keypoints: Floats, person: Person) -> float:
    places = project(keypoints, person.camera)[None, :, :2]
    return float(keypoint_distance(places, person.landmarks[None], person.crop[None])[0])
