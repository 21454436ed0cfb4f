"""The embedded benchmark "studio": procedural people with exact ground truth, drawn as photographs.

A scene depends only on (version, split, index): body shape, pose, camera, light, clothes, background and occluders
all come from a seed sequence of its own, so no subject and no pose is shared between splits. The rest of the project
sees only the picture; the truth is returned only by `truths`, for a declared purpose.

Splits. `lab` and `broad` are the labelled `pretrain` data: `lab` is a plain studio (even light, plain clothes and
background, easy poses, cameras at eye level all around); `broad` is everything, a quarter of it with the look of
the lab. `wild` is the target domain; its labels may be read only for declared purposes. `val` and `test` are like
`wild` with other subjects; `easy_val` and `easy_test` are like `lab`.

Version 2. `wild` is hard by its poses (sports, sitting, kneeling, lying, reaching), views, shapes and focal lengths,
by moderate truncation and occlusion; its light, clothes and backgrounds are such that a person detector works about as
well as on photographs (`hmr-align experiment detector` prints both). People rest on a floor (`ground`), and no
body part passes through another by more than skin yields.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, NamedTuple, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.spatial.transform import Rotation

from hmr.body.body import Body
from hmr.body.ground import floor_height, settle
from hmr.body.kinematics import forward_kinematics
from hmr.body.penetration import self_penetration
from hmr.rendering.rasterizer import Lights, draw_colours, project, shade, vertex_normals
from hmr.studio.pose_prior import sample_angles, to_rotations

VERSION = "studio-2"
SIZE = 320  # height and width of a picture, px

Split = Literal["lab", "broad", "wild", "val", "test", "easy_val", "easy_test"]
SPLITS: tuple[str, ...] = get_args(Split)
LABELLED: tuple[Split, ...] = ("lab", "broad")
UNREFLECTED: tuple[Split, ...] = ("wild", "test", "easy_test")
Purpose = Literal["pretrain", "reflection", "benchmark", "headroom probe", "oracle critic", "test of the project"]
PURPOSES: tuple[str, ...] = get_args(Purpose)

SKIN = 0.03  # metres by which capsules about body parts may overlap: skin and muscle yield

Floats = NDArray[np.float32]


class SealedLabelsError(PermissionError):
    """Labels were requested for a purpose that may not read them."""


@dataclass(frozen=True, eq=False)
class Truth:
    """The exact ground truth of N scenes; metres, camera frame."""

    rotations: Floats  # (N, 24, 3, 3) local joint rotations, root first
    betas: Floats  # (N, 10)
    translation: Floats  # (N, 3)
    camera: Floats  # (N, 4) fx, fy, cx, cy of the picture, px


@dataclass(frozen=True, eq=False)
class Look:
    """The kind of a photograph."""

    lab: bool
    poses: Literal["easy", "hard", "free"]
    close: bool = False  # head and shoulders fill the picture, as in portraits; for undrawn people


def _look(split: Split, rng: np.random.Generator) -> Look:
    if split in ("lab", "easy_val", "easy_test"):
        return Look(lab=True, poses="easy")
    if split == "broad":  # everything: some of it is lab-like
        return Look(lab=bool(rng.random() < 0.25), poses="easy" if rng.random() < 0.25 else "hard")
    return Look(lab=False, poses="hard")


def truths(body: Body, split: Split, indices: Sequence[int], *, purpose: str) -> Truth:
    """Ground truth of scenes, made again from their seeds; it is never on disk.

    Raises SealedLabelsError for an unknown purpose, if `pretrain` asks for a split that is not labelled, or if
    `reflection` asks for the target domain or the test people.
    """
    if purpose not in PURPOSES:
        raise SealedLabelsError(f"'{purpose}' is no purpose for reading labels; one of: {', '.join(PURPOSES)}")
    if purpose == "pretrain" and split not in LABELLED:
        raise SealedLabelsError(
            f"labels of '{split}' are sealed from pretraining; it reads {' and '.join(LABELLED)} only"
        )
    if purpose == "reflection" and split in UNREFLECTED:
        raise SealedLabelsError(
            f"labels of '{split}' are sealed from reflection: a critic must not learn from the people whose groups it "
            "scores for training, or by whom it is measured"
        )
    return _truth(body, split, indices)


def undrawn(body: Body, indices: Sequence[int], looks: Sequence[Look]) -> Truth:
    """People for pretraining of whom no picture is drawn: in none of the splits, with each of `looks` in turn."""
    rngs = [np.random.default_rng([*VERSION.encode(), 98, index]) for index in indices]
    return place_people(body, [looks[index % len(looks)] for index in indices], rngs).truth


def photographs(body: Body, split: Split, indices: Sequence[int]) -> list[NDArray[np.uint8]]:
    """The images of scenes, (320, 320, 3) uint8 RGB, 0 to 255, each: all that a model or critic may see."""
    geometry = _geometry(body, split, indices)
    truth = geometry.truth
    with torch.no_grad():
        posed = body(*(torch.from_numpy(x) for x in (truth.rotations, truth.betas, truth.translation)))
    return [
        _draw(body, vertices, _Stage(truth.camera[k], geometry.up[k], float(geometry.floor[k])), split, index)
        for k, (index, vertices) in enumerate(zip(indices, posed.vertices.numpy()))
    ]


def _seeds(split: Split, index: int) -> list[np.random.Generator]:
    """Independent generators of one scene: look, body and camera, picture."""
    entropy = [*VERSION.encode(), SPLITS.index(split), index]
    return [np.random.default_rng(s) for s in np.random.SeedSequence(entropy).spawn(3)]


@dataclass(frozen=True, eq=False)
class Geometry:
    """Everything about N scenes except their pictures; metres, camera frame."""

    truth: Truth
    up: Floats  # (N, 3) away from the floor
    floor: Floats  # (N,) height of the floor along `up`


def _truth(body: Body, split: Split, indices: Sequence[int]) -> Truth:
    return _geometry(body, split, indices).truth


def _geometry(body: Body, split: Split, indices: Sequence[int]) -> Geometry:
    generators = [_seeds(split, i)[:2] for i in indices]
    return place_people(body, [_look(split, look) for look, _ in generators], [rng for _, rng in generators])


def place_people(body: Body, looks: Sequence[Look], rngs: Sequence[np.random.Generator]) -> Geometry:
    """Bodies before cameras, each from its own random numbers."""
    betas = np.stack([np.clip(rng.standard_normal(10), -2.5, 2.5) for rng in rngs]).astype(np.float32)
    rest = body.rest_joints(torch.from_numpy(betas))
    rotations = _free_poses(rest, looks, rngs)
    placed = [_place(look, rng) for look, rng in zip(looks, rngs)]
    turns = np.stack([turn for turn, _ in placed])
    rotations[:, 0] = turns @ rotations[:, 0]
    posed = forward_kinematics(torch.from_numpy(rotations), rest)
    joints = posed.joints.numpy()
    shown = [_frame(j, look, rng, focal) for j, look, rng, (_, focal) in zip(joints, looks, rngs, placed)]
    translation = np.stack(shown).astype(np.float32)
    camera = np.array([[focal, focal, SIZE / 2, SIZE / 2] for _, focal in placed], np.float32)
    up = np.ascontiguousarray(turns[:, :, 1])  # the body's frame has y up
    floor = floor_height(joints + translation[:, None], posed.rotations.numpy(), up)
    return Geometry(Truth(rotations, betas, translation, camera), up, floor)


def _free_poses(rest: torch.Tensor, looks: Sequence[Look], rngs: Sequence[np.random.Generator]) -> Floats:
    """Poses at rest on the ground, without body parts in each other: drawn again, at most eight times, until so."""
    poses = to_rotations(np.stack([sample_angles(r, k.poses) for k, r in zip(looks, rngs)]))
    for _ in range(8):
        joints = forward_kinematics(torch.from_numpy(poses), rest).joints.numpy()
        bad = _in_trunk(joints) | (self_penetration(joints) > SKIN)
        deep = [int(row) for row in np.flatnonzero(bad)]
        if not deep:
            break
        poses[deep] = to_rotations(np.stack([sample_angles(rngs[i], looks[i].poses) for i in deep]))
    posed = forward_kinematics(torch.from_numpy(poses), rest)
    poses[:, 0] = settle(posed.joints.numpy(), posed.rotations.numpy()) @ poses[:, 0]
    return poses


def _in_trunk(joints: Floats) -> NDArray[np.bool_]:
    """Whether a wrist, hand or ankle lies within 10 cm of the line from pelvis to neck; joints (N, 29, 3)."""
    low, high = joints[:, None, 0], joints[:, None, 12]
    ends = joints[:, [7, 8, 20, 21, 22, 23, 25, 26]]
    along = ((ends - low) * (high - low)).sum(-1) / ((high - low) ** 2).sum(-1)
    nearest = low + np.clip(along, 0, 1)[..., None] * (high - low)
    return (np.linalg.norm(ends - nearest, axis=-1) < 0.10).any(1)


def _place(look: Look, rng: np.random.Generator) -> tuple[Floats, float]:
    """Turn of the body in front of the camera (3, 3), and focal length in px."""
    if look.lab:
        yaw, elevation, roll = rng.uniform(-180, 180), rng.normal(4, 3), rng.normal(0, 1)
        focal = rng.uniform(1.3, 1.6)
    else:
        # People are photographed from the front more often than from behind.
        yaw = rng.uniform(-180, 180) if rng.random() < 0.5 else rng.normal(0, 55)
        elevation, roll = rng.triangular(-12, 5, 38), rng.normal(0, 4)
        focal = rng.uniform(0.95, 2.1)
    # y up and facing +z in the body's frame is y down and facing -z in the camera's: half a turn about x.
    camera = Rotation.from_euler("zx", [roll, 180 - elevation], degrees=True)
    return (camera * Rotation.from_euler("y", yaw, degrees=True)).as_matrix().astype(np.float32), focal * SIZE


def _frame(joints: Floats, look: Look, rng: np.random.Generator, focal: float) -> Floats:
    """Translation (3,) that frames the person: size in the picture, place, truncation."""
    centre = (joints.max(0) + joints.min(0)) / 2
    extent = float((joints.max(0) - joints.min(0))[:2].max()) + 0.12
    cut = not look.lab and rng.random() < 0.18
    share = rng.uniform(0.62, 0.85) if look.lab else rng.uniform(0.95, 1.5) if cut else rng.uniform(0.55, 0.88)
    if look.close:
        cut, share = True, rng.uniform(1.4, 3.5)
    depth = max(focal * extent / (share * SIZE), 1.2)
    room = max(1 - share, 0) / 2 + (0.15 if cut else 0)
    shift = rng.uniform(-1, 1, 2) * room * SIZE * depth / focal
    if cut:  # head and shoulders stay inside: photographers cut off legs, hands, a side
        kept = joints[[15, 12], :2].mean(0) - centre[:2] + shift
        limit = 0.30 * SIZE * depth / focal
        shift -= kept - np.clip(kept, -limit, limit)
    return np.array([*(shift - centre[:2]), depth - centre[2]], np.float32)


# --- pictures -------------------------------------------------------------------------------------------


@lru_cache(maxsize=2)
def _regions(body: Body) -> dict[str, NDArray[np.bool_]]:
    """Vertices of each part of the clothing and face, from skin weights and the rest pose."""
    part, rest = body.skin_weights.argmax(1), body.template
    head = np.isin(part, (15,))
    top = rest[head][:, 1].max()
    front = rest[head][:, 2].max()
    face = head & (rest[:, 2] > front - 0.085) & (rest[:, 1] > top - 0.20)
    eyes = np.zeros(len(rest), bool)
    for side in (1, -1):
        eyes |= head & (np.linalg.norm(rest - (0.03 * side, top - 0.108, front - 0.03), axis=1) < 0.013)
    mouth = face & (np.abs(rest[:, 0]) < 0.026) & (np.abs(rest[:, 1] - (top - 0.182)) < 0.009)
    brows = face & (np.abs(np.abs(rest[:, 0]) - 0.03) < 0.018) & (np.abs(rest[:, 1] - (top - 0.088)) < 0.006)
    hair = head & ((rest[:, 1] > top - 0.055) | ((rest[:, 2] < front - 0.10) & (rest[:, 1] > top - 0.20)))
    return {
        "shirt": np.isin(part, (3, 6, 9, 13, 14)) | (np.isin(part, (0,)) & (rest[:, 1] > 0.02)),
        "sleeves": np.isin(part, (16, 17)),
        "cuffs": np.isin(part, (18, 19)),
        "trousers": np.isin(part, (0, 1, 2)),
        "shanks": np.isin(part, (4, 5)),
        "shoes": np.isin(part, (7, 8, 10, 11)),
        "hair": hair,
        "eyes": eyes,
        "mouth": mouth,
        "brows": brows,
    }


def _colours(body: Body, look: Look, rng: np.random.Generator) -> Floats:
    """Clothing-like vertex colours (V, 3) in 0..1."""
    regions = _regions(body)
    rest = body.template
    tone = rng.uniform(0.25, 1.0)
    skin = np.array([0.93, 0.72, 0.60]) * tone**1.3 + np.array([0.04, 0.02, 0.01])
    colours = np.tile(skin, (len(rest), 1))
    hair = np.array([0.45, 0.30, 0.16]) * rng.uniform(0.15, 1.3)

    def dye() -> NDArray[np.float64]:
        if look.lab:
            return np.full(3, rng.uniform(0.25, 0.75)) + rng.normal(0, 0.03, 3)
        grey = rng.uniform(0.05, 0.95)
        return np.clip(grey + rng.uniform(0, 0.6) * rng.normal(0, 0.6, 3), 0.02, 1)

    shirt, trousers, shoes = dye(), dye(), dye()
    short_sleeves, shorts = rng.random() < 0.5, rng.random() < 0.3
    paint = {"trousers": trousers, "shirt": shirt, "sleeves": shirt, "shoes": shoes, "hair": hair}
    if not short_sleeves:
        paint["cuffs"] = shirt
    if not shorts:
        paint["shanks"] = trousers
    if not look.lab and rng.random() < 0.15:
        paint["sleeves"] = paint["cuffs"] = skin
    for region, colour in paint.items():
        colours[regions[region]] = colour
    if not look.lab:
        for region in ("shirt", "trousers"):
            if rng.random() < 0.45:  # stripes, checks or blotches in a second colour
                where = regions[region].copy()
                if region == "shirt":
                    where |= regions["sleeves"] & (rng.random() < 0.7)
                style, period = rng.integers(3), rng.uniform(0.04, 0.16)
                phase = rest[where] / period
                if style == 0:
                    on = (phase[:, 1] % 1) < 0.5
                elif style == 1:
                    on = ((phase[:, 1] % 1) < 0.5) ^ ((phase[:, 0] % 1) < 0.5)
                else:
                    on = np.sin(phase * 4 + rng.uniform(0, 6, 3)).sum(1) > 0.3
                colours[np.flatnonzero(where)[on]] = dye()
    colours[regions["brows"]] = hair * 0.8
    colours[regions["mouth"]] = skin * (0.75, 0.5, 0.5)
    colours[regions["eyes"]] = 0.06
    return np.clip(colours, 0, 1).astype(np.float32)


def _lights(look: Look, rng: np.random.Generator) -> Lights:
    if look.lab:
        directions = np.array([[0, -0.5, -1], [0.9, -0.3, -0.3], [-0.9, -0.3, -0.3]]) + rng.normal(0, 0.05, (3, 3))
        strengths, ambient = np.array([0.45, 0.2, 0.2]), 0.42
    else:
        directions = rng.normal(0, 0.7, (2, 3)) - (0, 0.8, 0.5)  # mostly from above and from the camera's side
        strengths, ambient = np.array([rng.uniform(0.3, 0.65), rng.uniform(0.05, 0.3)]), rng.uniform(0.28, 0.5)
    directions = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    return Lights(ambient=ambient, directions=directions.astype(np.float32), strengths=strengths.astype(np.float32))


@lru_cache(maxsize=1)
def _backgrounds() -> list[Floats]:
    """A pool of textured pictures (480, 480, 3): clouds of several scales, panels, floors. Made once a process."""
    rng = np.random.default_rng([*VERSION.encode(), 99])
    pool, side = [], 480
    for _ in range(40):
        low, high = (rng.uniform(0.05, 0.95) + rng.normal(0, 0.12, 3) for _ in range(2))
        layers = (
            a * gaussian_filter(rng.standard_normal((side, side)), s, mode="wrap") * s
            for a, s in zip(rng.uniform(0, 1, 4), (1.5, 5, 16, 50))
        )
        mix = sum(layers, start=np.zeros((side, side)))
        mix = (mix - mix.min()) / (np.ptp(mix) + 1e-9)
        picture = low + (high - low) * mix[..., None]
        for _ in range(rng.integers(0, 12)):  # panels, posts, windows
            y, x = rng.integers(0, side, 2)
            h, w = (rng.uniform(0.05, 0.6, 2) * side).astype(int)
            picture[y : y + h, x : x + w] = picture[y : y + h, x : x + w] * 0.4 + 0.6 * (
                rng.uniform(0, 1) + rng.normal(0, 0.12, 3)
            )
        if rng.random() < 0.5:  # a floor
            horizon = int(side * rng.uniform(0.5, 0.8))
            picture[horizon:] = picture[horizon:] * 0.5 + 0.5 * (rng.uniform(0, 1) + rng.normal(0, 0.12, 3))
        pool.append(picture.astype(np.float32))
    return pool


def _background(look: Look, rng: np.random.Generator) -> Floats:
    if look.lab:
        top, bottom = rng.uniform(0.55, 0.8), rng.uniform(0.4, 0.7)
        column = np.linspace(top, bottom, SIZE)[:, None, None] + rng.normal(0, 0.01, 3)
        return np.broadcast_to(column, (SIZE, SIZE, 3)).astype(np.float32).copy()
    picture = _texture(rng)
    return np.clip(picture * rng.uniform(0.6, 1.15), 0, 1)


def _texture(rng: np.random.Generator) -> Floats:
    """A piece of the pool, (320, 320, 3), rotated and recoloured; its colours are muted, as in most places."""
    pool = _backgrounds()
    picture = pool[rng.integers(len(pool))]
    y, x = rng.integers(0, picture.shape[0] - SIZE, 2)
    picture = picture[y : y + SIZE, x : x + SIZE][:, :: rng.choice([-1, 1])][..., rng.permutation(3)]
    grey = picture.mean(-1, keepdims=True)
    return grey + (picture - grey) * np.float32(rng.uniform(0.2, 0.9))


class _Stage(NamedTuple):
    """Camera (4,), px, up direction (3,) and the floor's height along it, metres, of a scene."""

    camera: Floats
    up: Floats
    floor: float


