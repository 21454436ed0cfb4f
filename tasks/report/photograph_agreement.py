"""How well bodies match the people in photographs without ground truth: evidence, not accuracy."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from hmr.body.body import Body
from hmr.body.camera import project
from hmr.detection.agreement import CROP, SHARED, cells_inside, keypoint_distance, mask_iou
from storage.records import Group, Person
from tasks.groups.overlays import SILHOUETTE, draw_group

WITHIN = 8.0
"""Largest distance, px of a 256 px crop, at which a body counts as lying on the person."""


@dataclass(frozen=True)
class Agreement:
    """One body compared with the detections; distances in px of a 256 px crop (`hmr.detection.agreement`)."""

    keypoints_px: float  # to the landmarks that the base read
    second_px: float  # to those of the heavier network, which it did not read; NaN if there are none
    mask_iou: float  # IoU with the person's mask, inside the photograph, 0..1
    whole: bool  # the whole body is in the picture


def agreement(body_model: Body, group: Group, hypothesis: int = 0) -> Agreement:
    """Agreement of one hypothesis of a group with the detections."""
    one = only(group, hypothesis)
    person, places = group.person, _projected(one)
    crop = person.crop[None]
    inside = cells_inside(crop, person.width, person.height, SILHOUETTE)
    return Agreement(
        keypoints_px=float(keypoint_distance(places, person.landmarks[None], crop)[0]),
        second_px=_second(places, person),
        mask_iou=float(mask_iou(draw_group(body_model, one).silhouettes, person.mask[None], inside)[0]),
        whole=whole_body(person),
    )


def distances_of(group: Group) -> NDArray[np.float64]:
    """(G,) distance `keypoints_px` of every hypothesis, pixels of a 256 px crop."""
    size, person = len(group), group.person
    return keypoint_distance(_projected(group), np.stack([person.landmarks] * size), np.stack([person.crop] * size))


def only(group: Group, hypothesis: int = 0) -> Group:
    """The group reduced to one of its hypotheses."""
    return replace(group, **{name: getattr(group, name)[[hypothesis]] for name in _PER_HYPOTHESIS})


def places_in_crop(group: Group, hypothesis: int = 0) -> NDArray[np.float64]:
    """(23, 2) projected keypoints of one hypothesis, px of a crop of 256 px."""
    centre_x, centre_y, side = group.person.crop.astype(float)
    corner = np.array([centre_x, centre_y]) - side / 2
    return (_projected(only(group, hypothesis))[0] - corner) * (CROP / side)


def moved(before: NDArray, after: NDArray) -> float:
    """Mean distance between two bodies in the picture, px of a crop of 256 px; both (23, 2), from `places_in_crop`."""
    return float(np.linalg.norm(np.asarray(after) - np.asarray(before), axis=-1)[SHARED].mean())


def whole_body(person: Person) -> bool:
    """Whether head, wrists and feet lie inside the picture and nothing seems to hide the legs."""
    ends = person.landmarks[[0, 15, 16, 27, 28]]
    inside = (ends[:, :2] > 0).all() and (ends[:, 0] < person.width).all() and (ends[:, 1] < person.height).all()
    return bool(inside and person.landmarks[[25, 26, 27, 28], 3].min() > 0.5)


def means(rows: list[Agreement]) -> dict[str, float]:
    """Medians over people (distances in px of a 256 px crop, mask IoU 0..1), and shares of people 0..1; empty without
    people.
    """
    if not rows:
        return {}
    distances, second, overlap = (
        np.array([getattr(row, name) for row in rows]) for name in ("keypoints_px", "second_px", "mask_iou")
    )
    whole = np.array([row.whole for row in rows])
    return {
        "people": len(rows),
        "keypoints_px": _median(distances),
        "keypoints_px_mean": float(np.nanmean(distances)),
        "within_8px": float((distances <= WITHIN).mean()),
        "second_px": _median(second),
        "mask_iou": _median(overlap[whole]),
        "mask_iou_all": _median(overlap),
        "whole_people": int(whole.sum()),
    }


def agreement_means(rows: Sequence[Agreement]) -> dict[str, float | None]:
    """`means` in the form of a run's summary: there `keypoints_px` is to the landmarks that the base did not read.

    What was not measured is None. No shipped base reads the mask.
    """
    found = means(list(rows))
    seen, overlap = (values[~np.isnan(values)] for values in (
        np.array([row.second_px for row in rows]), np.array([row.mask_iou for row in rows])
    ))  # fmt: skip
    values = {
        "people": len(rows),
        "whole_people": found.get("whole_people", 0),
        "keypoints_px": found.get("second_px"),
        "keypoints_px_mean": float(seen.mean()) if len(seen) else None,
        "within_8px": float((seen <= WITHIN).mean()) if len(seen) else None,
        "read_px": found.get("keypoints_px"),
        "read_within_8px": found.get("within_8px"),
        "mask_iou": found.get("mask_iou"),
        "mask_iou_all": found.get("mask_iou_all"),
        "mask_iou_all_mean": float(overlap.mean()) if len(overlap) else None,
    }
    return {name: None if value is None or np.isnan(value) else value for name, value in values.items()}


_PER_HYPOTHESIS = ("seeds", "zero_start", "synthetic", "latents", "pose", "translation", "joints", "keypoints")


def _projected(group: Group) -> NDArray[np.float32]:
    """(G, 23, 2) keypoints, px of the photograph."""
    camera = torch.from_numpy(group.person.camera).expand(len(group), -1)
    return project(torch.from_numpy(group.keypoints), camera).numpy()


def _second(places: NDArray, person: Person) -> float:
    if person.second_look is None:
        return float("nan")
    return float(keypoint_distance(places, person.second_look[None, :, :4], person.crop[None])[0])


def _median(values: NDArray) -> float:
    known = values[~np.isnan(values)]
    return float(np.median(known)) if len(known) else float("nan")
