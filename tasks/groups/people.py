"""From a photograph to the records of its people. Free of prefect, so that a command without a server can use it."""

import logging
import time
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hmr.detection.brought_keypoints import keypoint_file, use_keypoints
from hmr.detection.keypoint_file import KeypointFile, KeypointFileError, read_keypoint_file
from hmr.detection.keypoint_person import person_at
from hmr.detection.people import LONG_SIDE, FoundPerson, PersonFinder
from hmr.detection.photograph import Photograph, crop_square, default_camera
from hmr.diffusion.condition import PICTURE
from storage.records import Person
from tasks.groups.photograph_list import UNNAMED, short_form

LEAST_FOCAL, MOST_FOCAL = 0.1, 200.0
"""Focal length as a multiple of the picture's longer side: from a fisheye lens of 157 degrees to a telescope."""

log = logging.getLogger(__name__)

IMAGES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif")


class Looked(NamedTuple):
    """The people found in a photograph."""

    people: list[Person]  # most certain first; those with keypoints of the user before the others
    skipped: list[tuple[str, str]]  # file name, reason: what could not be used
    remarks: list[tuple[str, str]]  # file name, remark: how keypoints were read, what was rejected as no person


def people_in(
    path: Path,
    photograph: Photograph,
    *,
    thorough: bool,
    crop_margin: float,
    focal_px: float | None,
    only_described: bool = False,
    image_id: str | None = None,
) -> Looked:
    """The people of a photograph, with reasons and remarks for the user.

    image_id: our name for the photograph; None makes one from its file's name and contents.

    Keypoints that the user put beside the photograph replace the detector's. People whom they describe and whom the
    detector missed are added; the others stay, unless `only_described`.
    """
    skipped: list[tuple[str, str]] = []
    long = max(photograph.pixels.shape[:2])
    if focal_px is not None and not LEAST_FOCAL * long <= focal_px <= MOST_FOCAL * long:
        why = f"no camera has a focal length of {focal_px:g} px at {long} px of width or height; give one between "
        return Looked([], [(path.name, f"{why}{LEAST_FOCAL * long:.0f} and {MOST_FOCAL * long:.0f}, or none")], [])
    start = time.monotonic()
    found, refused, squares = finder(thorough, crop_margin).search(photograph.pixels)
    seconds = time.monotonic() - start
    details = [(path.name, f"no person at {one.x:.0f}, {one.y:.0f} px: {one.why}") for one in refused]
    height, width = photograph.pixels.shape[:2]
    log.debug(
        "%s: %d x %d px searched in %d squares, %.1f s: %d found, %d refused",
        path.name, width, height, squares, seconds, len(found), len(refused),
    )  # fmt: skip
    if max(width, height) > LONG_SIDE:
        details.append((path.name, f"{width} x {height} px searched in {squares} squares, {seconds:.1f} s"))
    brought = keypoint_file(path)
    if brought is not None:
        try:
            read = read_keypoint_file(brought, (width, height))
            found, remarks = _described(found, read, photograph.pixels, crop_margin, only_described)
            details += [(brought.name, remark) for remark in remarks]
        except KeypointFileError as error:
            skipped.append((brought.name, str(error).removeprefix(f"{brought}: ")))
    if not found:
        skipped.append((path.name, "nobody was found in it"))
    people = [person_record(path, photograph, k, one, focal_px, image_id) for k, one in enumerate(found)]
    return Looked(people, skipped, details)


def _described(
    found: list[FoundPerson], read: KeypointFile, pixels: NDArray[np.uint8], margin: float, only: bool
) -> tuple[list[FoundPerson], list[str]]:
    """The found people with the user's keypoints, plus those whom the detector missed; and remarks."""
    matched = use_keypoints(found, read.people)
    turned = [landmarks[:, [1, 0, 2, 3]] for landmarks in matched.unmatched]
    if use_keypoints(matched.people[matched.described :], turned).described:
        raise KeypointFileError("it fits the people of the picture with x and y exchanged. Write x first, then y.")
    added = [person_at(pixels, landmarks, margin) for landmarks in matched.unmatched]
    described, others = matched.people[: matched.described], matched.people[matched.described :]
    details = [f"read as {read.meaning}"]
    for one in added:
        details.append(f"a person added whom the detector did not find{f'; {one.doubt}' if one.doubt else ''}")
    if others:
        number = f"{len(others)} {'person' if len(others) == 1 else 'people'} whom it does not describe"
        details.append(f"{number}: {'left out, as asked' if only else 'kept as detected'}")
    return [*described, *(one.person for one in added), *([] if only else others)], details


@lru_cache(maxsize=2)
def finder(thorough: bool, crop_margin: float) -> PersonFinder:
    """One detector per process: loading the networks takes longer than a picture."""
    return PersonFinder(thorough=thorough, crop_margin=crop_margin, second_look=True)


def person_record(
    path: Path, photograph: Photograph, index: int, found: FoundPerson, focal_px: float | None,
    image_id: str | None = None,
) -> Person:  # fmt: skip
    """A found person as a record of the store. Focal length, px: the user's, else from EXIF, else the picture's
    diagonal.

    image_id: our name for the photograph; None makes one from its file's name and contents.
    """
    height, width = photograph.pixels.shape[:2]
    return Person(
        group_id=f"{image_id or f'{short_form(path.stem) or UNNAMED}-{photograph.sha256[:8]}'}-p{index}",
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
