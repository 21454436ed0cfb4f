"""The study of photographs: whether the bodies of a base lie on the people, measured against the detections."""

import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from prefect import flow

from flows.cli.measurements import cells
from flows.record.run_labels import labelled
from hmr.detection.photograph import Photograph, PhotographError, read_photograph
from storage.records import Person
from tasks.groups.overlays import draw_group
from tasks.groups.people import IMAGES, people_in
from tasks.groups.sampled_groups import body, model, sample_hypotheses
from tasks.report.photograph_agreement import Agreement, agreement, distances_of, means
from tasks.run.artifacts import leave_table
from tasks.run.settings import Photographs, Settings

log = logging.getLogger(__name__)

UNITS = {
    "keypoints_px": "px of 256, median of the zero-noise hypothesis to the landmarks read",
    "keypoints_px_mean": "px of 256, mean of the same",
    "within_8px": "share of people within 8 px",
    "second_px": "px of 256, median to the landmarks of a network that was not read",
    "mask_iou": "median over people whose whole body is in the picture",
    "mask_iou_all": "median over all people",
    "people": "people",
    "whole_people": "people whose whole body is in the picture",
    "sample_px": "px of 256, median of the other hypotheses",
    "chosen_px": "px of 256, median of the critic's first",
}


def people_of(folder: Path, how: Photographs) -> Iterator[tuple[Photograph, list[Person]]]:
    """The photographs of a folder that can be read, each with the people in it; the others are told in the log."""
    for path in sorted(p for p in folder.rglob("*") if p.suffix.lower() in IMAGES):
        try:
            photograph = read_photograph(path)
        except PhotographError as error:
            log.warning("skipped %s: %s", path.name, str(error).removeprefix(f"{path}: "))
            continue
        found = people_in(path, photograph, thorough=how.thorough, crop_margin=how.crop_margin, focal_px=how.focal_px)
        for name, remark in [*found.skipped, *found.remarks]:
            log.info("%s: %s", name, remark)
        yield photograph, found.people


@flow(name="experiment-photographs", **labelled("experiment photographs", critic=True))
def photographs(settings: Settings, folder: Path) -> list[dict[str, Any]]:
    """Bodies of the base on all people of a folder's photographs; returns measurement rows.

    These numbers are evidence, not accuracy: the true bodies are unknown. Raises PhotographError if nobody is found.
    """
    from tasks.scoring import make_critic

    base, frame = model(str(settings.base.checkpoint or "default")), body(settings.base.body)
    sample = settings.sample.at_own_spread
    critic = make_critic(settings.critic, settings.run.seed)
    zero: list[Agreement] = []
    others: list[float] = []
    chosen: list[float] = []
    for _, people in people_of(folder, settings.photographs):
        for group in sample_hypotheses(people, base, frame, sample, seed=settings.run.seed, draw="photographs"):
            distances = distances_of(group)
            zero.append(agreement(frame, group))
            others += distances[1:].tolist()
            if not critic.needs_pictures:
                scores = critic.judge(draw_group(frame, group)).scores
                if not np.isnan(scores).all():
                    chosen.append(float(distances[int(np.nanargmax(scores))]))
    if not zero:
        raise PhotographError(f"nobody was found in the photographs of {folder}")
    found = means(zero) | {"sample_px": float(np.median(others))}
    if chosen:
        found["chosen_px"] = float(np.median(chosen))
    rows = [
        {"metric": f"photographs.{name}", "value": value, "unit": UNITS[name], "baseline": None, "ratio": None,
         "base": re.sub(r".*/", "", str(settings.base.checkpoint or "default"))}
        for name, value in found.items()
    ]  # fmt: skip
    leave_table("experiment photographs", list(map(cells, rows)), "do bodies land on people?")
    return rows
