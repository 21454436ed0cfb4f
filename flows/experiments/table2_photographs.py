"""The study of objectives on photographs: do bodies lie better on people after alignment? Nobody knows the truth there.

The lab base reads the landmarks of BlazePose's network "full", and the critics read those and its mask, and those of
the network "heavy". So the judge of this page is a further network of the family (`witness`), of which neither knows.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from prefect import flow

from flows.cli.measurements import cells
from flows.experiments.photographs import people_of
from flows.experiments.rounds import changed
from flows.experiments.table2 import ARMS, COUNTS, train_arm
from flows.record.run_labels import labelled
from hmr.detection.people import witness as witnessed
from hmr.detection.photograph import PhotographError
from hmr.detection.pose_networks import PoseNetworks
from hmr.metrics.pose_metrics import bootstrap_improvement
from storage.records import Person
from tasks.groups.sampled_groups import body, model, sample_hypotheses
from tasks.report.photograph_agreement import agreement
from tasks.run.artifacts import leave_table
from tasks.run.plan import Plan
from tasks.run.settings import Settings, SettingsError

COMPARED = ("dpo_5", "group")

UNITS = {
    "witness_px": "px of 256, mean distance to the landmarks of a network that nobody read",
    "witness_iou": "mean overlap with the mask of a network that nobody read",
    "heavy_px": "px of 256, mean distance to the landmarks that the critics read",
    "mask_iou": "mean overlap with the mask that the critics read",
}

ANOTHER = 40.0
"""Mean distance of the witness' landmarks to the first network's, px of 256, from which on it saw somebody else."""

Floats = NDArray[np.float64]


class Seen(NamedTuple):
    """A person as they were found, and as the witness sees them."""

    person: Person
    landmarks: NDArray[np.float32]  # (33, 4) x, y, z (px of the photograph), visibility
    mask: NDArray[np.uint8]  # (64, 64) over the crop


@flow(name="experiment-table2-photographs", **labelled("experiment table2 photographs"))
def table2_photographs(
    settings: Settings, folder: Path, witness: Path, seeds: int = 3, arms: Sequence[str] = COMPARED
) -> list[dict[str, Any]]:
    """Zero-noise bodies of the base and of arms that `table2` has trained, on a folder's photographs.

    witness: a landmark network of BlazePose, .tflite. Returns measurement rows. Raises SettingsError for an unknown
    arm, a file that is no such network, and if arms were not trained; PhotographError if nobody is found.
    """
    plan = Plan(changed(settings, "groups", {"benchmark": {"hypotheses": max(COUNTS)}}))
    for name in arms:
        if name not in ARMS:
            raise SettingsError(f"there is no arm '{name}'; there are {', '.join(ARMS)}")
        if not (plan.folder / "arms" / name / "seed0" / "policy.safetensors").exists():
            raise SettingsError(
                f"{plan.folder} holds no trained arm '{name}': run `hmr-align experiment table2` with these settings"
            )
    people = _seen(folder, settings, witness)
    with plan.held():
        models = {name: [train_arm(plan, name, seed, (1.0, 1.0)).checkpoint for seed in range(seeds)] for name in arms}
    base = measure(people, plan.base, settings)
    rows = [_row("table2.photographs.people", float(len(people)), "people whom the witness sees too", None)]
    rows += [
        _row(f"table2.photographs.base.{what}", float(np.nanmean(base[what])), UNITS[what], None) for what in UNITS
    ]
    for name, paths in models.items():
        rows += compared(name, base, [measure(people, str(path), settings) for path in paths])
    leave_table("experiment table2 photographs", list(map(cells, rows)), f"{len(people)} people of photographs")
    return rows


def _seen(folder: Path, settings: Settings, witness: Path) -> list[Seen]:
    """Everybody in the photographs whom the witness sees too."""
    try:
        networks = PoseNetworks(network=witness.read_bytes())
    except OSError as error:
        raise SettingsError(f"{witness}: {error.strerror}; --witness takes a .tflite file") from None
    found = []
    for photograph, people in people_of(folder, settings.photographs):
        for person in people:
            landmarks, mask = witnessed(networks, photograph.pixels, person.crop)
            if apart(landmarks, person) < ANOTHER:
                found.append(Seen(person, landmarks, mask))
    if not found:
        raise PhotographError(f"nobody was found in the photographs of {folder}")
    return found


def apart(landmarks: NDArray[np.float32], person: Person) -> float:
    """Mean distance of landmarks (33, 4) to those that the person was found by, px of a 256 px crop."""
    gaps = np.linalg.norm(landmarks[:, :2] - person.landmarks[:, :2], axis=1)
    weights = np.minimum(landmarks[:, 3], person.landmarks[:, 3])
    return float(256 / person.crop[2] * np.average(gaps, weights=weights + 1e-6))


def measure(people: Sequence[Seen], path: str, settings: Settings) -> dict[str, Floats]:
    """The measures of `UNITS` of a model's zero-noise body for each person; (people,), NaN where there is none."""
    base, frame = model(path), body(settings.base.body)
    groups = sample_hypotheses(
        [one.person for one in people], base, frame, settings.sample.at_own_spread.model_copy(update={"hypotheses": 2}),
        seed=settings.run.seed, draw="photographs",
    )  # fmt: skip
    rows = []
    for group, one in zip(groups, people, strict=True):
        known = agreement(frame, group)
        by_witness = replace(one.person, landmarks=one.landmarks, mask=one.mask)
        told = agreement(frame, replace(group, person=by_witness))
        rows.append((told.keypoints_px, told.mask_iou, known.second_px, known.mask_iou))
    return dict(zip(UNITS, np.array(rows, np.float64).T))


def compared(name: str, base: dict[str, Floats], runs: Sequence[dict[str, Floats]]) -> list[dict[str, Any]]:
    """Rows of an arm: means over people and seeds, each seed's mean, and the change from the base in percent with its
    interval over people: less distance, more overlap.
    """
    rows = []
    for what, unit in UNITS.items():
        mean = np.mean([run[what] for run in runs], 0)
        less = bootstrap_improvement(base[what], mean, 0)
        gain, low, high = (less.estimate, less.low, less.high) if what.endswith("px") else (
            -less.estimate, -less.high, -less.low)  # fmt: skip
        row = _row(f"table2.photographs.{name}.{what}", float(np.nanmean(mean)), unit, float(np.nanmean(base[what])))
        rows.append(row | {"of_seeds": [float(np.nanmean(run[what])) for run in runs], "better_percent": gain,
                           "low": low, "high": high})  # fmt: skip
    return rows


def _row(metric: str, value: float, unit: str, base: float | None) -> dict[str, Any]:
    baseline = None if base is None else f"the base, {base:.3g}"
    return {"metric": metric, "value": value, "unit": unit, "baseline": baseline, "ratio": None}
