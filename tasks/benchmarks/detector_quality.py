"""Errors of the person detector: on drawn people with known truth (real and simulated), on annotated photographs."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from hmr.body.body import Body
from hmr.detection.agreement import CROP, LANDMARK_OF_KEYPOINT
from hmr.detection.boxes import boxes_of, matches, overlaps
from hmr.detection.people import PersonFinder
from hmr.detection.photograph import PhotographError, read_photograph
from hmr.pretraining.labels import detections_of, placed_people
from hmr.studio.detection_quality import detection_quality
from hmr.studio.observation import see_split
from hmr.studio.simulated_detection import DetectionNoise, simulate
from hmr.studio.studio import LABELLED
from tasks.benchmarking import StudioPeople

COCO = 17
LEAST_POINTS = 6  # annotated keypoints that a person needs to be counted
LEAST_OVERLAP = 0.3


class AnnotationError(ValueError):
    """A file of annotations that cannot be used; the message says what is wrong and how to fix it."""


def studio_quality(body_model: Body, people: StudioPeople) -> dict[str, dict[str, float]]:
    """Error figures of the real detector on a split, and of simulated detections of the same people."""
    seen = see_split(people.split, people.count, people.cache, processes=people.processes)
    purpose = "pretrain" if people.split in LABELLED else "benchmark"
    placed = placed_people(body_model, people.split, seen, purpose=purpose)
    simulated = simulate(placed, DetectionNoise(), torch.Generator().manual_seed(0))
    real = detection_quality(placed, detections_of(seen))
    return {"real": real | {"found": len(seen.index) / people.count}, "simulated": detection_quality(placed, simulated)}


def photograph_quality(annotations: Path, folder: Path) -> dict[str, float]:
    """Error of the landmarks at annotated COCO keypoints, px of a 256 px crop, over people who were found.

    Each annotated person is matched with the found one whose box overlaps theirs most. Raises AnnotationError if the
    file cannot be read, is no COCO keypoint file, or none of its people was found.
    """
    finder = PersonFinder()
    errors: list[NDArray[np.float64]] = []
    visible: list[NDArray[np.float64]] = []
    annotated = 0
    for name, people in _coco(annotations).items():
        try:
            pixels = read_photograph(folder / name).pixels
        except PhotographError:
            continue
        found = finder.find(pixels)
        annotated += len(people)
        wanted = np.concatenate([boxes_of(p[None, p[:, 2] > 0, :2]) for p in people])
        taken = matches(overlaps(wanted, np.stack([f.box for f in found])), LEAST_OVERLAP) if found else []
        for points, place in zip(people, taken):
            if place < 0:
                continue
            seen = found[place].landmarks[LANDMARK_OF_KEYPOINT[:COCO]]
            known = points[:, 2] > 0
            gap = np.linalg.norm(seen[known, :2] - points[known, :2], axis=1) * CROP / found[place].crop[2]
            errors.append(gap)
            visible.append(seen[known, 3])
    if not errors:
        raise AnnotationError(f"{annotations}: none of its people was found in the photographs of {folder}")
    flat, seen_as = np.concatenate(errors), np.concatenate(visible)
    return {
        "people": len(errors),
        "found": len(errors) / annotated,
        "error_median": float(np.median(flat)),
        "error_mean": float(flat.mean()),
        "error_p90": float(np.quantile(flat, 0.9)),
        "error_median_visible": float(np.median(flat[seen_as > 0.8])),
        "gross": float(np.mean([np.median(e) > 0.08 * CROP / 1.25 for e in errors])),
    }


def _coco(path: Path) -> dict[str, list[NDArray[np.float64]]]:
    """Annotated people by file name: (17, 3) x, y, and 0 where a keypoint was not annotated."""
    try:
        kept: dict[str, Any] = json.loads(path.read_text(encoding="utf-8-sig"))
        names = {image["id"]: image["file_name"] for image in kept["images"]}
        rows = [(names[a["image_id"]], a.get("keypoints", [])) for a in kept["annotations"]]
    except OSError as error:
        raise AnnotationError(f"{path}: {error.strerror}; give --annotations a COCO keypoint file") from None
    except (ValueError, KeyError, TypeError) as error:
        raise AnnotationError(f"{path}: not a COCO keypoint file ({error!r}): give one that has both") from None
    found: dict[str, list[NDArray[np.float64]]] = {}
    for name, numbers in rows:
        if len(numbers) == 3 * COCO:
            points = np.array(numbers, np.float64).reshape(COCO, 3)
            if (points[:, 2] > 0).sum() >= LEAST_POINTS:
                found.setdefault(name, []).append(points)
    return found
