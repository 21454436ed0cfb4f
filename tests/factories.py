"""Makes records with plausible values for tests, and compares them. All numbers come from the caller's `rng`.

    rng = np.random.default_rng(0)
    group = make_group(rng, size=4)
    verdict = make_verdict(group, scores=[90, 40, np.nan, 70])
    assert same(group, group)

Every field of a record may be given by name: `make_person(rng, width=640)`.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import fields, is_dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from storage.group_store import GroupStore
from storage.records import Group, Person, Reply, Verdict


def make_person(rng: np.random.Generator, name: str = "street", index: int = 0, **given) -> Person:
    """A person about 400 px tall in a 1280 x 720 photograph; landmarks, mask and picture are noise."""
    sha256 = rng.bytes(32).hex()
    centre = rng.uniform([500, 300], [780, 420])
    half = np.array([90, 200])
    low, high = centre - half, centre + half
    landmarks = np.column_stack([rng.uniform(low, high, (33, 2)), rng.normal(0, 40, 33), rng.uniform(0.3, 1, 33)])
    person = Person(
        group_id=f"{name}-{sha256[:8]}-p{index}",
        photo=f"/photographs/{name}.jpg",
        photo_sha256=sha256,
        width=1280,
        height=720,
        box=np.float32([*low, *high]),
        detection=float(rng.uniform(0.5, 1)),
        crop=np.float32([*centre, 500]),
        camera=np.float32([1468.6, 1468.6, 640, 360]),
        landmarks=np.float32(landmarks),
        world_landmarks=np.float32(rng.normal(0, 0.4, (33, 3))),
        mask=rng.integers(0, 256, (64, 64), dtype=np.uint8),
        picture=rng.integers(0, 256, (128, 128, 3), dtype=np.uint8),
    )
    return replace(person, **given)


def store_in_one_photograph(folder: Path, people: int, shards: int = 1) -> GroupStore:
    """A store in `folder`/store: people in a photograph 90 px wide, a group of four in round0 for each."""
    rng = np.random.default_rng(0)
    photo = folder.parent / "photo.png"
    Image.fromarray(rng.integers(0, 255, (60, 90, 3), dtype=np.uint8)).save(photo)
    digest = hashlib.sha256(photo.read_bytes()).hexdigest()
    place = {"photo": str(photo), "photo_sha256": digest, "width": 90, "height": 60}
    place |= {"crop": np.float32([45, 30, 50]), "camera": np.float32([100, 100, 45, 30])}
    found = [make_person(rng, index=index, **place) for index in range(people)]
    store = GroupStore(folder / "store")
    for shard in range(shards):
        store.write_people(str(shard), found[shard::shards])
        store.write_groups("round0", str(shard), [make_group(rng, 4, person) for person in found[shard::shards]])
    return store


def make_group(rng: np.random.Generator, size: int = 4, person: Person | None = None, **given) -> Group:
    """`size` hypotheses near one pose, four metres before the camera; hypothesis 0 starts from zero noise."""
    translation = np.array([0, 0, 4]) + rng.normal(0, 0.1, (size, 3))
    group = Group(
        person=make_person(rng) if person is None else person,
        model_digest=rng.bytes(8).hex(),
        temperature=1.0,
        betas=np.float32(rng.normal(0, 1, 10)),
        seeds=rng.integers(0, 2**62, size),
        zero_start=np.arange(size) == 0,
        synthetic=np.zeros(size, bool),
        latents=np.float32(rng.normal(0, 1, (size, 133))),
        pose=np.float32(rng.normal(0, 0.2, (size, 24, 3))),
        translation=np.float32(translation),
        joints=np.float32(translation[:, None] + rng.normal(0, 0.4, (size, 29, 3))),
        keypoints=np.float32(translation[:, None] + rng.normal(0, 0.4, (size, 23, 3))),
    )
    return replace(group, **given)


def make_verdict(group: Group, scores: Sequence[float] | None = None, critic: str = "scripted@1", **given) -> Verdict:
    """A verdict on `group`: scores 100, 90, 80, ... if none are given; a NaN score is an abstention."""
    values = np.maximum(0.0, 100.0 - 10 * np.arange(len(group))) if scores is None else np.float64(scores)
    abstained = np.isnan(values)
    verdict = dict(
        group_id=group.person.group_id,
        critic=critic,
        scores=values,
        statuses=tuple("abstained" if missing else "ok" for missing in abstained),
        comments=tuple("nothing to judge by" if missing else f"place {i}" for i, missing in enumerate(abstained)),
        seconds=0.25,
    )
    return Verdict(**(verdict | given))


def make_reply(text: str = '{"image_2": 90}', **given) -> Reply:
    """One good answer of a remote critic."""
    return replace(Reply(text, "ok", "stop", "model-a", 900, 80, seconds=1.5, tries=1), **given)


def same(first: object, second: object) -> bool:
    """Whether two records (or sequences of them) are equal in every field, shape, dtype and NaN."""
    if is_dataclass(first):
        return type(first) is type(second) and all(
            same(getattr(first, field.name), getattr(second, field.name)) for field in fields(first)
        )
    if isinstance(first, np.ndarray):
        return (
            isinstance(second, np.ndarray)
            and first.dtype == second.dtype
            and np.array_equal(first, second, equal_nan=first.dtype.kind == "f")
        )
    if isinstance(first, (list, tuple)):
        return len(first) == len(second) and all(same(a, b) for a, b in zip(first, second))
    return first == second
