"""The people of a protocol in a file of imported records, and the predictions that are theirs."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from hmr.detection.boxes import matches, overlaps
from storage.predictions import read_predictions
from storage.predictions.predicted import Predicted, project
from storage.predictions.run_groups import shards
from storage.sources.record import rows_of
from tasks.data.importing import open_records
from tasks.protocols.protocol import NamedProtocol
from tasks.run.settings import SettingsError

LEAST_OVERLAP = 0.1
"""Intersection over union from which on a prediction in a picture with several people is one of them."""
ENDINGS = (".npz", ".npy", ".pkl")
NEEDED = ("sample_id", "dataset", "split", "sequence", "subject_id", "camera_id", "person_id", "frame_index",
          "image_path", "bbox_xywh", "valid_eval")  # fmt: skip


class Chosen(NamedTuple):
    """Who a protocol measures: rows of the file in its order, and why others are left out."""

    file: Path
    rows: NDArray[np.int64]
    table: pa.Table  # of NEEDED columns, those rows
    left_out: dict[str, int]


class Answer(NamedTuple):
    """Where a prediction lies, and what it can be matched by."""

    file: Path
    place: int  # among the file's predictions
    image: str
    person: str
    model: str
    hypotheses: int
    box: NDArray[np.float64] | None  # (4,) x0, y0, x1, y1, px


class Matched(NamedTuple):
    """Predictions by row of `Chosen`, and counts of what was matched how."""

    groups: dict[int, list[Answer]]
    counts: dict[str, int]


def choose(file: Path, protocol: NamedProtocol) -> Chosen:
    """The rows of a file of records that a protocol measures. Raises SettingsError if there are none, SourceError
    if the file holds no records."""
    with open_records(file) as held:
        table = held.read(columns=list(NEEDED))
    name, rules = protocol
    rows, left_out = np.arange(len(table)), Counter[str]()

    def keep(fits: NDArray[np.bool_], reason: str) -> None:
        nonlocal rows
        left_out[reason] += int((~fits).sum())
        rows = rows[fits]

    def texts(column: str) -> NDArray:
        return np.array(["" if value is None else str(value) for value in table[column].to_pylist()], object)[rows]

    keep(texts("dataset") == rules.dataset, f"of another dataset than {rules.dataset}")
    if not len(rows):
        held_here = ", ".join(sorted({str(value) for value in table["dataset"].unique().to_pylist()}))
        raise SettingsError(
            f"{file}: its records are of {held_here}, but protocol {name} measures {rules.dataset}. Give records of "
            f"it, or import them with --dataset {rules.dataset} if that is what they are."
        )
    for column, wanted in (("split", (rules.split,) if rules.split else ()), ("subject_id", rules.subjects),
                           ("camera_id", rules.cameras)):  # fmt: skip
        if wanted:
            keep(np.isin(texts(column), wanted), f"of another {column.removesuffix('_id')} than {', '.join(wanted)}")
    if rules.valid_only:
        marked = np.array([value is False for value in table["valid_eval"].to_pylist()])[rows]
        keep(~marked, "marked as not for evaluation")
    if rules.frame_stride > 1:
        frames = table["frame_index"].to_pylist()
        keep(np.array([frames[row] is None or frames[row] % rules.frame_stride == 0 for row in rows], bool),
             f"not every {rules.frame_stride}th frame")  # fmt: skip
    keep(np.arange(len(rows)) % rules.stride == 0, f"not every {rules.stride}th row")
    if not len(rows):
        details = "; ".join(f"{count} {reason}" for reason, count in left_out.items() if count)
        raise SettingsError(f"{file}: protocol {name} leaves none of its {len(table)} records ({details}).")
    return Chosen(file, rows, table.take(rows), {reason: count for reason, count in left_out.items() if count})


def answers(kind: str, paths: Sequence[Path]) -> list[Answer]:
    """What predictions there are; every file is read once, and nothing of it is kept but its names and boxes."""
    files = [file for path in paths for file in (shards(path) if kind == "run" else _files(path))]
    return [
        Answer(file, place, one.image, one.person, one.model, len(one), _box(one))
        for file in files
        for place, one in enumerate(read_predictions(kind, [file]))
    ]


def _files(path: Path) -> list[Path]:
    return sorted(file for file in path.rglob("*") if file.suffix in ENDINGS) if path.is_dir() else [path]


def _box(one: Predicted) -> NDArray[np.float64] | None:
    """As the model gives it, else about its first hypothesis in the picture."""
    if one.box is not None:
        return np.asarray(one.box, np.float64)
    points = one.vertices if one.vertices is not None else one.joints
    if points is None or one.camera is None:
        return None
    flat = project(points[0], one.camera)
    return np.concatenate([flat.min(0), flat.max(0)])


def match(chosen: Chosen, predictions: Sequence[Answer]) -> Matched:
    """Whose each prediction is: by sample id, by the only person of a picture, by box, or by the person's number.

    A picture is found by its path, or by its name where that is the only one.
    """
    paths = [str(path) for path in chosen.table["image_path"].to_pylist()]
    ids = {str(name): row for row, name in enumerate(chosen.table["sample_id"].to_pylist())}
    people = [str(person) for person in chosen.table["person_id"].to_pylist()]
    boxes = rows_of(chosen.table, "bbox_xywh").reshape(-1, 4).astype(np.float64)
    boxes[:, 2:] += boxes[:, :2]
    pictures = _by_name(paths)
    in_picture: dict[str, list[int]] = defaultdict(list)
    for row, path in enumerate(paths):
        in_picture[path].append(row)
    groups, counts = defaultdict(list), Counter[str]()
    waiting: dict[str, list[Answer]] = defaultdict(list)
    for one in predictions:
        if one.image in ids:
            groups[ids[one.image]].append(one)
            counts["by sample id"] += 1
        elif (picture := _picture(one.image, pictures)) is None:
            counts["of pictures that are not measured"] += 1
        else:
            waiting[picture].append(one)
    for picture, found in waiting.items():
        rows = in_picture[picture]
        for _, same in _by_source(found):
            for one, row, how in _people(same, rows, boxes[rows], [people[row] for row in rows]):
                counts[how] += 1
                if row is not None:
                    groups[row].append(one)
    counts["people without a prediction"] = len(paths) - len(groups)
    return Matched(dict(groups), {how: count for how, count in counts.items() if count})


def _by_source(found: Iterable[Answer]) -> Iterator[tuple[tuple[str, Path], list[Answer]]]:
    """Predictions of one model and folder: of several seeds or models each is matched by itself."""
    groups: dict[tuple[str, Path], list[Answer]] = defaultdict(list)
    for one in found:
        groups[one.model, one.file.parent].append(one)
    yield from groups.items()


def _people(
    found: list[Answer], rows: list[int], boxes: NDArray[np.float64], people: list[str]
) -> Iterator[tuple[Answer, int | None, str]]:
    if len(rows) == 1 and len(found) == 1:
        yield found[0], rows[0], "by picture, whose only person it is"
    elif all(one.box is not None for one in found) and np.isfinite(boxes).all():
        places = matches(overlaps(np.stack([one.box for one in found]), boxes), LEAST_OVERLAP)  # type: ignore[arg-type]
        for one, place in zip(found, places):
            yield one, rows[place] if place >= 0 else None, "by box" if place >= 0 else "on nobody's box"
    else:
        numbers = {person: row for person, row in zip(people, rows)}
        for one in found:
            row = numbers.get(one.person)
            yield one, row, "by number of the person" if row is not None else "without box and number"


def _by_name(paths: Sequence[str]) -> dict[str, str | None]:
    """Every way to name a picture -> its path; None where two pictures would share the name."""
    named: dict[str, str | None] = {}
    for path in dict.fromkeys(paths):
        for key in _ends(path):
            named[key] = path if named.get(key, path) == path else None
    return named


def _picture(name: str, pictures: dict[str, str | None]) -> str | None:
    """The picture by the longest end of the name that any picture has; None if none or several have it."""
    return next((pictures[end] for end in _ends(name) if end in pictures), None)


def _ends(path: str) -> list[str]:
    """The path, then ever less of it from the left; each with its ending and without."""
    parts = PurePosixPath(path).parts
    ends = [PurePosixPath(*parts[k:]) for k in range(len(parts))]
    return [key for end in ends for key in (str(end), str(end.with_suffix("")) if end.name else str(end))]
