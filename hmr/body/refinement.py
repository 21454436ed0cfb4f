"""A short fit of one body to the detector's landmarks, from a hypothesis and near it.

    E = sum_k w_k v_k 2 (sqrt(1 + (|p_k - l_k| / noise)^2) - 1) + sum_j |d_j|^2 / s_j^2 + (log z / z_0)^2 / s_z^2

p are projected keypoints and l landmarks, px of a 256 px crop; v is the landmark's visibility, w the weight for how
well both mark the same point; d_j the rotation vector by which joint j turns from the hypothesis, s_j how far it may
turn; z the pelvis' depth. The shape is kept, and so are the lengths of all bones. Minimised by L-BFGS with strong Wolfe
line search (Liu and Nocedal 1989, as in torch). Fits of this kind: Bogo et al. 2016, SMPLify; their priors on poses are
replaced by a penalty on leaving the hypothesis, which a model of poses has sampled.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from hmr.body.body import Body
from hmr.body.camera import project
from hmr.body.kinematics import forward_kinematics
from hmr.body.rotations import rotation_matrices
from hmr.body.skeleton import KEYPOINT_NAMES
from hmr.detection.agreement import CROP, LANDMARK_OF_KEYPOINT, SHARED

__all__ = ["DEFAULT", "RefineSettings", "Refined", "refine"]


@dataclass(frozen=True)
class RefineSettings:
    """How strongly the fit pulls, and how far it may go."""

    noise: float = 8.0  # px of a 256 px crop: typical error of a landmark
    turn: float = 1.0  # scales how far all joints may turn
    depth: float = 0.1  # log of the pelvis' depth over the hypothesis': how far it may move
    steps: int = 40  # of L-BFGS


DEFAULT = RefineSettings()


class Refined(NamedTuple):
    """One body after the fit."""

    rotations: Float[Tensor, "24 3 3"]
    translation: Float[Tensor, " 3"]  # metres
    turned: Float[Tensor, " 24"]  # how far each joint turned, radians


_LIMB, _TRUNK, _END = 0.1, 0.035, 0.05
_TURN = torch.tensor(
    [0.09, _LIMB, _LIMB, _TRUNK, _LIMB, _LIMB, _TRUNK, _END, _END, _TRUNK, _TRUNK, _TRUNK, _END, _TRUNK, _TRUNK, _END]
    + [_LIMB] * 4
    + [_TRUNK] * 4,
    dtype=torch.float64,
)
"""(24,) radians that each joint may turn at little cost: trunk, hands and feet little, limbs more. On the studio's
`val` people, a third of these values changes 2-D and 3-D errors less; three times as much fits the landmarks closer but
makes the 3-D errors grow, since landmarks contain no depth."""

_MEANING = {"hip": 0.5, "nose": 0.5, "eye": 0.25, "ear": 0.25, "toe": 0.5, "heel": 0.5}
"""Weight of landmarks that are defined differently from our keypoints, or that move together."""


def refine(
    body: Body,
    rotations: Float[Tensor, "24 3 3"],
    betas: Float[Tensor, " 10"],
    translation: Float[Tensor, " 3"],
    camera: Float[Tensor, " 4"],
    landmarks: Float[Tensor, "33 4"],
    crop: Float[Tensor, " 3"],
    settings: RefineSettings = DEFAULT,
) -> Refined:
    """Fit one body to the landmarks of its person, starting from a hypothesis.

    Args:
        rotations: local rotation matrices, root first. betas: shape, unit-free.
        translation: metres, camera frame. camera: (fx, fy, cx, cy), px of the photograph.
        landmarks: x, y (px of the photograph), z, visibility 0..1; one that is not finite counts as unseen.
        crop: centre x, centre y, side of the person's crop, px of the photograph.

    If the fit cannot improve the hypothesis, or no landmark is seen, it is returned unchanged.
    """
    start = rotations.double()
    seen = landmarks[torch.from_numpy(LANDMARK_OF_KEYPOINT[SHARED])].double()
    finite = seen.isfinite().all(-1)
    weights = torch.where(finite, seen[:, 3].clamp(0, 1), 0.0) * _weights()
    places, factor = torch.where(finite[:, None], seen[:, :2], 0.0), CROP / float(crop[2])
    with torch.no_grad():
        rest = body.rest_joints(betas[None]).double()
        carried = [x.double() for x in body.carried_keypoints(rotations[None], betas[None])]
    depth = float(translation[2] + rest[0, 0, 2])
    scale = _TURN * settings.turn
    # Unknowns in units of their own spread: the place moves across the view in px of the crop, in depth by its log.
    unknown = torch.zeros(24 * 3 + 3, dtype=torch.float64, requires_grad=True)
    ray = depth / camera[:2].double() / factor * settings.noise

    def posed() -> tuple[Tensor, Tensor, Tensor]:
        turns = unknown[:72].view(24, 3) * scale[:, None]
        further = torch.expm1(unknown[74] * settings.depth)
        # Along its own ray, so that a change of depth leaves the pelvis where it is seen.
        pelvis = (translation.double() + rest[0, 0]) * (1 + further)
        moved = pelvis + torch.cat([unknown[72:74] * ray, torch.zeros(1, dtype=torch.float64)]) - rest[0, 0]
        return start @ rotation_matrices(turns), moved, turns

    def cost() -> Tensor:
        turned, moved, _ = posed()
        points = _keypoints(turned[None], moved[None], rest, *carried)
        gaps = (project(points, camera[None].double())[0, SHARED] - places) * factor / settings.noise
        far = 2 * ((1 + gaps.square().sum(-1)).sqrt() - 1)
        return (weights * far).sum() + unknown[:72].square().sum() + unknown[74].square()

    search = torch.optim.LBFGS(
        [unknown], lr=1.0, max_iter=settings.steps, history_size=20, tolerance_grad=1e-4, tolerance_change=1e-6,
        line_search_fn="strong_wolfe",
    )  # fmt: skip

    def closure() -> float:
        search.zero_grad()
        value = cost()
        value.backward()
        return float(value.detach())

    before = float(cost().detach())
    if float(weights.sum()) > 0:
        search.step(closure)
    with torch.no_grad():
        turned, moved, turns = posed()
        if not float(cost()) < before or not bool(turned.isfinite().all()):
            return Refined(rotations.clone(), translation.clone(), torch.zeros(24))
    return Refined(turned.to(rotations.dtype), moved.to(translation.dtype), turns.norm(dim=-1).float())


def _keypoints(
    rotations: Float[Tensor, "b 24 3 3"], translation: Float[Tensor, "b 3"], rest: Float[Tensor, "b 29 3"],
    points: Float[Tensor, "b 23 24 3"], shares: Float[Tensor, "23 24"],
) -> Float[Tensor, "b 23 3"]:  # fmt: skip
    """Keypoints, metres, camera frame, from what each joint carries of them (`Body.carried_keypoints`)."""
    posed = forward_kinematics(rotations, rest, translation)
    about = points - shares[..., None] * rest[:, None, :24]
    turned = torch.einsum("bjcd,bkjd->bkc", posed.rotations, about)
    return turned + torch.einsum("kj,bjc->bkc", shares, posed.joints[:, :24])


def _weights() -> Float[Tensor, " 21"]:
    parts = [KEYPOINT_NAMES[k].rpartition("_")[2] for k in SHARED]
    return torch.tensor([_MEANING.get(part, 1.0) for part in parts], dtype=torch.float64)