def _lay_floor(picture: Floats, points: Floats, vertices: Floats, stage: _Stage, rng: np.random.Generator) -> None:
    """A textured floor below the horizon and the body's soft shadow on it, in place."""
    rows, columns = np.mgrid[:SIZE, :SIZE] + 0.5
    rays = np.stack([columns - stage.camera[2], rows - stage.camera[3]], -1) / stage.camera[0]
    fall = rays @ stage.up[:2] + stage.up[2]  # height gained along the ray for each metre of depth
    depth = stage.floor / np.where(np.abs(fall) < 1e-4, 1e-4, fall)
    below = (depth > 0) & (depth < 40) & (fall < 0)
    if below.any():
        share = (np.exp(-np.clip(depth, 0, 40) / 25) * below)[..., None]
        picture += (np.clip(_texture(rng) * rng.uniform(0.6, 1.15), 0, 1) - picture) * share.astype(np.float32)
    height = vertices @ stage.up - stage.floor
    fallen = vertices - height[:, None] * stage.up  # straight down onto the floor
    spots = project(fallen.astype(np.float32), stage.camera)[:, :2]
    near = np.exp(-np.maximum(height, 0) / 0.35)
    shade_of, _, _ = np.histogram2d(spots[:, 1], spots[:, 0], SIZE, [[0, SIZE], [0, SIZE]], weights=near)
    wide = 0.05 * stage.camera[0] / max(float(vertices[:, 2].mean()), 0.5)
    soft = gaussian_filter(shade_of, wide, truncate=2.5)
    dark = rng.uniform(0.2, 0.55) * np.clip(soft / (soft.max() + 1e-9), 0, 1)[..., None]
    picture *= (1 - dark * below[..., None]).astype(np.float32)


