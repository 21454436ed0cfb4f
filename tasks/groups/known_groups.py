"""Groups whose bodies are given instead of drawn by a model: planted controls, and perturbed true bodies."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from hmr.body.body import Body
from hmr.body.rotations import rotation_vectors
from hmr.diffusion.latent import encode
from storage.records import Group, Person


@torch.no_grad()
def known_group(
    body_model: Body,
    person: Person,
    rotations: Float[Tensor, "g 24 3 3"],
    betas: Float[Tensor, " 10"],
    translation: Float[Tensor, "g 3"],
    made_by: str,
) -> Group:
    """The group of these bodies, seen by the person's camera; translation in metres, camera frame.

    rotations: (g, 24, 3, 3) rotation matrices; betas: (10,) shape coefficients; made_by: stored as `model_digest`.
    """
    size = len(rotations)
    camera, crop = (torch.from_numpy(part).expand(size, -1) for part in (person.camera, person.crop))
    rest = body_model.rest_joints(betas[None]).expand(size, -1, -1)
    posed = body_model.points(rotations, betas[None], translation)
    return Group(
        person=person,
        model_digest=made_by,
        temperature=1.0,
        betas=betas.numpy().copy(),
        seeds=np.arange(size),
        zero_start=np.zeros(size, bool),
        synthetic=np.ones(size, bool),
        latents=encode(rotations, translation, rest, camera, crop).numpy(),
        pose=rotation_vectors(rotations),
        translation=translation.numpy().copy(),
        joints=posed.joints.numpy(),
        keypoints=posed.keypoints.numpy(),
    )
