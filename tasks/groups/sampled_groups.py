"""From people to groups of hypotheses by one model. Free of prefect, so that a command without a server can use it."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from hmr.body.body import Body, load_body
from hmr.body.rotations import rotation_vectors
from hmr.diffusion.condition import PICTURE, Observation
from hmr.diffusion.latent import Posed
from hmr.diffusion.sampler import SamplerSettings, draw_latents, group_seeds
from hmr.metrics.evaluation import Framing, PosedGroups, pose_groups
from hmr.models.base_model import HmrModel
from hmr.models.compute import PlacedPredictor, encode
from hmr.models.model_file import load_model
from hmr.studio.observation import as_observation
from storage.records import Group, Person
from tasks.groups.pictures import pictures
from tasks.run.devices import compute_for
from tasks.run.settings import Sample


@lru_cache(maxsize=2)
def body(path: Path | None) -> Body:
    """The body model of a file (None = the embedded one), one per process."""
    return load_body(path)


@lru_cache(maxsize=3)
def model(path: str) -> HmrModel:
    """A model by name or file, cached; a file is never overwritten under the same name."""
    return load_model(path)


def observe(people: Sequence[Person], side: int = PICTURE) -> Observation:
    """People of the store as input for an encoder of pictures of `side` px. Raises the errors of `pictures`."""
    return as_observation(
        pictures(people, side),
        np.stack([p.mask for p in people]),
        np.stack([p.landmarks for p in people]),
        np.stack([p.world_landmarks for p in people]),
        np.stack([p.crop for p in people]),
    )


def sampler_settings(sample: Sample, own: SamplerSettings) -> SamplerSettings:
    """The sampler's settings from those of the run; what the run leaves open is taken from the model's own.

    Fresh noise belongs to DDIM, so a run that sets only `eta` gets DDIM. The run's temperature is a factor on the
    model's own. Raises SamplerError for settings that do not fit together.
    """
    solver = sample.solver or ("ddim" if sample.eta else own.solver)
    guidance = own.guidance if sample.guidance is None else sample.guidance
    return SamplerSettings(
        sample.steps or own.calls, solver, sample.eta, sample.temperature * own.temperature, sample.temperature_spread,
        guidance,
    )  # fmt: skip


@torch.no_grad()
def sample_hypotheses(
    people: Sequence[Person], base: HmrModel, body: Body, sample: Sample, *, seed: int, draw: str,
    root_depth: torch.Tensor | None = None,
) -> list[Group]:  # fmt: skip
    """Groups of one model for some people; `seed` and the name of the draw determine the seeds.

    The networks run on the device and with the precision of `sample`; the groups are float32 on the CPU. root_depth:
    (n,) metres, of the pelvis where it is known; None = fitted.
    """
    if not people:
        return []
    compute = compute_for(sample)
    seen = observe(people, base.picture_side)
    condition = encode(base, seen, compute)
    size = sample.hypotheses
    seeds = torch.from_numpy(group_seeds(seed, draw, [p.group_id for p in people], size))
    zero = torch.zeros(seeds.shape, dtype=torch.bool)
    zero[:, 0] = True
    latents = draw_latents(
        PlacedPredictor(base.predictor, compute), condition.to(torch.device(compute.device)), seeds, zero,
        sampler_settings(sample, base.sampler), landmarks=seen.landmarks,
    )  # fmt: skip
    camera, crop = (torch.from_numpy(np.stack(x)) for x in zip(*((p.camera, p.crop) for p in people)))
    posed = pose_groups(body, latents, Framing(condition.betas, camera, crop, base.decoding, root_depth))
    return groups_from(people, latents, posed, condition.betas, body, base.digest(), sample.temperature, seeds.numpy())


def groups_from(
    people: Sequence[Person], latents: torch.Tensor, posed: PosedGroups, betas: torch.Tensor, body: Body, digest: str,
    temperature: float, seeds: np.ndarray,
) -> list[Group]:  # fmt: skip
    """Diffused vectors (n, g, 133) and their bodies (metres, camera frame) as groups; hypothesis 0 started from zero
    noise.

    betas: (n, 10) shape coefficients; seeds: (n, g).
    """
    return [
        _group(
            body, person, latents[k], Posed(*(x[k] for x in posed)), betas[k : k + 1], digest, temperature, seeds[k]
        )
        for k, person in enumerate(people)
    ]  # fmt: skip


@torch.no_grad()
def _group(
    body: Body, person: Person, latents: torch.Tensor, posed: Posed, betas: torch.Tensor, digest: str,
    temperature: float, seeds: np.ndarray,
) -> Group:  # fmt: skip
    size = len(latents)
    return Group(
        person=person,
        model_digest=digest,
        temperature=temperature,
        betas=betas[0].numpy().copy(),
        seeds=seeds,
        zero_start=np.arange(size) == 0,
        synthetic=np.zeros(size, bool),
        latents=latents.numpy().copy(),
        pose=rotation_vectors(posed.rotations),
        translation=posed.translation.numpy().copy(),
        joints=posed.joints.numpy().copy(),
        keypoints=body.points(posed.rotations, betas, posed.translation).keypoints.numpy(),
    )
