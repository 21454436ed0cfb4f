"""From a found person to the arrays that a condition encoder reads; without any labels."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from hmr.body.body import Body
from hmr.detection.people import FoundPerson, PersonFinder
from hmr.detection.photograph import crop_square, default_camera
from hmr.diffusion.condition import PICTURE, Observation
from hmr.processes import in_processes
from hmr.studio.studio import LABELLED, Split, photographs
from storage.finished_file import finished_file, read_again, remove_strays

Floats = NDArray[np.float32]


def landmarks_in_crop(landmarks: Floats, crop: Floats) -> Floats:
    """Landmarks (..., 33, 4) x, y, z in px of the photograph to crop coordinates; crop (..., 3)."""
    side = crop[..., None, 2:]
    places = (landmarks[..., :2] - crop[..., None, :2]) * 2 / side
    return np.concatenate([places, landmarks[..., 2:3] * 2 / side, landmarks[..., 3:]], -1).astype(np.float32)


def as_observation(pictures: NDArray, masks: NDArray, landmarks: Floats, world: Floats, crops: Floats) -> Observation:
    """Stacked arrays of people to an Observation.

    pictures (n, side, side, 3) uint8, masks (n, 64, 64) uint8, landmarks (n, 33, 4) px of the photograph, world
    (n, 33, 3) metres, crops (n, 3) px.
    """
    return Observation(
        torch.from_numpy(np.ascontiguousarray(pictures)),
        torch.from_numpy(np.ascontiguousarray(masks)),
        torch.from_numpy(landmarks_in_crop(landmarks, crops)),
        torch.from_numpy(np.ascontiguousarray(world, dtype=np.float32)),
    )


class SeenPeople(NamedTuple):
    """People of one studio split as detection saw them; n rows, people who were not found left out."""

    index: NDArray[np.int64]  # type: ignore[assignment]  # (n,) scene of the split; not tuple's method
    picture: NDArray[np.uint8]  # (n, 128, 128, 3)
    mask: NDArray[np.uint8]  # (n, 64, 64)
    landmarks: Floats  # (n, 33, 4) px of the picture
    world: Floats  # (n, 33, 3)
    crop: Floats  # (n, 3)
    camera: Floats  # (n, 4) as guessed without EXIF
    second_look: Floats  # (n, 33, 7) of the heavy network, NaN in splits where it was not run

    def observation(self) -> Observation:
        """What condition encoders read of these people."""
        return as_observation(self.picture, self.mask, self.landmarks, self.world, self.crop)


def sure_detections(seen: SeenPeople, visible: float = 0.6, inside: float = 0.6) -> NDArray[np.bool_]:
    """People whose detection can be relied on, (n,): body landmarks that are visible and lie on the mask, on average.

    visible: least mean visibility, 0-1; inside: least share of landmarks on the mask. On the studio's hard people about
    86 % pass, about as many as a plain detector finds at all.
    """
    body = landmarks_in_crop(seen.landmarks, seen.crop)[:, 11:]
    size = seen.mask.shape[1]
    cells = np.clip(((body[:, :18, :2] + 1) * size / 2).astype(int), 0, size - 1)
    on_mask = seen.mask[np.arange(len(seen.mask))[:, None], cells[..., 1], cells[..., 0]] > 100
    return (body[..., 3].mean(1) > visible) & (on_mask.mean(1) > inside)


def see_scenes(body: Body, finder: PersonFinder, split: Split, indices: Sequence[int]) -> SeenPeople:
    """Draw scenes and search them like any photograph; keeps the best person found in each."""
    rows = []
    for index, pixels in zip(indices, photographs(body, split, indices)):
        for person in finder.find(pixels)[:1]:
            rows.append((index, *_row(pixels, person)))
    return _stack(rows)


def see_split(split: Split, count: int, folder: Path, *, processes: int = 1, shard: int = 250) -> SeenPeople:
    """People of scenes 0..count-1 of a split, kept in `folder` so that an interrupted run can go on.

    Raises ProcessDiedError if a process ends early.
    """
    remove_strays(folder)
    jobs: list[tuple[Split, int, int, Path]] = [
        (split, start, min(start + shard, count), folder) for start in range(0, count, shard)
    ]
    kept = {job: read_again(_shard_path(*job), read_seen) for job in jobs}
    missing = [job for job, seen in kept.items() if seen is None]
    for _ in in_processes(_see_shard, missing, processes):
        pass
    shards = [seen if seen is not None else read_seen(_shard_path(*job)) for job, seen in kept.items()]
    return SeenPeople(*(np.concatenate(part) for part in zip(*shards)))


def read_seen(path: Path) -> SeenPeople:
    """What `write_seen` wrote; raises what numpy or zipfile raises if the file is damaged: checksums are checked."""
    with path.open("rb") as file, np.load(file) as kept:  # numpy would leave a damaged file open if it opened it itself
        return SeenPeople(*(kept[name] for name in SeenPeople._fields))


def write_seen(seen: SeenPeople, path: Path) -> None:
    """Write people as .npz."""
    with finished_file(path) as unfinished:
        np.savez(unfinished, **seen._asdict())


def _shard_path(split: Split, start: int, stop: int, folder: Path) -> Path:
    return folder / f"{split}-{start:06d}-{stop:06d}.npz"


def _see_shard(job: tuple[Split, int, int, Path]) -> None:
    from hmr.body.body import load_body

    torch.set_num_threads(1)
    split, start, stop, _ = job
    # Critics judge all people except those that bases are trained on, and they use the second look.
    finder = PersonFinder(thorough=False, second_look=split not in LABELLED)
    seen = see_scenes(load_body(), finder, split, range(start, stop))
    write_seen(seen, _shard_path(*job))


def _row(pixels: NDArray[np.uint8], person: FoundPerson) -> tuple:
    height, width = pixels.shape[:2]
    picture = crop_square(pixels, person.crop, PICTURE)
    camera = default_camera(width, height, None)
    second = np.full((33, 7), np.nan) if person.second_look is None else person.second_look
    return picture, person.mask, person.landmarks, person.world_landmarks, person.crop, camera, second


def _stack(rows: list[tuple]) -> SeenPeople:
    shapes = ((), (PICTURE, PICTURE, 3), (64, 64), (33, 4), (33, 3), (3,), (4,), (33, 7))
    kinds = (np.int64, np.uint8, np.uint8, *[np.float32] * 5)
    columns = zip(*rows) if rows else ([] for _ in shapes)
    return SeenPeople._make(np.array(c, k).reshape(-1, *s) for c, k, s in zip(columns, kinds, shapes))
