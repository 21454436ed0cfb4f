"""From a photograph to the records of its people. Free of prefect, so that a command without a server can use it."""

from functools import lru_cache
from pathlib import Path

import numpy as np

from hmr.brought_keypoints import keypoint_file, use_keypoints
from hmr.condition import PICTURE
from hmr.people import FoundPerson, KeypointFileError, PersonFinder, read_keypoints
from hmr.photograph import Photograph, crop_square, default_camera
from storage.records import Person

IMAGES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif")


def people_in(
    path: Path, photograph: Photograph, *, thorough: bool, crop_margin: float, focal_px: float | None
) -> tuple[list[Person], list[tuple[str, str]]]:
    """The people of a photograph, surest first, and (file name, reason) of what could not be used.

    Keypoints that the user put beside the photograph take the place of the detector's.
    """
    skipped: list[tuple[str, str]] = []
    found = finder(thorough, crop_margin).find(photograph.pixels)
    if not found:
        skipped.append((path.name, "nobody was found in it"))
    brought = keypoint_file(path)
    if brought is not None:
        try:
            found, unmatched = use_keypoints(found, read_keypoints(brought))
        except KeypointFileError as error:
            skipped.append((brought.name, str(error).removeprefix(f"{brought}: ")))
        else:
            if unmatched:
                skipped.append((brought.name, f"{unmatched} of its people were not found in {path.name}"))
    return [person_record(path, photograph, k, one, focal_px) for k, one in enumerate(found)], skipped


@lru_cache(maxsize=2)
def finder(thorough: bool, crop_margin: float) -> PersonFinder:
    """One finder a process: loading the networks takes longer than a picture."""
    return PersonFinder(thorough=thorough, crop_margin=crop_margin, second_look=True)


def person_record(path: Path, photograph: Photograph, index: int, found: FoundPerson, focal_px: float | None) -> Person:
    """A found person as the store keeps it. Focal length: the user's, else EXIF, else the diagonal."""
    height, width = photograph.pixels.shape[:2]
    return Person(
        group_id=f"{path.stem}-{photograph.sha256[:8]}-p{index}",
        photo=str(path.absolute()),
        photo_sha256=photograph.sha256,
        width=width,
        height=height,
        box=found.box,
        detection=float(found.detection),
        crop=found.crop,
        camera=np.asarray(default_camera(width, height, focal_px or photograph.focal_px), np.float32),
        landmarks=found.landmarks,
        world_landmarks=found.world_landmarks,
        mask=found.mask,
        picture=crop_square(photograph.pixels, found.crop, PICTURE),
        second_look=found.second_look,
    )
