"""Other models' outputs as hypotheses of groups in a run's store, beside our own or alone.

An output belongs to the person of the run in the same picture whose box overlaps most with its own. It keeps the name
of its model (`Group.made_by`). With parameters of the body in use it becomes a hypothesis like ours, which can be
trained on; otherwise it stays a mesh, with joints by the body's regressor or by its own key points.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray

from hmr.body.body import Body
from hmr.body.body_file import BodyArrays
from hmr.body.mesh_points import joints_of_mesh, keypoints_of_mesh
from hmr.body.rotations import rotation_matrices, rotation_vectors
from hmr.body.skeleton import JOINT_NAMES, KEYPOINT_NAMES, SMPL_JOINTS
from hmr.detection.boxes import boxes_of, overlaps
from hmr.diffusion.latent import DIMS, encode
from storage.group_store import GroupStore, StoreError
from storage.predictions.mhr_map import MeshMap, to_topology
from storage.predictions.predicted import Predicted, project
from storage.records import Group, Mesh, Person

LEAST_OVERLAP = 0.3
"""Intersection over union of two boxes from which on they are of one person."""
SAME_CAMERA = 1e-3
"""Relative difference of focal lengths and centres below which two cameras are one."""
HIPS = [KEYPOINT_NAMES.index("left_hip"), KEYPOINT_NAMES.index("right_hip")]
MADE = "other models"
"""Stands for the digest of a model in groups without hypotheses of ours."""


@dataclass(frozen=True)
class BodyInUse:
    """The body of a run, the arrays of its file, and the user's map from MHR's mesh."""

    model: Body
    arrays: BodyArrays
    map_of_mhr: MeshMap | None = None  # to the body's own topology, if that is SMPL's or SMPL-X's


class Told(NamedTuple):
    """One hypothesis of another model, in the camera of the person that it is about."""

    made_by: str
    pose: NDArray[np.float32]  # (24, 3), NaN for a mesh
    translation: NDArray[np.float32]  # (3,)
    shape: NDArray[np.float32]  # (10,)
    joints: NDArray[np.float32]  # (29, 3), NaN where not told
    keypoints: NDArray[np.float32]  # (23, 3)
    latents: NDArray[np.float32]  # (133,), NaN for a mesh
    mesh: Mesh | None


class Brought(NamedTuple):
    """What became of predictions."""

    groups: int
    hypotheses: int
    made_by: dict[str, int]  # model -> hypotheses
    meshes: int  # of these, hypotheses without a pose
    unmatched: list[tuple[str, str, str]]  # file, person, reason
    off_px: float  # largest distance, px, that a change of camera left


class Unusable(Exception):
    """Why a prediction cannot become a hypothesis, in words."""


def bring(
    store: GroupStore, body: BodyInUse, predictions: Sequence[Predicted], gen: str, beside: str | None
) -> Brought:
    """Write predictions as groups of a new generation, one group for each person they match, shard by shard.

    beside: a generation whose own hypotheses come first in each group; None = predictions alone. Raises StoreError if
    the generation is there with other content, if `beside` is not, or if nothing matches.
    """
    if beside is not None and beside not in store.gens():
        raise StoreError(f"{store.root}: there are no groups of '{beside}' to put predictions beside")
    people = {person.group_id: person for person in store.read_people()}
    matched, unmatched = match(predictions, list(people.values()))
    told: dict[str, list[Told]] = {}
    off = 0.0
    for one, group_id in matched:
        try:
            found, left = hypotheses_of(body, one, people[group_id])
        except Unusable as reason:
            unmatched.append((one.file, one.person, str(reason)))
            continue
        told.setdefault(group_id, []).extend(found)
        off = max(off, left)
    if not told:
        reasons = "; ".join(dict.fromkeys(why for _, _, why in unmatched))
        raise StoreError(
            f"{store.root}: none of {len(predictions)} predictions belongs to a person of the run ({reasons})"
        )
    for shard in store.people_shards():
        own = {} if beside is None else {g.person.group_id: g for g in store.read_groups(beside, shard)}
        groups = [
            with_told(own.get(person.group_id), person, told[person.group_id])
            for person in store.read_people(shard)
            if person.group_id in told
        ]
        if groups:
            store.write_groups(gen, shard, groups)
    every = [one for some in told.values() for one in some]
    made = Counter(one.made_by for one in every)
    return Brought(len(told), len(every), dict(made), sum(one.mesh is not None for one in every), unmatched, off)


def match(
    predictions: Sequence[Predicted], people: Sequence[Person]
) -> tuple[list[tuple[Predicted, str]], list[tuple[str, str, str]]]:
    """Each prediction with the group id of its person; and those of nobody: file, person, reason."""
    by_picture: dict[str, list[Person]] = {}
    for person in people:
        by_picture.setdefault(Path(person.photo).stem, []).append(person)
    found, unmatched = [], []
    for one in predictions:
        here = by_picture.get(picture_of(one.image, list(by_picture)) or "", [])
        if not here:
            unmatched.append((one.file, one.person, f"no picture of the run is called '{Path(one.image).stem}'"))
            continue
        box = box_of(one)
        if box is None:
            unmatched.append((one.file, one.person, "it tells neither box, pixels nor camera"))
            continue
        share = overlaps(box[None], np.stack([person.box for person in here]).astype(np.float64))[0]
        if share.max() < LEAST_OVERLAP:
            unmatched.append((one.file, one.person, f"nobody of the run is there (overlap {share.max():.2f})"))
            continue
        found.append((one, here[int(share.argmax())].group_id))
    return found, unmatched


def picture_of(image: str, stems: Sequence[str]) -> str | None:
    """The stem of the picture that a prediction is about: its own name, else the longest one that this begins with.

    Outputs of one person each are often called `<picture>_<person>`.
    """
    stem = Path(image).stem
    if stem in stems:
        return stem
    begun = [one for one in stems if stem.startswith(one) and not stem[len(one)].isalnum()]
    return max(begun, key=len, default=None)


def box_of(one: Predicted) -> Float[np.ndarray, " 4"] | None:
    """The box of a prediction, px: as told, else about its points in the picture; None if nothing tells it."""
    if one.box is not None:
        return np.asarray(one.box, np.float64)
    if one.pixels is not None:
        return boxes_of(np.asarray(one.pixels, np.float64)).mean(0)
    points = one.vertices if one.vertices is not None else one.joints
    if points is None or one.camera is None:
        return None
    return boxes_of(project(points, one.camera)).mean(0)


def hypotheses_of(body: BodyInUse, one: Predicted, person: Person) -> tuple[list[Told], float]:
    """A prediction's hypotheses as the person's camera sees them, and the largest distance, px, that this left.

    Raises Unusable if neither poses of the body in use nor a mesh with key points can be had.
    """
    if _has_pose(body.model, one):
        return _posed(body.model, one, person)
    return _meshes(body, one, person)


def _has_pose(model: Body, one: Predicted) -> bool:
    parts = (one.orient, one.pose, one.betas, one.transl)
    return one.topology == model.name and all(part is not None for part in parts)


@torch.no_grad()
def _posed(model: Body, one: Predicted, person: Person) -> tuple[list[Told], float]:
    assert one.orient is not None and one.pose is not None and one.betas is not None and one.transl is not None
    size = len(one)
    turns = np.zeros((size, SMPL_JOINTS, 3), np.float32)
    turns[:, 0], turns[:, 1 : 1 + one.pose.shape[1]] = one.orient, one.pose[:, : SMPL_JOINTS - 1]
    rotations, betas = rotation_matrices(torch.from_numpy(turns)), torch.from_numpy(np.float32(one.betas[:, :10]))
    place = torch.from_numpy(np.float32(one.transl))
    shift, off = moves(model.points(rotations, betas, place).keypoints.numpy(), one, person)
    place = place + torch.from_numpy(shift)
    points = model.points(rotations, betas, place)
    camera, crop = (torch.from_numpy(part).expand(size, -1) for part in (person.camera, person.crop))
    latents = encode(rotations, place, model.rest_joints(betas), camera, crop).numpy()
    pose = rotation_vectors(rotations)
    joints, keypoints = points.joints.numpy(), points.keypoints.numpy()
    found = [
        Told(one.model, pose[k], place[k].numpy(), betas[k].numpy(), joints[k], keypoints[k], latents[k], None)
        for k in range(size)
    ]
    return found, off


def _meshes(body: BodyInUse, one: Predicted, person: Person) -> tuple[list[Told], float]:
    if one.vertices is None:
        raise Unusable(
            f"it holds parameters of '{one.topology}' or joints alone, and the body in use is '{body.model.name}': "
            "give the run that body ([base] body), or predictions with vertices"
        )
    own, count = one, body.model.vertex_count
    if body.map_of_mhr is not None and len(body.map_of_mhr.corners) == count:
        own = to_topology(one, body.map_of_mhr)
    if own.vertices is not None and own.topology == body.model.name and own.vertices.shape[1] == count:
        vertices, faces, topology = own.vertices, body.model.faces, own.topology
        exact = np.asarray(vertices, np.float32)
        joints, keypoints = joints_of_mesh(body.arrays, exact), keypoints_of_mesh(body.arrays, exact)
    else:
        vertices, faces, topology = one.vertices, _faces(body, one), one.topology
        joints, keypoints = _named(one)
    shift, off = moves(keypoints, one, person)
    mesh_at = np.asarray(vertices, np.float32) + shift[:, None]
    joints, keypoints = joints + shift[:, None], keypoints + shift[:, None]
    nothing = np.full((SMPL_JOINTS, 3), np.nan, np.float32), np.full(DIMS, np.nan, np.float32)
    shape = np.zeros(10, np.float32)
    return [
        Told(one.model, nothing[0], keypoints[k, HIPS].mean(0), shape, joints[k], keypoints[k], nothing[1],
             Mesh(mesh_at[k], np.asarray(faces, np.int32), topology))
        for k in range(len(one))
    ], off  # fmt: skip


def _faces(body: BodyInUse, one: Predicted) -> Int[np.ndarray, "f 3"]:
    if one.faces is not None:
        return np.asarray(one.faces, np.int64)
    if one.topology == "mhr" and body.map_of_mhr is not None and body.map_of_mhr.faces is not None:
        return body.map_of_mhr.faces
    fix = "give --mhr-maps" if one.topology == "mhr" else "give the run that body ([base] body)"
    raise Unusable(f"it has vertices of '{one.topology or 'an unknown mesh'}' without faces: {fix}")


def _named(one: Predicted) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Joints (G, 29, 3), NaN where not told, and keypoints (G, 23, 3) from named key points."""
    if one.joints is None or one.names is None:
        raise Unusable("it names no key points, and the body in use has no regressor for its vertices")
    place = {name: k for k, name in enumerate(one.names) if name}
    if missing := [name for name in KEYPOINT_NAMES if name not in place]:
        raise Unusable(f"it has no key point {', '.join(missing[:3])}")
    given = np.asarray(one.joints, np.float32)
    joints = np.full((len(one), len(JOINT_NAMES), 3), np.nan, np.float32)
    for k, name in enumerate(JOINT_NAMES):
        if name in place:
            joints[:, k] = given[:, place[name]]
    return joints, given[:, [place[name] for name in KEYPOINT_NAMES]]


