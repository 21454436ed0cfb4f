"""Stage 2: from people to groups of hypotheses, by one model."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import roma
import torch
from prefect import task
from prefect.cache_policies import NO_CACHE

from hmr.base_model import BaseModel, load_model
from hmr.body import Body, load_body
from hmr.condition import Observation
from hmr.latent import decode
from hmr.observation import as_observation
from hmr.sampler import ddim, group_seeds, start_noise
from storage.group_store import GroupStore
from storage.records import Group, Person
from tasks.retrying import may_pass
from tasks.settings import Sample


@task(retries=1, retry_condition_fn=may_pass, cache_policy=NO_CACHE, task_run_name="sample {gen} {shard}")
def sample_groups(
    shard: str,
    gen: str,
    store_root: Path,
    model_path: str,
    body_path: Path | None,
    sample: Sample,
    seed: int = 0,
) -> int:
    """Draw a group for each person of a shard and commit them; returns how many."""
    store = GroupStore(store_root)
    if shard in store.group_shards(gen):
        return len(store.read_groups(gen, shard))
    people = store.read_people(shard)
    groups = draw_groups(people, model(model_path), body(body_path), sample, seed=seed, draw=gen)
    store.write_groups(gen, shard, groups)
    return len(groups)


@lru_cache(maxsize=2)
def body(path: Path | None) -> Body:
    """One body a process."""
    return load_body(path)


@lru_cache(maxsize=3)
def model(path: str) -> BaseModel:
    """A model by name or file; files are never written twice under one name."""
    return load_model(path)


def observe(people: Sequence[Person]) -> Observation:
    """People of the store as an encoder reads them."""
    return as_observation(
        np.stack([p.picture for p in people]),
        np.stack([p.mask for p in people]),
        np.stack([p.landmarks for p in people]),
        np.stack([p.world_landmarks for p in people]),
        np.stack([p.crop for p in people]),
    )


@torch.no_grad()
def draw_groups(
    people: Sequence[Person], base: BaseModel, body: Body, sample: Sample, *, seed: int, draw: str
) -> list[Group]:
    """Groups of one model for some people; `seed` and the name of the draw go into the seeds."""
    if not people:
        return []
    condition = base.observe(observe(people))
    size = sample.hypotheses
    seeds = torch.from_numpy(group_seeds(seed, draw, [p.group_id for p in people], size))
    zero = torch.zeros(seeds.shape, dtype=torch.bool)
    zero[:, 0] = True
    latents = ddim(
        base.predictor, condition, start_noise(seeds, zero), calls=sample.steps, temperature=sample.temperature
    )
    return groups_from(people, latents, condition.betas, body, base.digest(), sample, seeds.numpy(), zero.numpy())


def groups_from(
    people: Sequence[Person], latents: torch.Tensor, betas: torch.Tensor, body: Body, digest: str, sample: Sample,
    seeds: np.ndarray | None = None, zero_start: np.ndarray | None = None,
) -> list[Group]:  # fmt: skip
    """Diffused vectors (n, g, 133) as groups; without `zero_start`, hypothesis 0 is taken to be the one."""
    shape = latents.shape[:2]
    seeds = np.zeros(shape, np.int64) if seeds is None else seeds
    if zero_start is None:
        zero_start = np.zeros(shape, bool)
        zero_start[:, 0] = True
    return [
        _group(body, person, latents[k], betas[k : k + 1], seeds[k], zero_start[k], digest, sample.temperature)
        for k, person in enumerate(people)
    ]


@torch.no_grad()
def _group(
    body: Body, person: Person, latents: torch.Tensor, betas: torch.Tensor,
    seeds: np.ndarray, zero: np.ndarray, digest: str, temperature: float,
) -> Group:  # fmt: skip
    size = len(latents)
    camera, crop = (torch.from_numpy(np.array(x))[None].expand(size, -1) for x in (person.camera, person.crop))
    posed = decode(latents, body.rest_joints(betas).expand(size, -1, -1), camera, crop)
    output = body(posed.rotations, betas.expand(size, -1), posed.translation)
    return Group(
        person=person,
        model_digest=digest,
        temperature=temperature,
        betas=betas[0].numpy().copy(),
        seeds=seeds,
        zero_start=zero,
        synthetic=np.zeros(size, bool),
        latents=latents.numpy().copy(),
        pose=roma.rotmat_to_rotvec(posed.rotations).numpy(),
        translation=posed.translation.numpy(),
        joints=posed.joints.numpy(),
        keypoints=output.keypoints.numpy(),
    )
