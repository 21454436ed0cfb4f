"""Groups and pairs on which GPA-HMR and ADHMR train, as hypotheses for people of a run.

Such a file tells joints in a crop of the picture and twists, but no camera and no body: a hypothesis is posed with the
body in use, its mean shape, and the camera of the person of the run whom it is about.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from hmr.body.body import Body
from hmr.body.rotations import rotation_vectors
from hmr.detection.boxes import overlaps
from hmr.diffusion.latent import decode
from hmr.diffusion.noise_schedule import DATA_SCALE
from storage.predictions.predicted import Predicted
from storage.predictions.preference_files import Preferences
from storage.records import Person
from tasks.data.predicted_groups import LEAST_OVERLAP, Unusable, picture_of

SIDE = 256.0
"""Pixels of their crops."""
HALVES = 1.0
"""Extent of a person in the crop below which u and v count from -0.5 to 0.5, and depth in units of 2 m."""
LARGEST = 3.0
"""Extent above which they are no shares of the crop."""
LEAST = 1e-3
"""Turn of a crop, as a share of its scale, from which on it is not upright."""


def as_predictions(
    body: Body, preferences: Sequence[Preferences], people: Sequence[Person], model: str
) -> tuple[list[Predicted], list[tuple[str, str, str]]]:
    """Hypotheses in the cameras of people of a run; and those that cannot be used: picture, row, reason."""
    by_picture: dict[str, list[Person]] = {}
    for person in people:
        by_picture.setdefault(Path(person.photo).stem, []).append(person)
    found, lost = [], []
    for one in preferences:
        here = by_picture.get(picture_of(one.image, list(by_picture)) or "", [])
        try:
            found.append(_posed(body, one, here, model))
        except Unusable as why:
            lost.append((one.image, str(one.row), str(why)))
    return found, lost


def crop_of(one: Preferences) -> Float[np.ndarray, " 3"]:
    """Centre x, y and side of the crop, px of the picture. Raises Unusable if it is not told, or turned."""
    back = one.to_picture
    if back is None and one.to_crop is not None:
        back = np.linalg.inv(np.concatenate([one.to_crop, [[0.0, 0.0, 1.0]]]))[:2]
    if back is None:
        raise Unusable("it does not tell its crop (trans or trans_inv)")
    scale = float(np.hypot(back[0, 0], back[1, 0]))
    if abs(back[0, 1]) + abs(back[1, 0]) > LEAST * scale:
        raise Unusable("its crop is turned")
    middle = back[:, :2] @ np.full(2, SIDE / 2) + back[:, 2]
    return np.array([*middle, SIDE * scale], np.float32)


def diffused(one: Preferences) -> Float[np.ndarray, "g 133"]:
    """The vectors that our models diffuse: u, v from -1 to 1, depth in metres, twists. Raises Unusable for pixels."""
    extent = float(np.median(np.ptp(one.joints[..., :2], axis=1).max(-1)))
    if extent > LARGEST:
        raise Unusable(f"its joints span {extent:.3g} of the crop's side: shares of it are expected")
    joints = one.joints * (2.0 if extent < HALVES else 1.0)
    flat = [part.reshape(len(joints), -1) for part in (joints, one.twist)]
    return (DATA_SCALE * np.concatenate(flat, 1)).astype(np.float32)


@torch.no_grad()
def _posed(body: Body, one: Preferences, here: Sequence[Person], model: str) -> Predicted:
    if not here:
        raise Unusable(f"no picture of the run is called '{Path(one.image).stem}'")
    crop, vectors = crop_of(one), diffused(one)
    places = crop[:2] + vectors[:, :87].reshape(-1, 29, 3)[..., :2] / DATA_SCALE * crop[2] / 2
    box = np.concatenate([places.min(1), places.max(1)], 1).mean(0).astype(np.float64)
    share = overlaps(box[None], np.stack([person.box for person in here]).astype(np.float64))[0]
    if share.max() < LEAST_OVERLAP:
        raise Unusable(f"nobody of the run is there (overlap {share.max():.2f})")
    person, count = here[int(share.argmax())], len(vectors)
    betas = torch.zeros(count, 10)
    camera, crops = (torch.from_numpy(np.float32(part)).expand(count, -1) for part in (person.camera, crop))
    posed = decode(torch.from_numpy(vectors), body.rest_joints(betas), camera, crops)
    turns = rotation_vectors(posed.rotations)
    return Predicted(
        model, one.image, one.image, str(one.row), body.name, turns[:, 0], turns[:, 1:], betas.numpy(),
        posed.translation.numpy(), camera=np.asarray(person.camera, np.float64), box=box, scores=one.scores,
    )  # fmt: skip
