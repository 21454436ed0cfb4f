"""Weights of the critics' checks, fitted on labelled people whom no base was trained on: functions for two scripts.

Only deploy/assets/build_evidence.py and deploy/assets/build_scorer.py use this module.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from hmr.body.body import Body
from hmr.detection.people import PersonFinder
from hmr.pretraining.labels import known_people
from hmr.studio.observation import SeenPeople, read_seen, see_scenes, write_seen
from storage.finished_file import read_again
from tasks import benchmarking
from tasks.benchmarking import Known, StudioPeople, known_of_studio
from tasks.benchmarks.critic_benchmark import KnownGroups, model_groups, perturbed_groups
from tasks.sampling import model

Floats = NDArray[np.float64]

HELD_OUT = range(8000, 8500)
"""Scenes of `broad` that no base is trained on; critics are fitted on them."""

SHARD = 25


def see_held_out(body_model: Body, cache: Path) -> SeenPeople:
    """Detections of the held-out people, with the second look; cached in `cache` in shards (the first call takes 1.5
    minutes).
    """
    finder = PersonFinder(thorough=False, second_look=True)
    shards = []
    for start in range(HELD_OUT.start, HELD_OUT.stop, SHARD):
        scenes = range(start, min(start + SHARD, HELD_OUT.stop))
        path = cache / f"broad-second-{scenes.start:06d}-{scenes.stop:06d}.npz"
        seen = read_again(path, read_seen)
        if seen is None:
            seen = see_scenes(body_model, finder, "broad", scenes)
            write_seen(seen, path)
        shards.append(seen)
    return SeenPeople(*(np.concatenate(part) for part in zip(*shards)))


def chosen(seen: SeenPeople, rows: NDArray[np.bool_]) -> SeenPeople:
    """The people of the rows (n,) that are true; all arrays keep their unit."""
    return SeenPeople(**{name: part[rows] for name, part in seen._asdict().items()})


def labelled(body_model: Body, seen: SeenPeople) -> Known:
    """People of `broad` with their true bodies."""
    people = StudioPeople("broad", len(seen.index), Path())
    return known_of_studio(people, seen, known_people(body_model, "broad", seen, purpose="pretrain"))


def groups_of(body_model: Body, known: Known, base: str | None, temperature: float, hypotheses: int) -> KnownGroups:
    """Groups of these people, drawn by a base; base None = perturbed true bodies."""
    people = StudioPeople("broad", len(known.seen.index), Path())
    key = (people.split, people.count, str(people.cache))
    benchmarking._KNOWN[key] = body_model, known  # they replace a split
    try:
        if base is None:
            return perturbed_groups(body_model, people, hypotheses=hypotheses)
        return model_groups(model(base), body_model, people, hypotheses=hypotheses, temperature=temperature)
    finally:
        del benchmarking._KNOWN[key]


def ranks(errors: Floats) -> torch.Tensor:
    """(n, g) rank of each hypothesis by its error, errors (n, g); 0 = the best."""
    return torch.from_numpy(errors.argsort(1).argsort(1)).float()


def correlation(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Mean over groups of Pearson's correlation within each (-1 to 1); both arguments (n, g)."""
    a, b = (x - x.mean(1, keepdim=True) for x in (first, second))
    return ((a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1) + 1e-9)).mean()


def fit_shares(tables: Sequence[tuple[Floats, Floats]], least: float, steps: int = 300) -> Floats:
    """Weights (k,) of k checks, without unit, that sum to 1 and are at least `least` each.

    They maximise the correlation of the weighted total with the rank of the error: the mean over groups, then over
    tables, each of scaled penalties (n, g, k) with errors (n, g).
    """
    count = tables[0][0].shape[-1]
    data = [(torch.from_numpy(x).float(), ranks(errors)) for x, errors in tables]
    free = torch.full((count,), 1 / count, requires_grad=True)
    optimiser = torch.optim.Adam([free], 0.02)

    def shares() -> torch.Tensor:
        kept = free.clamp(min=0)
        return least + (1 - count * least) * kept / kept.sum().clamp(min=1e-6)

    for _ in range(steps):
        loss = -torch.stack([correlation(x @ shares(), order) for x, order in data]).sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return shares().detach().numpy().astype(np.float64)
