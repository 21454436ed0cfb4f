"""Where the photographs of a run come from: the user's folder, or the embedded default."""

from collections.abc import Iterable
from importlib import resources
from pathlib import Path
from typing import NamedTuple

from PIL import Image
from prefect import task
from prefect.cache_policies import NO_CACHE

from hmr.processes import in_processes
from hmr.studio import Split, photographs
from tasks.retrying import may_pass
from tasks.sampling import body

CHUNK = 64


@task(retries=1, retry_condition_fn=may_pass, cache_policy=NO_CACHE, task_run_name="copy free photographs")
def free_photographs(folder: Path) -> Path:
    """Put the free photographs into a folder of the run; `tasks/assets/photographs/NOTICE.md` tells whose they are."""
    folder.mkdir(parents=True, exist_ok=True)
    for shipped in resources.files("tasks").joinpath("assets", "photographs").iterdir():
        path = folder / shipped.name
        if path.suffix == ".jpg" and not path.exists():
            unfinished = path.with_suffix(".tmp")
            unfinished.write_bytes(shipped.read_bytes())
            unfinished.replace(path)
    return folder


@task(retries=1, retry_condition_fn=may_pass, cache_policy=NO_CACHE, task_run_name="photograph {split}")
def studio_photographs(split: Split, count: int, folder: Path, processes: int = 1) -> Path:
    """Draw a split of the studio as files `<split>-<scene>.png`: pictures, and nothing else about them.

    Always the embedded body: the studio is one fixed benchmark.
    """
    save_scenes(split, range(count), folder, processes)
    return folder


def save_scenes(split: Split, scenes: Iterable[int], folder: Path, processes: int = 1) -> None:
    """Draw these scenes as `studio_photographs` does; those that are there stay."""
    folder.mkdir(parents=True, exist_ok=True)
    missing = [i for i in scenes if not (folder / f"{split}-{i:06d}.png").exists()]
    parts = [_Scenes(split, missing[start : start + CHUNK], folder) for start in range(0, len(missing), CHUNK)]
    for _ in in_processes(_draw_scenes, parts, processes):
        pass


class _Scenes(NamedTuple):
    split: Split
    scenes: list[int]
    folder: Path


def _draw_scenes(part: _Scenes) -> None:
    for index, pixels in zip(part.scenes, photographs(body(None), part.split, part.scenes)):
        _save(Image.fromarray(pixels), part.folder / f"{part.split}-{index:06d}.png")


def _save(picture: Image.Image, path: Path) -> None:
    unfinished = path.with_suffix(".tmp")
    picture.save(unfinished, format="PNG", compress_level=1)
    unfinished.replace(path)
