"""Where the photographs of a run come from: the user's folder, or the embedded default."""

import shutil
from collections.abc import Iterable
from pathlib import Path

import matplotlib.cbook
import skimage.data
from PIL import Image
from prefect import task
from prefect.cache_policies import NO_CACHE

from hmr.studio import Split, photographs
from tasks.retrying import may_pass
from tasks.sampling import body

FREE = {
    "astronaut.png": "scikit-image, public domain (NASA)",
    "cameraman.png": "scikit-image, CC0",
    "grace_hopper.jpg": "matplotlib, public domain (US Navy)",
}
"""Photographs that may be used freely; they come with installed packages and are copied into the run."""

CHUNK = 64


@task(retries=1, retry_condition_fn=may_pass, cache_policy=NO_CACHE)
def free_photographs(folder: Path) -> Path:
    """Put the free photographs into a folder of the run."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, pixels in (("astronaut.png", skimage.data.astronaut()), ("cameraman.png", skimage.data.camera())):
        if not (folder / name).exists():
            _save(Image.fromarray(pixels), folder / name)
    hopper = folder / "grace_hopper.jpg"
    if not hopper.exists():
        found = matplotlib.cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)
        shutil.copyfile(str(found), hopper.with_suffix(".tmp"))
        hopper.with_suffix(".tmp").replace(hopper)
    return folder


@task(retries=1, retry_condition_fn=may_pass, cache_policy=NO_CACHE, task_run_name="photograph {split}")
def studio_photographs(split: Split, count: int, folder: Path) -> Path:
    """Draw a split of the studio as files `<split>-<scene>.png`: pictures, and nothing else about them.

    Always the embedded body: the studio is one fixed benchmark.
    """
    save_scenes(split, range(count), folder)
    return folder


def save_scenes(split: Split, scenes: Iterable[int], folder: Path) -> None:
    """Draw these scenes as `studio_photographs` does; those that are there stay."""
    folder.mkdir(parents=True, exist_ok=True)
    missing = [i for i in scenes if not (folder / f"{split}-{i:06d}.png").exists()]
    for start in range(0, len(missing), CHUNK):
        part = missing[start : start + CHUNK]
        for index, pixels in zip(part, photographs(body(None), split, part)):
            _save(Image.fromarray(pixels), folder / f"{split}-{index:06d}.png")


def _save(picture: Image.Image, path: Path) -> None:
    unfinished = path.with_suffix(".tmp")
    picture.save(unfinished, format="PNG", compress_level=1)
    unfinished.replace(path)
