"""People of a dataset with true bodies: rows of a file, matched to who is found in the photographs.

The truth comes from the file and is in the camera frame; critics and models only get what the detector sees, as
everywhere. People who are left out are counted, with the reason: see `Placed.skipped` and `SeenInstances`.
"""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from hmr.body.body import Body
from hmr.body.camera import project
from hmr.body.rotations import rotation_matrices
from hmr.body.skeleton import SMPL_JOINTS
from hmr.detection.boxes import boxes_of, matches, overlaps, within
from hmr.detection.people import FoundPerson
from hmr.detection.photograph import Photograph, PhotographError, photograph_size, read_photograph
from hmr.metrics.evaluation import TrueBodies, some_of, true_joints
from hmr.pretraining.labels import KnownPeople
from hmr.processes import in_processes
from storage.group_store import GroupStore
from storage.records import Person
from storage.sources.humandata import HumanData, Instance, read_humandata
from tasks.finding import finder, person_record
from tasks.run.settings import Instances

GTA_SIZE, GTA_CAMERA = (1920, 1080), (1158.0337, 1158.0337, 960.0, 540.0)
"""Focal length of GTA-Human II's one camera, px: 540 / tan 25 degrees, from its vertical view angle of 50 degrees."""
LEAST_OVERLAP = 0.3
"""Intersection over union from which on two boxes count as the same person."""
MOST_OFF = 0.5
"""Largest share of true bodies that may project outside their boxes; with more, the camera counts as wrong."""
NOT_FOUND = "whom nobody was found for at the annotated box, or whose picture is damaged"
CHUNK = 128
"""Bodies posed at once when the file is read."""


class InstancesError(ValueError):
    """Instances that cannot be used; the message says what is wrong, where, and how to fix it."""


class Placed(NamedTuple):
    """Instances whose photograph is available, with true bodies and camera; n rows, no person detected yet."""

    data: HumanData
    instances: tuple[Instance, ...]
    photos: tuple[Path, ...]
    sizes: NDArray[np.int64]  # (n, 2) width, height of the photographs, px
    truth: KnownPeople
    skipped: dict[str, int]  # chosen rows that are not among them, by reason
    off_box: float  # share of true bodies that project outside their annotated box

    def genders(self) -> dict[str, int]:
        """How many rows belong to each body model, if the file says so."""
        return dict(Counter(one.gender for one in self.instances if one.gender is not None))


class SeenInstances(NamedTuple):
    """Instances whose person was found, in the order of the file; n rows."""

    people: list[Person]  # as found, with the camera as guessed
    truth: KnownPeople
    skipped: dict[str, int]  # all chosen rows that are not among them, by reason


# --- reading and checking -----------------------------------------------------------------------------------


def place(body_model: Body, section: Instances) -> Placed:
    """Read the file, find its photographs, and check whether true bodies and camera fit them.

    Raises SourceError if the file cannot be read. Raises InstancesError if a path is missing in the settings, the body
    is not SMPL-X, no chosen row can be used, or too many true bodies project outside their boxes.
    """
    if section.file is None or section.photos is None:
        raise InstancesError(
            "instances are a file and its photographs: give both --instances FILE.npz and --photos DIR"
        )
    if body_model.name != "smplx":
        raise InstancesError(
            f"{section.file}: its bodies are SMPL-X's, and the body in use is '{body_model.name}', which has other "
            "shapes; give --body SMPLX_NEUTRAL.npz, from SMPL-X's own site"
        )
    data = read_humandata(
        section.file, stride=section.stride, count=section.count, seed=section.seed, gender=section.gender
    )
    kept, sizes, lost = _with_photographs(data, section.photos)
    skipped = {**data.skipped, **lost}
    if not kept:
        why = "; ".join(f"{count} {reason}" for reason, count in skipped.items())
        first = section.photos / data.instances[0].image_path if data.instances else section.photos
        raise InstancesError(
            f"{section.file}: none of its {data.chosen} chosen rows can be used ({why or 'it is empty'}). The first "
            f"picture is looked for at {first}: give --photos the folder that the file's paths start from"
        )
    camera = true_cameras(kept, sizes, section)
    truth = KnownPeople(true_bodies(kept), camera)
    off = off_box(body_model, truth, _boxes(kept, sizes), sizes)
    if off > MOST_OFF:
        raise InstancesError(
            f"{section.file}: {100 * off:.0f} % of {len(kept)} true bodies project off their annotated boxes "
            f"(IoU below {LEAST_OVERLAP:g}). Most likely the camera is not the one that took the pictures (now "
            f"{', '.join(f'{value:g}' for value in camera[0].tolist())} for the first), or the bodies do not lie in "
            "the OpenCV camera frame (metres, y down, z forward): set [instances] focal_px and principal_point, or "
            "give pictures of the size that the file is about"
        )
    photos = tuple(section.photos / one.image_path for one in kept)
    return Placed(data, tuple(kept), photos, sizes, truth, skipped, off)


