"""Does the drawn silhouette cover the person's mask, and which part of it does not?"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from critique.checks.finding import Finding, robust
from critique.checks.landmarks import INDEX, landmarks_px, project, visibility
from storage.records import DrawnGroup, Person

Floats = NDArray[np.float64]

HALF = 0.06
"""Share of the person's area, missing or extra at one part, that gives half of the full penalty: about a forearm and
hand."""

LEAST_AREA = 8.0
"""Person area, in cells of the 64 x 64 mask, below which there is no evidence; the check counts fully from 4
times as much."""

SOFT = 2.0
"""Standard deviation, in mask cells, of the blur of both outlines: for clothes, hair, the network's inexact edge."""

FAR = 1e6
"""Coordinate for a part that must never be the nearest one."""

BLOCK = 4
"""Side, in mask cells, of the blocks in which differences are summed before a part is named."""

_SIDES = tuple(
    part
    for side in ("left", "right")
    for part in (
        (f"{side} upper arm", (f"{side} shoulder", f"{side} elbow", f"{side} elbow")),
        (f"{side} forearm", (f"{side} elbow", f"{side} wrist", f"{side} wrist")),
        (f"{side} thigh", (f"{side} hip", f"{side} knee")),
        (f"{side} shin", (f"{side} knee", f"{side} ankle")),
        (f"{side} foot", (f"{side} ankle", f"{side} toes")),
    )
)
_PARTS = (
    ("head", ("nose", "left ear", "right ear")),
    (
        "chest",
        ("left shoulder", "right shoulder", "left shoulder", "right shoulder", "left hip", "right hip"),
    ),
    ("belly", ("left shoulder", "right shoulder", "left hip", "right hip", "left hip", "right hip")),
    *_SIDES,
)
_MEANS = np.zeros((len(_PARTS), len(INDEX)))  # each part's point is a mean of keypoints
for _row, (_, _points) in enumerate(_PARTS):
    for _point in _points:
        _MEANS[_row, INDEX[_point]] += 1 / len(_points)
_PLACES = tuple(f"misses the photograph's {name}" for name, _ in _PARTS) + tuple(
    f"has its {name} outside the person" for name, _ in _PARTS
)


def silhouette(drawn: DrawnGroup) -> Finding:
    """1 - intersection over union (0..1) of silhouette s and mask p with soft edges, inside the photograph.

        IoU = sum min(s, p) / sum max(s, p),    s and p blurred by SOFT

    A difference is named after the nearest body part: missing areas after the parts that were seen, extra areas after
    the hypothesis's own parts. The severity is that of this part alone.
    """
    person = drawn.group.person
    inside = inside_photograph(person)
    mask = (person.mask / 255 * inside).astype(np.float32)
    drawn_cells = (drawn.silhouettes >= 128) * inside
    area = float(mask.sum(dtype=np.float64))
    reached = np.maximum(_blurred(inside), 1e-6)  # nothing outside the photograph counts
    soft, soft_mask = (_blurred(cells) / reached * inside for cells in (drawn_cells, mask))
    common, union = (chosen(soft, soft_mask).sum((1, 2), dtype=np.float64) for chosen in (np.minimum, np.maximum))

    difference = _gathered(drawn_cells) - _gathered(mask[None])  # (G, blocks), positive: too much is drawn
    own = _cells(project(drawn.group.keypoints, person), person)
    seen = np.where(_MEANS > 0, visibility(person), 1.0).min(1) > 0.1  # parts of which every point was seen
    theirs = np.where(seen[:, None], _cells(landmarks_px(person), person), FAR)[None] if seen.sum() > 3 else own
    masses = np.concatenate(
        [_mass_by_part(np.maximum(-difference, 0), theirs), _mass_by_part(np.maximum(difference, 0), own)],
        axis=1,
    ) / max(area, 1.0)
    place = masses.argmax(1)
    size = masses[np.arange(len(masses)), place]
    return Finding(
        penalty=1 - common / np.maximum(union, 1e-6),
        severity=robust(size, HALF),
        place=place,
        size=size * 100,
        places=_PLACES,
        phrase="silhouette {place} ({size:.0f} % of the person)",
        evidence=_evidence(area),
    )


