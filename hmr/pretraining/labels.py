"""Studio people with their ground truth: the only place where pixels and labels meet.

Every caller declares its purpose; `hmr.studio.studio.truths` raises SealedLabelsError if a split does not allow it.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch

from hmr.body.body import Body
from hmr.body.kinematics import forward_kinematics, twists_of
from hmr.body.landmark_points import landmark_places
from hmr.diffusion.latent import encode
from hmr.metrics.evaluation import TrueBodies, Truth
from hmr.pretraining.pretraining import LabelledPeople
from hmr.studio.observation import SeenPeople
from hmr.studio.simulated_detection import Detections, PlacedPeople
from hmr.studio.studio import SIZE, Look, Purpose, Split, truths, undrawn


class KnownPeople(NamedTuple):
    """Ground truth of seen people, row by row, and the camera that took the picture."""

    bodies: Truth
    camera: torch.Tensor  # (n, 4) true intrinsics, px; NaN = not known

    @property
    def whole(self) -> TrueBodies:
        """The true bodies. Raises ValueError if joints alone are known."""
        if not isinstance(self.bodies, TrueBodies):
            raise ValueError(
                "of these people joints alone are known, and this needs true bodies: import a dataset with parameters "
                "of the body in use, and give that body by [base] body"
            )
        return self.bodies


def known_people(body: Body, split: Split, seen: SeenPeople, *, purpose: Purpose) -> KnownPeople:
    """Ground truth of the people who were found in a split; raises SealedLabelsError if `purpose` is not allowed."""
    truth = truths(body, split, seen.index.tolist(), purpose=purpose)
    tensors = [torch.from_numpy(x) for x in (truth.rotations, truth.betas, truth.translation, truth.camera)]
    return KnownPeople(TrueBodies(*tensors[:3]), tensors[3])


def labelled_people(body: Body, split: Split, seen: SeenPeople, *, purpose: Purpose) -> LabelledPeople:
    """Observations with their true diffused vectors and betas; raises SealedLabelsError if `purpose` is not allowed."""
    return labelled(body, known_people(body, split, seen, purpose=purpose), seen)


def labelled(body: Body, known: KnownPeople, seen: SeenPeople) -> LabelledPeople:
    """Observations of seen people with their true diffused vectors and betas. Raises ValueError if joints alone are
    known.
    """
    bodies = known.whole
    rest = body.rest_joints(bodies.betas)
    latents = encode(bodies.rotations, bodies.translation, rest, known.camera, torch.from_numpy(seen.crop))
    return LabelledPeople(seen.observation(), latents, bodies.betas)


def placed_people(body: Body, split: Split, seen: SeenPeople, *, purpose: Purpose) -> PlacedPeople:
    """The true bodies of seen people, metres; raises SealedLabelsError if `purpose` is not allowed."""
    known = known_people(body, split, seen, purpose=purpose)
    return _placed(body, known.whole, known.camera)


def detections_of(seen: SeenPeople) -> Detections:
    """What the detector saw of these people, as tensors: landmarks in px, world landmarks in metres, crops in px."""
    return Detections(*(torch.from_numpy(part) for part in (seen.landmarks, seen.world, seen.crop)))


def undrawn_people(body: Body, count: int, looks: Sequence[Look], *, block: int = 2000) -> PlacedPeople:
    """People for training only, of whom no picture is drawn, metres; with each look of `looks` in turn."""
    parts = []
    for start in range(0, count, block):
        truth = undrawn(body, range(start, min(start + block, count)), looks)
        tensors = [torch.from_numpy(x) for x in (truth.rotations, truth.betas, truth.translation, truth.camera)]
        parts.append(_placed(body, TrueBodies(*tensors[:3]), tensors[3]))
    return PlacedPeople(*(torch.cat(part) for part in zip(*parts)))


def _placed(body: Body, bodies: TrueBodies, camera: torch.Tensor) -> PlacedPeople:
    rest = body.rest_joints(bodies.betas)
    posed = forward_kinematics(bodies.rotations, rest, bodies.translation)
    marks, twists = landmark_places(posed.joints, posed.rotations), twists_of(bodies.rotations, rest).flatten(1)
    return PlacedPeople(posed.joints, marks, twists, bodies.betas, camera, torch.full((len(camera),), float(SIZE)))
