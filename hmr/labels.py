"""Studio people with their ground truth: the only place where pixels and labels meet.

Every caller declares what for; `hmr.studio.truths` refuses purposes that a split does not allow.
"""

from typing import NamedTuple

import torch

from hmr.body import Body
from hmr.evaluation import TrueBodies
from hmr.latent import encode
from hmr.observation import SeenPeople
from hmr.pretraining import LabelledPeople
from hmr.studio import Purpose, Split, truths


class KnownPeople(NamedTuple):
    """Ground truth of seen people, row by row, and the camera that took the picture."""

    bodies: TrueBodies
    camera: torch.Tensor  # (n, 4) true intrinsics, px


def known_people(body: Body, split: Split, seen: SeenPeople, *, purpose: Purpose) -> KnownPeople:
    """Ground truth of the people who were found in a split."""
    truth = truths(body, split, seen.index.tolist(), purpose=purpose)
    tensors = [torch.from_numpy(x) for x in (truth.rotations, truth.betas, truth.translation, truth.camera)]
    return KnownPeople(TrueBodies(*tensors[:3]), tensors[3])


def labelled_people(body: Body, split: Split, seen: SeenPeople, *, purpose: Purpose) -> LabelledPeople:
    """Observations with the diffused vectors that training aims at."""
    known = known_people(body, split, seen, purpose=purpose)
    rest = body.rest_joints(known.bodies.betas)
    crop = torch.from_numpy(seen.crop)
    latents = encode(known.bodies.rotations, known.bodies.translation, rest, known.camera, crop)
    return LabelledPeople(seen.observation(), latents, known.bodies.betas)