def _with_photographs(data: HumanData, photos: Path) -> tuple[list[Instance], NDArray[np.int64], dict[str, int]]:
    """The rows whose picture can be used, the pictures' sizes, and how many are left out for each reason."""
    known: dict[str, tuple[int, int] | str] = {}
    kept, sizes, lost = [], [], Counter[str]()
    for one in data.instances:
        if one.image_path not in known:
            known[one.image_path] = _size_or_fault(photos / one.image_path)
        size = known[one.image_path]
        if isinstance(size, str):
            lost[size] += 1
        elif one.picture_size not in (None, size):
            lost["with a picture of another size than the file says"] += 1
        else:
            kept.append(one)
            sizes.append(size)
    return kept, np.array(sizes, np.int64).reshape(-1, 2), dict(lost)


def _size_or_fault(path: Path) -> tuple[int, int] | str:
    if not path.is_file():
        return "without a picture"
    try:
        return photograph_size(path)
    except PhotographError:
        return "with a picture that cannot be read"


def true_bodies(instances: Sequence[Instance]) -> TrueBodies:
    """SMPL-X's parameters as bodies of 24 joints (rotations, metres); hands flat, as the folded body has no fingers."""
    turns = np.zeros((len(instances), SMPL_JOINTS, 3), np.float32)
    turns[:, 0] = [one.global_orient for one in instances]
    turns[:, 1:22] = [one.body_pose for one in instances]
    betas, translation = (
        torch.from_numpy(np.stack([getattr(one, name) for one in instances])) for name in ("betas", "transl")
    )
    return TrueBodies(rotation_matrices(torch.from_numpy(turns)), betas, translation)


def true_cameras(instances: Sequence[Instance], sizes: NDArray[np.int64], section: Instances) -> Float[Tensor, "n 4"]:
    """(n, 4) the camera of each (fx, fy, cx, cy in px): the file's; else that of the settings; else GTA-Human II's, if
    it is that.

    sizes: (n, 2) width and height of the photographs, px. Raises InstancesError if no camera is known.
    """
    cameras = []
    for one, (width, height) in zip(instances, sizes.tolist()):
        if one.focal_length is not None and one.principal_point is not None:
            cameras.append((*one.focal_length.tolist(), *one.principal_point.tolist()))
        elif section.focal_px is not None:
            centre = section.principal_point or [width / 2, height / 2]
            cameras.append((section.focal_px, section.focal_px, *centre))
        elif section.dataset == "gta_human2" and (width, height) == GTA_SIZE:
            cameras.append(GTA_CAMERA)
        else:
            raise InstancesError(
                f"{section.file}: gives no camera for row {one.row} ({one.image_path}, {width} x {height} px). Set "
                '[instances] focal_px and principal_point; dataset = "gta_human2" brings them for pictures of '
                f"{GTA_SIZE[0]} x {GTA_SIZE[1]} px alone"
            )
    return torch.tensor(cameras, dtype=torch.float32)


@torch.no_grad()
def off_box(body_model: Body, truth: KnownPeople, boxes: Float[np.ndarray, "n 4"], sizes: NDArray[np.int64]) -> float:
    """Share (0..1) of true bodies whose projected joints' box overlaps the annotated one by less than LEAST_OVERLAP.

    boxes: (n, 4) corners, px; sizes: (n, 2) width and height of the photographs, px.
    """
    fits = []
    for some in torch.arange(len(boxes)).split(CHUNK):
        joints = true_joints(body_model, some_of(truth.bodies, some))
        drawn = boxes_of(project(joints, truth.camera[some]).double().numpy())
        drawn = within(drawn, sizes[some].astype(np.float64))
        fits += [overlaps(drawn[k : k + 1], boxes[some][k : k + 1])[0, 0] for k in range(len(some))]
    return float((np.array(fits) < LEAST_OVERLAP).mean())


def _boxes(instances: Sequence[Instance], sizes: NDArray[np.int64]) -> Float[np.ndarray, "n 4"]:
    """Annotated boxes as corners, within the photographs."""
    found = np.stack([one.bbox_xywh for one in instances]).astype(np.float64)
    found[:, 2:] += found[:, :2]
    return within(found, sizes.astype(np.float64))


