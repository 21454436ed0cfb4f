"""A store of random people to measure how training streams it."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from hmr.alignment.train_benchmark import measure_stream
from hmr.body.body import load_body
from hmr.models.base_model import HmrModel
from hmr.models.compute import Compute
from hmr.models.model_file import load_model
from storage.group_store import GroupStore
from storage.records import Group, Person, Verdict
from tasks.rounds.group_stream import GroupsWanted, open_groups
from tasks.run.settings import Sample
from tasks.sampling import sample_hypotheses

CRITIC = "made-up@1"
GROUP = 8


def measure_streaming(*, shards: int = 100, groups: int = 8, window: int = 2, steps: int = 100) -> list[dict[str, Any]]:
    """`measure_stream` on a store of `shards` x `groups` groups, of which `window` shards are in memory."""
    base = load_model("default")
    with tempfile.TemporaryDirectory(prefix="hmr-align-bench-") as folder:
        store = GroupStore(Path(folder) / "store")
        _fill(store, base, shards, groups)
        sources = [
            open_groups(
                store, GroupsWanted("round0", CRITIC, observations=observations, window=window), base, load_body(),
                Path(folder) / "prepared", Compute(),
            )
            for observations in (False, True)
        ]  # fmt: skip
        return measure_stream(base, *sources, steps=steps)


def _fill(store: GroupStore, base: HmrModel, shards: int, count: int) -> None:
    random, body = np.random.default_rng(0), load_body()
    for shard in range(shards):
        people = [_person(random, f"{shard}-{k}") for k in range(count)]
        groups = sample_hypotheses(people, base, body, Sample(hypotheses=GROUP, device="cpu"), seed=0, draw="round0")
        store.write_groups("round0", str(shard), groups)
        store.write_verdicts("round0", CRITIC, "bench", str(shard), [_verdict(random, group) for group in groups])


def _person(random: np.random.Generator, name: str) -> Person:
    """Somebody in the middle of a picture of noise."""
    landmarks = np.concatenate([random.uniform(100, 400, (33, 3)), random.uniform(0, 1, (33, 1))], 1)
    return Person(
        group_id=name, photo="", photo_sha256="", width=512, height=512, box=np.array([100, 100, 400, 400], np.float32),
        detection=1.0, crop=np.array([256, 256, 400], np.float32), camera=np.array([700, 700, 256, 256], np.float32),
        landmarks=landmarks.astype(np.float32), world_landmarks=random.normal(0, 0.4, (33, 3)).astype(np.float32),
        mask=random.integers(0, 256, (64, 64), dtype=np.uint8),
        picture=random.integers(0, 256, (128, 128, 3), dtype=np.uint8),
    )  # fmt: skip


def _verdict(random: np.random.Generator, group: Group) -> Verdict:
    size = len(group)
    return Verdict(group.person.group_id, CRITIC, random.uniform(0, 100, size), ("ok",) * size, ("",) * size)
