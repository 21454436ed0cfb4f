"""The study of the search for people: found, missed and false, against people marked by eye."""

import json
import logging
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from prefect import flow

from flows.cli.measurements import cells
from flows.record.run_labels import labelled
from hmr.detection.photograph import PhotographError, read_photograph
from hmr.detection.search_quality import Searched, added, search_quality, search_quality_by_count
from tasks.groups.people import finder
from tasks.run.artifacts import leave_table
from tasks.run.settings import Settings, SettingsError

log = logging.getLogger(__name__)

FORMAT = (
    'Write {"a.jpg": 2} for a number of people, or {"a.jpg": {"people": [[x0, y0, x1, y1]], "uncounted": []}} '
    "with boxes in shares of the picture's width and height."
)


@flow(name="experiment-people", **labelled("experiment people"))
def people_found(settings: Settings, folder: Path, counts: Path) -> list[dict[str, Any]]:
    """Search each photograph of `folder` that `counts` names; returns one row per photograph, and their sums.

    Raises SettingsError for a file that is no list of counts, PhotographError if none of its photographs is in the
    folder.
    """
    marked = read_counts(counts)
    rows: list[dict[str, Any]] = []
    results: list[Searched] = []
    look = finder(True, settings.photographs.crop_margin)
    look.search(np.full((64, 64, 3), 99, np.uint8))  # loading the networks does not count as search time
    total = 0.0
    for name, truth in sorted(marked.items()):
        path = folder / name
        if not path.is_file():
            log.warning("skipped %s: it is not in the folder", name)
            continue
        pixels = read_photograph(path).pixels
        height, width = pixels.shape[:2]
        start = time.process_time()
        found, refused, squares = look.search(pixels)
        seconds = time.process_time() - start
        total += seconds
        boxes = np.array([one.box for one in found], np.float64).reshape(-1, 4) / [width, height, width, height]
        result = scored(boxes, truth)
        results.append(result)
        log.info("%s: %d found, %d missed, %d false; %.2f s", name, result.found, result.missed, result.false, seconds)
        for one in refused:
            log.info("%s: refused at %.0f, %.0f px: %s", name, one.x, one.y, one.why)
        rows.append(
            {"metric": f"people.{name}.found", "value": result.found, "unit": "people", "missed": result.missed,
             "false": result.false, "refused": len(refused), "width": width, "height": height, "squares": squares,
             "baseline": None, "ratio": None}
        )  # fmt: skip
    if not results:
        raise PhotographError(f"none of the {len(marked)} photographs of {counts} is in {folder}: give --images DIR")
    sums = added(results)._asdict() | {"seconds": round(total / len(results), 3)}
    units = {"seconds": "of one core, mean of a photograph"}
    rows = [
        {"metric": f"people.{name}", "value": value, "unit": units.get(name, "people"), "baseline": None, "ratio": None}
        for name, value in sums.items()
    ] + rows
    leave_table("experiment people", list(map(cells, rows)), "found, missed and false people of photographs")
    return rows


def read_counts(path: Path) -> dict[str, int | dict[str, list[list[float]]]]:
    """By a photograph's name: how many people it shows, or where they are (boxes).

    Raises SettingsError if the file is no JSON or no list of people by photograph.
    """
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise SettingsError(f"{path}: cannot be read as JSON ({error}). {FORMAT}") from error
    if not isinstance(content, dict) or not all(_is_mark(value) for value in content.values()):
        raise SettingsError(f"{path}: is no list of people by photograph. {FORMAT}")
    return content


def scored(boxes: NDArray[np.float64], truth: int | dict[str, list[list[float]]]) -> Searched:
    """Found boxes (n, 4), as shares (0..1) of the picture, compared with a number of people or with their boxes."""
    if isinstance(truth, int):
        return search_quality_by_count(len(boxes), truth)
    people, uncounted = (np.array(truth.get(key, []), np.float64).reshape(-1, 4) for key in ("people", "uncounted"))
    return search_quality(boxes, people, uncounted)


def _is_mark(value: Any) -> bool:
    if isinstance(value, int) and not isinstance(value, bool):
        return value >= 0
    return (
        isinstance(value, dict)
        and "people" in value
        and value.keys() <= {"people", "uncounted"}
        and all(
            isinstance(box, list) and len(box) == 4 and all(isinstance(x, int | float) and 0 <= x <= 1 for x in box)
            for boxes in value.values()
            for box in boxes
        )
    )
