"""Weights of the critics' checks, fitted on labelled people whom no base was trained on: what their builders share.

deploy/assets/build_evidence.py and deploy/assets/build_scorer.py call it; nothing else does.
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
from tasks.benchmarking import Known, StudioPeople
from tasks.benchmarks.critic_benchmark import KnownGroups, model_groups, perturbed_groups
from tasks.sampling import model

Floats = NDArray[np.float64]

HELD_OUT = range(8000, 8500)
"""Scenes of `broad` that no base is trained on; critics are fitted on them."""

SHARD = 25


def see_held_out(body_model: Body, cache: Path) -> SeenPeople:
    """The held-out people, seen with the second look; kept in `cache` in shards, a minute and a half the first time."""
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
    """Some of the people."""
    return SeenPeople(**{name: part[rows] for name, part in seen._asdict().items()})


def labelled(body_model: Body, seen: SeenPeople) -> Known:
    """People of `broad` with their truth."""
    return Known(seen, known_people(body_model, "broad", seen, purpose="pretrain"))


def groups_of(body_model: Body, known: Known, base: str | None, temperature: float, hypotheses: int) -> KnownGroups:
    """Groups about these people, drawn by a base; None = about the truth, perturbed."""
    people = StudioPeople("broad", len(known.seen.index), Path())
    key = (people.split, people.count, str(people.cache))
    benchmarking._KNOWN[key] = known  # they stand in for a split
    try:
        if base is None:
            return perturbed_groups(body_model, people, hypotheses=hypotheses)
        return model_groups(model(base), body_model, people, hypotheses=hypotheses, temperature=temperature)
    finally:
        del benchmarking._KNOWN[key]


def ranks(errors: Floats) -> torch.Tensor:
    """Rank of each hypothesis by its error, (n, g); 0 = the best."""
    return torch.from_numpy(errors.argsort(1).argsort(1)).float()


def correlation(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Mean over groups of Pearson's correlation within each; both (n, g)."""
    a, b = (x - x.mean(1, keepdim=True) for x in (first, second))
    return ((a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1) + 1e-9)).mean()


def fit_shares(tables: Sequence[tuple[Floats, Floats]], least: float, steps: int = 300) -> Floats:
    """Weights (k,) of k checks, that sum to 1 and are at least `least` each, by which the total follows the error.

    They maximise the correlation of the total with the rank of the error, mean over groups, then over tables (n, g, k)
    of scaled penalties with errors (n, g).
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