def _occlude(picture: Floats, points: Floats, head: Floats, rng: np.random.Generator) -> None:
    """A textured box or disc in front of the person, in place: furniture and other people's backs, never a head."""
    inside = points[np.all((points[:, :2] >= 0) & (points[:, :2] < SIZE), axis=1)]
    rows, columns = np.mgrid[:SIZE, :SIZE]
    for _ in range(4):
        if not len(inside):
            return
        u, v = inside[rng.integers(len(inside)), :2]
        a, b = rng.uniform(0.05, 0.16, 2) * SIZE
        if np.hypot(*((head[:2] - (u, v)) / (a, b))) < 2.2:
            continue
        if rng.random() < 0.6:
            where = (np.abs(columns - u) < a) & (np.abs(rows - v) < b)
        else:
            where = ((columns - u) / a) ** 2 + ((rows - v) / b) ** 2 < 1
        picture[where] = np.clip(_texture(rng)[where] * rng.uniform(0.4, 1.2), 0, 1)
        return


def _draw(body: Body, vertices: Floats, stage: _Stage, split: Split, index: int) -> NDArray[np.uint8]:
    look_rng, _, rng = _seeds(split, index)
    look = _look(split, look_rng)
    picture = _background(look, rng)
    points = project(vertices, stage.camera)
    _lay_floor(picture, points, vertices, stage, rng)
    colours = shade(vertex_normals(vertices, body.faces), _lights(look, rng), _colours(body, look, rng))
    draw_colours(points, body.faces, colours, picture)
    if not look.lab and rng.random() < 0.22:
        _occlude(picture, points, points[body.skin_weights.argmax(1) == 15].mean(0), rng)
    if look.lab:
        blur, noise, gamma = 0.6, 0.008, 1.0
    else:
        blur, noise, gamma = rng.uniform(0.3, 1.0), rng.uniform(0.0, 0.02), rng.uniform(0.8, 1.25)
    picture = gaussian_filter(picture, (blur, blur, 0), truncate=2.5)
    picture = np.clip(picture, 0, 1) ** gamma + noise * _noise()[rng.integers(8)]
    return (np.clip(picture, 0, 1) * 255).astype(np.uint8)


@lru_cache(maxsize=1)
def _noise() -> Floats:
    """Eight pictures of sensor noise; making new ones would take longer than drawing the person."""
    return np.random.default_rng(7).standard_normal((8, SIZE, SIZE, 3), dtype=np.float32)