# --- in the photographs -------------------------------------------------------------------------------------


def instance_store(folder: Path, placed: Placed, *how: Any) -> GroupStore:
    """The store for the people found for these rows; other rows, pictures or search settings get another store."""
    rows = [(one.row, str(path), one.bbox_xywh.tolist()) for one, path in zip(placed.instances, placed.photos)]
    digest = hashlib.sha256(json.dumps([rows, *how]).encode()).hexdigest()
    return GroupStore(folder / "instances" / digest[:12] / "store")


def shards(placed: Placed, size: int) -> list[tuple[str, list[int]]]:
    """Names and instances of parts of `size` photographs each; all instances of a photograph are in the same part."""
    by_photo: dict[Path, list[int]] = {}
    for k, path in enumerate(placed.photos):
        by_photo.setdefault(path, []).append(k)
    parts = list(by_photo.values())
    cut = [parts[k : k + size] for k in range(0, len(parts), size)]
    return [(f"{k:05d}", [place for rows in part for place in rows]) for k, part in enumerate(cut)]


def find_instances(
    placed: Placed, name: str, places: Sequence[int], store: GroupStore, crop_margin: float, focal_px: float | None,
    processes: int = 1,
) -> int:  # fmt: skip
    """Detect the people of one part and commit those who were found; returns how many. Finished parts are not repeated.

    The found person whose box overlaps the annotated one best is taken, each for one row at most.
    """
    if name in store.people_shards():
        return len(store.read_people(name))
    boxes = _boxes(placed.instances, placed.sizes)
    people: list[Person] = []
    paths = list(dict.fromkeys(placed.photos[k] for k in places))
    for path, seen_in in zip(paths, in_processes(_look, [(path, crop_margin) for path in paths], processes)):
        if seen_in is None:
            continue
        wanted = [k for k in places if placed.photos[k] == path]
        photograph, found = seen_in
        seen = np.array([one.box for one in found], np.float64).reshape(-1, 4)
        for k, taken in zip(wanted, matches(overlaps(boxes[wanted], seen), LEAST_OVERLAP).tolist()):
            if taken >= 0:
                person = person_record(path, photograph, taken, found[taken], focal_px)
                group_id = f"row{placed.instances[k].row:07d}-{photograph.sha256[:8]}-p{taken}"
                people.append(replace(person, group_id=group_id))
    store.write_people(name, people)
    return len(people)


def _look(job: tuple[Path, float]) -> tuple[Photograph, list[FoundPerson]] | None:
    """A photograph and who was found in it; None if its header could be read and the rest cannot: NOT_FOUND."""
    path, crop_margin = job
    try:
        photograph = read_photograph(path)
    except PhotographError:
        return None
    return photograph, finder(True, crop_margin).find(photograph.pixels)


def row_of(person: Person) -> int:
    """The row of the file that a found person belongs to. Raises InstancesError if the person's id names no row."""
    row = re.match(r"row(\d+)-", person.group_id)
    if row is None:
        raise InstancesError(f"'{person.group_id}' is of no row of a file: remove the folder 'instances' of the run")
    return int(row[1])


def seen_instances(placed: Placed, store: GroupStore) -> SeenInstances:
    """The people of all parts with their true bodies. Raises InstancesError if there are fewer than two."""
    people = sorted(store.read_people(), key=row_of)
    place_of = {one.row: k for k, one in enumerate(placed.instances)}
    places = torch.tensor([place_of[row_of(person)] for person in people], dtype=torch.int64)
    lost = len(placed.instances) - len(people)
    skipped = {**placed.skipped, **({NOT_FOUND: lost} if lost else {})}
    if len(people) < 2:
        raise InstancesError(
            f"{placed.data.name}: {len(people)} of its {placed.data.chosen} chosen rows can be measured "
            f"({details(skipped)}), and calibration takes two at least; choose more with [instances] stride or count"
        )
    bodies = some_of(placed.truth.bodies, places)
    return SeenInstances(people, KnownPeople(bodies, placed.truth.camera[places]), skipped)


def details(skipped: dict[str, int]) -> str:
    """Counts and reasons as text."""
    return "; ".join(f"{count} {reason}" for reason, count in skipped.items()) or "none lost"


def seen_by_true_camera(seen: SeenInstances) -> list[Person]:
    """The found people with the camera that took the picture, for groups of perturbed true bodies."""
    return [replace(person, camera=seen.truth.camera[k].numpy().copy()) for k, person in enumerate(seen.people)]
