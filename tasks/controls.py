"""Planted controls on labelled people of the studio: the truth, near misses, and a mesh turned by 180 degrees."""

import re
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch

from critique.controls import control_rates
from hmr.body.body import Body
from hmr.body.rotations import rotation_matrices
from hmr.studio.studio import Split, truths
from storage.group_store import GroupStore
from storage.records import Group, Person
from tasks.groups.known_groups import known_group
from tasks.run.settings import CriticSection, OverlaySection
from tasks.run.shard_task import task
from tasks.sampling import body
from tasks.scoring import judge_all, make_critic

NEAR = 0.15
"""Standard deviation of a near miss's joint rotations, rad: about 60 mm of MPJPE."""


class Planted(NamedTuple):
    """A group under the true camera, and the indices of the truth and of the corrupted mesh in it."""

    group: Group
    truth: int
    corrupted: int


def planted(body_model: Body, person: Person, split: Split, scene: int, hypotheses: int) -> Planted:
    """Truth, near misses, and the truth turned by 180 degrees about the vertical axis, in a random order."""
    true = truths(body_model, split, [scene], purpose="benchmark")
    random = torch.Generator().manual_seed(scene)
    noise = NEAR * torch.randn(hypotheses, 24, 3, generator=random)
    noise[0] = noise[-1] = 0
    rotations = torch.from_numpy(true.rotations) @ rotation_matrices(noise)
    rotations[-1, 0] = torch.diag(torch.tensor([-1.0, 1.0, -1.0])) @ rotations[-1, 0]
    order = torch.randperm(hypotheses, generator=random)
    rotations = rotations[order]
    group = known_group(
        body_model,
        replace(person, camera=true.camera[0]),
        rotations,
        torch.from_numpy(true.betas[0]),
        torch.from_numpy(true.translation).expand(hypotheses, -1),
        "planted",
    )
    places = order.tolist()
    return Planted(group, places.index(0), places.index(hypotheses - 1))


@task(task_run_name="controls", retries=0)
def measure_controls(
    store_root: Path,
    split: Split,
    body_path: Path | None,
    section: CriticSection,
    overlay: OverlaySection,
    hypotheses: int,
    seed: int,
    folder: Path,
) -> dict[str, float]:
    """Shares of groups in which the critic ranks the truth first and the corrupted mesh last, and the number of
    `groups`.
    """
    body_model = body(body_path)
    sown = []
    for person in GroupStore(store_root).read_people():
        scene = re.fullmatch(rf"{split}-(\d+)", Path(person.photo).stem)
        if scene is not None:
            sown.append(planted(body_model, person, split, int(scene[1]), hypotheses))
    critic = make_critic(section, seed, folder=folder)
    verdicts = judge_all([one.group for one in sown], critic, body_path, overlay)
    found = control_rates(verdicts, [one.truth for one in sown], [one.corrupted for one in sown])
    return found | {"groups": float(len(sown))}