def moves(points: Float[np.ndarray, "g k 3"], one: Predicted, person: Person) -> tuple[Float[np.ndarray, "g 3"], float]:
    """How far each hypothesis is moved, metres, so that the person's camera sees its points where the model's own does.

    Least squares of the projection's equations in the shift; nothing moves if the cameras are the same, or the model
    tells none. The second number is the largest distance, px, that is left.
    """
    still = np.zeros((len(points), 3), np.float32)
    if one.camera is None or np.allclose(one.camera, person.camera, rtol=SAME_CAMERA, atol=SAME_CAMERA):
        return still, 0.0
    exact, seen = points.astype(np.float64), project(points, one.camera)
    fx, fy, cx, cy = person.camera.astype(np.float64)
    off = 0.0
    for k, (place, pixel) in enumerate(zip(exact, seen)):
        u, v = (pixel[:, 0] - cx) / fx, (pixel[:, 1] - cy) / fy
        zero, ones = np.zeros_like(u), np.ones_like(u)
        equations = np.concatenate([np.stack([ones, zero, -u], 1), np.stack([zero, ones, -v], 1)])
        goal = np.concatenate([u * place[:, 2] - place[:, 0], v * place[:, 2] - place[:, 1]])
        still[k] = np.linalg.lstsq(equations, goal, rcond=None)[0]
        left = project(place + still[k], person.camera) - pixel
        off = max(off, float(np.linalg.norm(left, axis=1).max()))
    return still, off


