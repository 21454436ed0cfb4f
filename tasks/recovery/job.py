"""One photograph -> its folder of results: read it, recover its people, write everything; the name comes last."""

import json
import math
import shutil
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from hmr.body.skeleton import EVAL_14, JOINT_NAMES
from hmr.detection.photograph import PhotographError, read_photograph
from hmr.rendering.overlay import OverlayRenderer
from hmr.rendering.renderers import open_renderer
from storage.finished_file import finished_folder
from tasks.groups.overlays import style_of
from tasks.groups.people import people_in
from tasks.groups.sampled_groups import body, model
from tasks.recovery.files import arrays_bytes, colour_of, person_arrays, write_mesh
from tasks.recovery.pictures import before_and_after, everybody, group_sheet, person_picture
from tasks.recovery.record import FILE, FORMAT, Job, Record, checkpoint_of
from tasks.recovery.recovery import Recovered, recover_people

CRITIC = "evidence"
QUALITY = 88  # of JPEG files
NEAREST = 0.1  # metres in front of the camera: a body nearer than this is flagged
UNSURE = 3  # joints of EVAL_14 named as the least sure (fingers and toes never are sure)


def recover_photograph(job: Job) -> Record:
    """Recover the people of one photograph; returns its record.

    Results of an earlier call stay until the new ones are complete; if there is nobody any more, they are removed.
    Raises PhotographError if the photograph cannot be read or nobody is in it.
    """
    settings = job.settings
    photograph = read_photograph(job.photograph)
    looked = people_in(
        job.photograph, photograph, thorough=settings.photographs.thorough,
        crop_margin=settings.photographs.crop_margin, focal_px=settings.photographs.focal_px,
        only_described=settings.photographs.only_described,
    )  # fmt: skip
    people, notes = looked.people, [*looked.skipped, *looked.remarks]
    if not people:
        shutil.rmtree(job.folder, ignore_errors=True)
        raise PhotographError(f"{job.photograph}: {'; '.join(why for _, why in notes)}")
    body_model, base = body(settings.base.body), model(checkpoint_of(settings))
    found = recover_people(people, base, body_model, settings)
    notes += [(job.photograph.name, why) for k, one in enumerate(found) if (why := too_near(k, one.vertices))]
    with finished_folder(job.folder) as unfinished:
        renderer, style = _renderer(settings.overlay.backend), style_of(settings.overlay)
        for name, picture in zip(
            ("photograph", "overlay"), everybody(photograph.pixels, found, body_model, renderer, style)
        ):
            _save(picture, unfinished / f"{name}.jpg")
        rows = [_write_person(unfinished, k, one, photograph.pixels, job, body_model) for k, one in enumerate(found)]
        height, width = photograph.pixels.shape[:2]
        record = {
            "format": FORMAT,
            "photo": str(job.photograph),
            "inputs_sha256": job.inputs_sha256,
            "settings_sha256": job.settings_sha256,
            "width": width,
            "height": height,
            "focal_px": float(people[0].camera[0]),
            "focal_from": _focal_from(settings.photographs.focal_px, photograph.focal_px),
            "model": Path(checkpoint_of(settings)).name,
            "model_digest": found[0].group.model_digest,
            "body": body_model.name,
            "pick": settings.recover.pick,
            "refined": settings.recover.refine,
            "hypotheses": settings.recover.hypotheses,
            "temperature": settings.recover.temperature,
            "temperature_spread": settings.recover.temperature_spread,
            "notes": [f"{name}: {why}" for name, why in notes],
            "people": rows,
            "files": {path.name: path.stat().st_size for path in sorted(unfinished.iterdir())},
        }
        (unfinished / FILE).write_text(json.dumps(record, indent=1), encoding="utf-8")
    return record


def too_near(index: int, vertices: np.ndarray) -> str:
    """A warning if the camera is inside or very near a body, (V, 3) metres in the camera's frame; "" if it is not."""
    nearest = float(vertices[:, 2].min())
    if nearest >= NEAREST:
        return ""
    return (
        f"person {index}: the body comes within {max(nearest, 0.0):.2f} m of the camera, which no picture means; "
        "do not trust its place. Give the true focal length (--focal), or a picture that shows more of the person"
    )


def _write_person(
    folder: Path, index: int, one: Recovered, pixels: np.ndarray, job: Job, body_model: Any
) -> dict[str, Any]:
    """The files of one person; returns what the page shows about them."""
    chosen, name = job.settings.recover, f"person{index}"
    overlay = job.settings.overlay
    renderer, style = _renderer(overlay.backend), style_of(overlay)
    details = {"pick": chosen.pick, "refine": chosen.refine, "vertices": chosen.vertices, "critic": CRITIC}
    (folder / f"{name}.npz").write_bytes(arrays_bytes(person_arrays(one, body_model.name, details, body_model.faces)))
    formats = ["npz", *(kind for kind in ("obj", "glb") if kind in chosen.formats)]
    for kind in formats[1:]:
        write_mesh(folder / f"{name}.{kind}", one.vertices, body_model.faces, colour_of(index))
    _save(person_picture(pixels, one, index, body_model, renderer, overlay.size, style), folder / f"{name}.jpg")
    if chosen.refine:
        _save(
            before_and_after(pixels, one, index, body_model, renderer, overlay.size, style), folder / f"{name}_fit.jpg"
        )
    _save(group_sheet(pixels, one, index, body_model, renderer, style), folder / f"{name}_group.jpg")
    order = sorted(EVAL_14, key=lambda joint: -one.spread_mm[joint])
    return {
        "box": [round(float(x), 1) for x in one.person.box],
        "detection": round(float(one.person.detection), 3),
        "picked": one.picked,
        "rank": one.rank(one.picked),
        "score": _number(one.scores[one.picked]),
        "comment": one.comments[one.picked],
        "distance_m": round(float(one.joints[0, 2]), 2),
        "keypoints_px": _number(one.keypoints_px),
        "keypoints_px_before": _number(one.keypoints_px_before),
        "mask_iou": _number(one.mask_iou),
        "spread_mm": _number(one.spread_mm.mean()),
        "least_sure": [[JOINT_NAMES[j].replace("_", " "), _number(one.spread_mm[j])] for j in order[:UNSURE]],
        "formats": formats,
    }


def _number(value: float) -> float | None:
    return round(float(value), 3) if math.isfinite(value) else None


def _focal_from(given: float | None, exif: float | None) -> str:
    return "as given" if given else "from EXIF" if exif else "a guess: the picture's diagonal"


def _save(picture: np.ndarray, path: Path) -> None:
    Image.fromarray(picture).save(path, quality=QUALITY)


@lru_cache(maxsize=1)
def _renderer(backend: str) -> OverlayRenderer:
    """One renderer a process; its buffers stay."""
    return open_renderer(backend)
