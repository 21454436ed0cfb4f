"""Pictures of people at the size that a network needs: as stored, or cut again from their photographs."""

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from hmr.body.body import load_body
from hmr.detection.photograph import PhotographError, crop_affine, read_photograph
from hmr.diffusion.condition import PICTURE
from hmr.studio.studio import Split, photographs
from storage.records import Person


def pictures(people: Sequence[Person], side: int) -> NDArray[np.uint8]:
    """RGB pixels of each person's crop, (n, side, side, 3), in order.

    128 px is the crop that is stored with a person; any other side is cut from the photograph in the way of the
    published networks. Each photograph is read once; people of the benchmark have none on disk, so their scenes are
    drawn again. Raises PhotographError if photographs are gone or have changed.
    """
    if side == PICTURE:
        return np.stack([person.picture for person in people])
    cut = np.empty((len(people), side, side, 3), np.uint8)
    faults = []
    by_photo: dict[str, list[int]] = {}
    for row, person in enumerate(people):
        by_photo.setdefault(person.photo, []).append(row)
    for photo, rows in by_photo.items():
        if not photo:
            _cut_scenes(people, rows, cut)
        elif fault := _cut_photograph(photo, people, rows, cut):
            faults.append(fault)
    if faults:
        raise PhotographError(
            f"the network wants pictures of {side} px, cut from the photographs once more, but {'; '.join(faults[:5])}"
            f"{f' and {len(faults) - 5} more' if len(faults) > 5 else ''}. "
            "Put them back as they were, or find their people anew under another --name."
        )
    return cut


def _cut_photograph(photo: str, people: Sequence[Person], rows: list[int], cut: NDArray[np.uint8]) -> str | None:
    """Fill the rows of one photograph; returns what is wrong with it, if anything."""
    if not Path(photo).is_file():
        return f"{photo} is gone"
    found = read_photograph(Path(photo))
    if any(people[row].photo_sha256 != found.sha256 for row in rows):
        return f"{photo} has changed since its people were found"
    for row in rows:
        cut[row] = crop_affine(found.pixels, people[row].crop, cut.shape[1])
    return None


def _cut_scenes(people: Sequence[Person], rows: list[int], cut: NDArray[np.uint8]) -> None:
    """Fill rows of people of the studio, whose group id is `<split>-<scene>`.

    Scenes are drawn one by one: drawn in a batch, a pixel may differ by one grey level, depending on the batch.
    """
    body = load_body()  # the studio is always of the embedded one
    for row in rows:
        split, scene = people[row].group_id.rsplit("-", 1)
        (pixels,) = photographs(body, cast(Split, split), [int(scene)])
        cut[row] = crop_affine(pixels, people[row].crop, cut.shape[1])