def with_told(own: Group | None, person: Person, told: Sequence[Told]) -> Group:
    """The person's own group, if there is one, with other models' hypotheses behind it."""
    size = 0 if own is None else len(own)
    names = ("pose", "translation", "joints", "keypoints", "latents")
    columns = {name: np.stack([getattr(one, name) for one in told]) for name in names}
    shapes = np.stack([one.shape for one in told])
    if own is not None:
        columns = {name: np.concatenate([getattr(own, name), values]) for name, values in columns.items()}
        shapes = np.concatenate([np.broadcast_to(own.each_shape, (size, 10)), shapes])
    meshes = (*((None,) * size if own is None else own.meshes or (None,) * size), *(one.mesh for one in told))
    makers = () if own is None else own.made_by or (f"ours {own.model_digest}",) * size
    base = Group(
        person=person,
        model_digest=MADE if own is None else own.model_digest,
        temperature=1.0 if own is None else own.temperature,
        betas=shapes.mean(0).astype(np.float32) if own is None else own.betas,
        seeds=np.zeros(0, np.int64), zero_start=np.zeros(0, bool), synthetic=np.zeros(0, bool),
        latents=columns["latents"], pose=columns["pose"], translation=columns["translation"],
        joints=columns["joints"], keypoints=columns["keypoints"],
    )  # fmt: skip
    brought = np.zeros(len(told), bool)
    return replace(
        base,
        seeds=np.concatenate([base.seeds if own is None else own.seeds, np.full(len(told), -1, np.int64)]),
        zero_start=np.concatenate([base.zero_start if own is None else own.zero_start, brought]),
        synthetic=np.concatenate([base.synthetic if own is None else own.synthetic, brought]),
        made_by=(*makers, *(one.made_by for one in told)),
        shapes=np.asarray(shapes, np.float32),
        meshes=meshes if any(mesh is not None for mesh in meshes) else (),
    )
