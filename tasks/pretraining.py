"""Pretraining of the shipped bases: a stage that reads labels, which it declares as its purpose."""

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from hmr.body.body import Body
from hmr.body.skeleton import EVAL_14
from hmr.models.base_model import save_model
from hmr.pretraining.labels import detections_of, known_people, placed_people, undrawn_people
from hmr.pretraining.lifting import fit_liftings, save_liftings, true_joints
from hmr.pretraining.pretraining import PretrainSettings, TrainingPeople, pretrain
from hmr.studio.observation import SeenPeople, see_split
from hmr.studio.simulated_detection import Detections, PlacedPeople, simulate
from hmr.studio.studio import VERSION, Look, Split
from storage.finished_file import write_text

log = logging.getLogger(__name__)

BASES: dict[str, tuple[Split, ...]] = {"lab": ("lab",), "default": ("lab", "broad")}
"""The shipped bases, and the drawn splits that each is trained on."""

EVERYBODY = (
    *[Look(lab=False, poses="hard")] * 4, *[Look(lab=False, poses="free")] * 3, *[Look(lab=True, poses="easy")] * 2,
    Look(lab=False, poses="hard", close=True),
)  # fmt: skip
"""Placements of the undrawn people, whose detections are simulated; used in turn."""

LIFTED = 20_000
"""Number of undrawn people that the liftings are fitted on, besides the drawn ones."""

FACING = {"lab": 75.0}
"""Largest angle, degrees, between a base's people and the direction to the camera: in `lab` all face the camera.

So the lab base places bodies well in the picture, but errs in depth and in which way they face: critics can see
these errors, and the base had no training data to avoid them.
"""


def facing(joints: NDArray[np.float32]) -> NDArray[np.float64]:
    """(n,) degrees between where people face and where the camera is, seen from above; joints (n, 29, 3), metres."""
    across = joints[:, 1] + joints[:, 16] - joints[:, 2] - joints[:, 17]  # from the right side to the left
    front = np.cross(joints[:, 0] - joints[:, 12], across)  # down and across: out of the chest
    return np.degrees(np.abs(np.arctan2(front[:, 0], -front[:, 2])))


def pretrain_base(
    name: str,
    counts: dict[str, int],
    body_model: Body,
    cache: Path,
    out: Path,
    settings: PretrainSettings,
    processes: int,
) -> dict[str, Any]:
    """Train a base on labelled studio people and write `base_<name>.safetensors`, its liftings and its log.

    counts: scenes of `lab` and of `broad`, and `undrawn` people. An interrupted run is resumed.
    """
    parts, joints = [], []
    for split in BASES[name]:
        seen = see_split(split, counts[split], cache, processes=processes)
        placed = placed_people(body_model, split, seen, purpose="pretrain")
        turned = facing(placed.joints.numpy()) <= FACING.get(name, 180.0)
        seen = SeenPeople._make(part[turned] for part in seen)
        parts.append((placed.select(torch.from_numpy(turned)), detections_of(seen)))
        joints.append((seen, true_joints(body_model, known_people(body_model, split, seen, purpose="pretrain"))))
    undrawn = undrawn_people(body_model, counts["undrawn"], EVERYBODY)
    turned = facing(undrawn.joints.numpy()) <= FACING.get(name, 180.0)
    undrawn = undrawn.select(torch.from_numpy(turned))
    joints.append(_lifted_too(undrawn, settings))
    people = TrainingPeople(
        undrawn,
        PlacedPeople(*(torch.cat(x) for x in zip(*(placed for placed, _ in parts)))),
        Detections(*(torch.cat(x) for x in zip(*(seen for _, seen in parts)))),
    )
    rows: list[dict[str, Any]] = []

    def report(row: dict[str, Any]) -> None:
        rows.append(row)
        log.info("%s", json.dumps({k: round(v, 5) for k, v in row.items()}))

    out.mkdir(parents=True, exist_ok=True)
    base = pretrain(people, body_model, settings, out / f"base_{name}.state", report)
    provenance = {
        "studio": VERSION,
        "people": {split: len(seen.crop) for split, (_, seen) in zip(BASES[name], parts)},
        "undrawn": len(people.undrawn.betas),
        "facing": FACING.get(name, 180.0),
        "scenes": {split: counts[split] for split in BASES[name]},
        "settings": settings.model_dump(),
    }
    save_model(base, out / f"base_{name}.safetensors", provenance, half=True)
    save_liftings(fit_liftings(joints), out / f"lifting_{name}.npz")
    write_text(out / f"base_{name}.log.json", json.dumps({**provenance, "log": rows}, indent=1))
    return provenance


def _lifted_too(undrawn: PlacedPeople, settings: PretrainSettings) -> tuple[SeenPeople, NDArray[np.float64]]:
    """Some of the undrawn people, for the liftings: these are fitted on all kinds of people that the base sees."""
    some = undrawn.select(torch.arange(min(LIFTED, len(undrawn.betas))))
    detections = simulate(some, settings.noise, torch.Generator().manual_seed(settings.seed))
    count = len(some.betas)
    seen = SeenPeople(
        index=np.arange(count),
        picture=np.zeros((count, 1, 1, 3), np.uint8),
        mask=np.zeros((count, 1, 1), np.uint8),
        landmarks=detections.landmarks.numpy(),
        world=detections.world.numpy(),
        crop=detections.crop.numpy(),
        camera=some.camera.numpy(),
        second_look=np.full((count, 33, 7), np.nan, np.float32),
    )
    joints = some.joints[:, list(EVAL_14)] - some.joints[:, :1]
    return seen, joints.double().numpy()