class Overlap(NamedTuple):
    """Overlap of each hypothesis's silhouette with the mask, without blur; (G,) each except the last."""

    iou: Floats  # intersection over union, 0..1
    covered: Floats  # share of the person's area that it covers, 0..1
    outside: Floats  # share of its own area that lies outside the person, 0..1
    evidence: float  # 0 = no mask .. 1 = full evidence


def overlap(drawn: DrawnGroup) -> Overlap:
    """Overlap of silhouette and mask (cells of at least 0.5 belong), inside the photograph.

    This plain measure is comparable across groups; the check above is finer within one.
    """
    inside = inside_photograph(drawn.group.person)
    mask = (drawn.group.person.mask >= 128) * inside.astype(np.float64)
    cells = (drawn.silhouettes >= 128) * inside.astype(np.float64)
    common, covered, area = (cells * mask).sum((1, 2)), cells.sum((1, 2)), float(mask.sum())
    return Overlap(
        common / np.maximum(covered + area - common, 1e-9),
        common / max(area, 1e-9),
        1 - common / np.maximum(covered, 1e-9),
        _evidence(area),
    )


def _evidence(area: float) -> float:
    return float(np.clip((area / LEAST_AREA - 1) / 3, 0, 1))


def _blurred(cells: NDArray[np.float32]) -> NDArray[np.float32]:
    """Gaussian blur of (..., n, n) by SOFT cells; 0 beyond the border."""
    places = np.arange(cells.shape[-1])
    blur = np.exp(-0.5 * np.square((places[:, None] - places) / SOFT)) / (SOFT * np.sqrt(2 * np.pi))
    blur = blur.astype(np.float32)
    return blur @ cells @ blur


def inside_photograph(person: Person) -> NDArray[np.float32]:
    """(64, 64) 1 where the cell's centre lies inside the photograph, else 0: outside it there is no evidence."""
    count = person.mask.shape[0]
    places = (np.arange(count) + 0.5) / count - 0.5
    x, y = person.crop[0] + places * person.crop[2], person.crop[1] + places * person.crop[2]
    return np.outer((y >= 0) & (y <= person.height), (x >= 0) & (x <= person.width)).astype(np.float32)


def _cells(points_px: Floats, person: Person) -> Floats:
    """Positions of the parts (..., P, 2), in blocks, from keypoints (..., 23, 2) in px of the photograph."""
    centre, side = person.crop[:2].astype(np.float64), float(person.crop[2])
    return _MEANS @ ((points_px - centre) / side + 0.5) * (person.mask.shape[0] / BLOCK)


def _gathered(cells: NDArray[np.float32]) -> Floats:
    """(G, blocks) sums over blocks of BLOCK x BLOCK cells of (G, n, n)."""
    gather = np.kron(np.eye(cells.shape[1] // BLOCK, dtype=np.float32), np.ones(BLOCK, np.float32))
    return (gather @ cells @ gather.T).reshape(len(cells), -1).astype(np.float64)


def _mass_by_part(mass: Floats, points: Floats) -> Floats:
    """(G, P) mass (G, blocks) summed by the nearest part point (G or 1, P, 2)."""
    side = round(mass.shape[1] ** 0.5)
    axis = np.arange(side) + 0.5
    along_x = (axis - points[..., :1]) ** 2  # (g, P, side)
    along_y = (axis - points[..., 1:]) ** 2
    nearest = (along_y[..., :, None] + along_x[..., None, :]).argmin(1).reshape(len(points), -1)
    count, parts = len(mass), points.shape[1]
    index = nearest + parts * np.arange(count)[:, None]
    sums = np.bincount(index.ravel(), weights=mass.ravel(), minlength=count * parts)
    return sums.astype(np.float64).reshape(count, parts)
